// The tape: what it keeps, what it frees, how gradients gather, and the gradient check itself.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tinynet/autograd/gradcheck.hpp>
#include <tinynet/ops/arithmetic.hpp>
#include <tinynet/ops/cast.hpp>
#include <tinynet/ops/linear.hpp>
#include <tinynet/ops/reshape.hpp>

using namespace tinynet;

namespace {

/// x^2 as a user would write it. `factor` is 2; anything else is a planted bug.
template <Scalar T>
Variable<T> square(const Variable<T>& x, Context& ctx, double factor = 2) {
  Tensor<T> y(x.shape());
  for (std::int64_t i = 0; i < y.size(); ++i)
    y.data()[i] = x.value().data()[i] * x.value().data()[i];
  return record(ctx, {"square"}, y, inputs(x), [x = x.value(), factor](const auto& dy, auto dx) {
    if (!dx) return;
    const auto to = dx.open();
    kernels::transform(
        to.span, to.store, [factor](auto v, auto g) { return decltype(v)(factor) * v * g; },
        x.span(), dy.span());
  });
}

/// An op that does nothing, and tells when its closure runs.
template <Scalar T, class F>
Variable<T> probe(const Variable<T>& x, Context& ctx, F on_backward) {
  return record(ctx, {"probe"}, x.value().clone(), inputs(x),
                [on_backward](const auto& dy, auto dx) {
                  on_backward();
                  if (dx) dx.pass(dy);
                });
}

Tensor<float> values(const Shape& shape, std::uint64_t seed = 1) {
  return Tensor<float>::normal(shape, {seed});
}

Parameter<float> parameter(const Tensor<float>& value, const std::string& name = "layer.weight") {
  Parameter<float> p(value.shape(), ParameterKind::weight, nullptr);
  p.state()->name = name;
  p.set(value);
  return p;
}

void check_equal(const Tensor<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == static_cast<std::int64_t>(b.size()));
  for (std::size_t i = 0; i < b.size(); ++i) CHECK(a.data()[i] == b[i]);
}

}  // namespace

TEST_SUITE("gradients") {
  TEST_CASE("of an op that a user wrote") {
    Tape tape;
    auto ctx = Context::training(tape);
    const auto x = Variable<float>::leaf(Tensor<float>::from({3}, {1, -2, 3}), tape);
    ops::sum(square(x, ctx), ctx).backward();
    check_equal(x.gradient(), {2, -4, 6});
  }

  TEST_CASE("add up where a variable is used more than once") {
    Tape tape;
    auto ctx = Context::training(tape);
    const auto x = Variable<float>::leaf(Tensor<float>::from({2}, {3, 5}), tape);
    const auto y = ops::multiply(x, square(x, ctx), ctx);  // x^3
    const auto z = ops::add(ops::add(y, y, ctx), x, ctx);  // 2 x^3 + x
    z.backward(Tensor<float>::ones({2}));
    check_equal(x.gradient(), {6 * 9 + 1, 6 * 25 + 1});
  }

  // add hands the same storage to both inputs. What reaches `a` later must not show in `b`.
  TEST_CASE("that share storage do not run into one another") {
    Tape tape;
    auto ctx = Context::training(tape);
    const auto a = Variable<float>::leaf(values({4}), tape),
               b = Variable<float>::leaf(values({4}), tape);
    const auto seed = Tensor<float>::ones({4});
    ops::add(ops::add(a, b, ctx), a, ctx).backward(seed);
    check_equal(a.gradient(), {2, 2, 2, 2});
    check_equal(b.gradient(), {1, 1, 1, 1});
    check_equal(seed, {1, 1, 1, 1});
    b.gradient().data()[0] = 9;
    check_equal(seed, {1, 1, 1, 1});
    CHECK(a.gradient().data()[0] == 2);
  }

  TEST_CASE("of x + x, through storage that is handed on twice") {
    Tape tape;
    auto ctx = Context::training(tape);
    const auto x = Variable<float>::leaf(values({3}), tape);
    ops::add(x, x, ctx).backward(Tensor<float>::full({3}, 5));
    check_equal(x.gradient(), {10, 10, 10});
  }

  TEST_CASE("begin from a seed, a view included") {
    const auto seeds = Tensor<float>::from({2, 2}, {1, 2, 3, 4});
    Tape tape;
    auto ctx = Context::training(tape);
    const auto x = Variable<float>::leaf(Tensor<float>::from({1, 2}, {1, 1}), tape);
    auto second_row = seeds.rows(1, 2);
    square(x, ctx).backward(second_row);
    check_equal(x.gradient(), {6, 8});

    Tensor<float> only_owner = Tensor<float>::from({2, 2}, {1, 2, 3, 4}).rows(1, 2);
    CHECK(only_owner.unique());
    const auto y = Variable<float>::leaf(Tensor<float>::from({1, 2}, {1, 1}), tape);
    square(y, ctx).backward(only_owner);
    check_equal(y.gradient(), {6, 8});
  }

  TEST_CASE("cross types: bf16 activations, float weights") {
    Tape tape;
    auto ctx = Context::training(tape);
    const auto x = Variable<bfloat16>::leaf(Tensor<bfloat16>::ones({2, 3}), tape);
    const auto w = Variable<float>::leaf(Tensor<float>::full({1, 3}, 0.1f), tape);
    const auto y = ops::cast<float>(ops::linear(x, w, {}, ctx), ctx);
    y.backward(Tensor<float>::from({2, 1}, {1, 2}));
    check_equal(w.gradient(), {3, 3, 3});
    for (const float g : x.gradient().rows(0, 1).span()) CHECK(g == float(bfloat16(0.1f)));
  }

  TEST_CASE("are zeros where none arrived") {
    Tape tape;
    auto ctx = Context::training(tape);
    const auto x = Variable<float>::leaf(values({2}), tape),
               unused = Variable<float>::leaf(values({2}), tape);
    square(x, ctx).backward(Tensor<float>::ones({2}));
    check_equal(unused.gradient(), {0, 0});
    CHECK_THROWS_WITH_AS(Variable<float>(values({2})).gradient(),
                         "[gradient] this variable does not take part in a backward pass\n"
                         "  hint: make it with Variable::leaf(value, tape)",
                         StateError);
  }

  TEST_CASE("stay with leaves alone") {
    Tape tape;
    auto ctx = Context::training(tape);
    const auto x = Variable<float>::leaf(values({2}), tape);
    const auto y = square(x, ctx);
    const auto loss = ops::sum(y, ctx);
    for (const bool walked : {false, true}) {
      CAPTURE(walked);
      CHECK_THROWS_WITH_AS(y.gradient(),
                           "[gradient] what an op computed does not keep its gradient\n"
                           "  op      square\n"
                           "  hint: ask a Variable::leaf, or make one of its value",
                           StateError);
      if (!walked) loss.backward();
    }
  }
}

TEST_SUITE("tape") {
  TEST_CASE("closures are freed as backward walks") {
    Tape tape;
    auto ctx = Context::training(tape);
    const auto x = Variable<float>::leaf(values({2}), tape);
    std::vector<std::shared_ptr<int>> kept;
    std::vector<std::weak_ptr<int>> watched;
    for (int i = 0; i < 3; ++i) {
      kept.push_back(std::make_shared<int>(i));
      watched.push_back(kept.back());
    }
    std::vector<int> order;
    auto y = x;
    for (int i = 0; i < 3; ++i) {
      y = probe(y, ctx, [own = kept[i], i, &order, &watched] {
        order.push_back(i);
        for (int later = i + 1; later < 3; ++later) CHECK(watched[later].expired());
        CHECK_FALSE(watched[i].expired());
      });
    }
    kept.clear();
    for (const auto& each : watched) CHECK_FALSE(each.expired());
    y.backward(Tensor<float>::ones({2}));
    CHECK(order == std::vector<int>{2, 1, 0});
    for (const auto& each : watched) CHECK(each.expired());
    CHECK(tape.nodes.empty());
  }

  TEST_CASE("memory goes down during backward and is all given back after it") {
    constexpr std::int64_t size = 1 << 16;
    constexpr std::size_t bytes = size * sizeof(float);
    const auto before = memory_statistics().bytes_in_use;
    const auto in_use = [&] {
      return (memory_statistics().bytes_in_use - before + bytes / 2) / bytes;
    };
    {
      Tape tape;
      auto ctx = Context::training(tape);
      const auto x = Variable<float>::leaf(values({size}), tape);
      std::size_t early = 0;
      auto y = probe(x, ctx, [&] { early = in_use(); });
      for (int i = 0; i < 10; ++i) y = square(y, ctx);
      CHECK(in_use() == 12);  // x, the probe's, ten squares
      auto loss = ops::sum(y, ctx);
      y = {};
      loss.backward();
      CHECK(early <= 3);     // at the far end: x, the probe's gradient and its output at most
      CHECK(in_use() == 2);  // x and its gradient
    }
    CHECK(memory_statistics().bytes_in_use == before);
  }

  TEST_CASE("without a tape nothing is kept") {
    auto ctx = Context::evaluation();
    const auto before = memory_statistics().bytes_in_use;
    Variable<float> y(values({1 << 14}));
    const auto one = memory_statistics().bytes_in_use - before;
    for (int i = 0; i < 20; ++i) {
      y = square(y, ctx);
      CHECK_FALSE(y.node());
    }
    CHECK(memory_statistics().bytes_in_use == before + one);
  }

  TEST_CASE("what depends on no leaf is not recorded") {
    Tape tape;
    auto ctx = Context::training(tape);
    const auto constant = square(Variable<float>(values({2})), ctx);
    CHECK(tape.nodes.empty());
    CHECK_FALSE(constant.node());
  }

  TEST_CASE("serves one backward pass, and then the next forward") {
    Tape tape;
    auto ctx = Context::training(tape);
    const auto x = Variable<float>::leaf(values({2}), tape);
    const auto loss = ops::sum(square(x, ctx), ctx);
    loss.backward();
    const auto text =
        "[backward] nothing was recorded, or the tape is gone\n"
        "  hint: run the forward pass with Context::training(tape, key), and call backward once, "
        "while the tape lives";
    CHECK_THROWS_WITH_AS(loss.backward(), text, StateError);
    const auto again = Variable<float>::leaf(Tensor<float>::from({1}, {4}), tape);
    ops::sum(square(again, ctx), ctx).backward();
    check_equal(again.gradient(), {8});

    auto no_tape = Context::evaluation();
    CHECK_THROWS_WITH_AS(ops::sum(Variable<float>(values({2})), no_tape).backward(), text,
                         StateError);
    Variable<float> outlives;
    {
      Tape inner;
      auto inner_ctx = Context::training(inner);
      outlives = ops::sum(Variable<float>::leaf(values({2}), inner), inner_ctx);
    }
    CHECK_THROWS_WITH_AS(outlives.backward(), text, StateError);
    {
      Tape inner;
      outlives = Variable<float>::leaf(Tensor<float>::ones({1}), inner);
    }
    CHECK_THROWS_WITH_AS(outlives.backward(), text, StateError);
  }

  TEST_CASE("what a walked tape computed is no input of the next, unless as a constant") {
    Tape tape;
    auto ctx = Context::training(tape);
    const auto x = Variable<float>::leaf(Tensor<float>::from({1}, {3}), tape);
    const auto y = square(x, ctx);
    y.backward();
    const auto text =
        "[backward] a gradient arrives at an op whose tape was walked or is gone\n"
        "  op      square\n"
        "  hint: what several losses share is one forward pass on one tape: call backward once, on "
        "their sum; a constant is Variable(x.value())";
    CHECK_THROWS_WITH_AS(square(y, ctx).backward(), text, StateError);
    square(ops::add(Variable<float>(y.value()), x, ctx), ctx).backward();
    check_equal(x.gradient(), {6 + 2 * (9 + 3)});
    auto no_tape = Context::evaluation();
    CHECK(square(y, no_tape).item() == 81);

    Variable<float> outlives;
    {
      Tape gone;
      auto gone_ctx = Context::training(gone);
      outlives = square(x, gone_ctx);
    }
    CHECK_THROWS_WITH_AS(square(outlives, ctx).backward(), text, StateError);
  }

  TEST_CASE("a leaf may be the loss, and serve several passes") {
    Tape tape;
    auto ctx = Context::training(tape);
    const auto x = Variable<float>::leaf(Tensor<float>::from({1}, {3}), tape);
    x.backward(4);
    check_equal(x.gradient(), {4});
    square(x, ctx).backward();
    check_equal(x.gradient(), {10});
    Tape other;
    auto other_ctx = Context::training(other);
    square(x, other_ctx).backward();
    check_equal(x.gradient(), {16});
  }

  TEST_CASE("a loss is a scalar, a seed has its shape") {
    Tape tape;
    auto ctx = Context::training(tape);
    const auto y = square(Variable<float>::leaf(values({2, 3}), tape), ctx);
    CHECK_THROWS_WITH_AS(y.backward(),
                         "[backward] needs a loss with one element, or a seed\n"
                         "  came    [2, 3]\n"
                         "  hint: reduce with a loss, or call backward(seed) with a gradient",
                         ShapeError);
    CHECK_THROWS_WITH_AS(y.backward(Tensor<float>::ones({6})),
                         "[backward] the seed has another shape than the variable\n"
                         "  expected  [2, 3]\n"
                         "  came    [6]",
                         ShapeError);
  }

  TEST_CASE("a hundred thousand ops in a row need no deep stack") {
    for (const bool walk : {true, false}) {
      Tape tape;
      auto ctx = Context::training(tape);
      const auto x = Variable<float>::leaf(Tensor<float>::ones({1}), tape);
      auto y = x;
      for (int i = 0; i < 100000; ++i) y = ops::scale(y, 1, ctx);
      if (!walk) continue;
      y.backward();
      check_equal(x.gradient(), {1});
    }
  }

  TEST_CASE("nor does an exception behind four hundred thousand") {
    Tape tape;
    auto ctx = Context::training(tape);
    auto y = Variable<float>::leaf(Tensor<float>::ones({1}), tape);
    for (int i = 0; i < 400000; ++i) y = ops::scale(y, 1, ctx);
    const auto loss = probe(y, ctx, [] { throw StateError("from a closure"); });
    y = {};
    CHECK_THROWS_WITH_AS(loss.backward(), "from a closure", StateError);
    CHECK(tape.nodes.empty());
  }

  TEST_CASE("ops recorded after the loss are passed over") {
    Tape tape;
    auto ctx = Context::training(tape);
    const auto x = Variable<float>::leaf(Tensor<float>::from({1}, {3}), tape);
    const auto loss = ops::sum(square(x, ctx), ctx);
    bool ran = false;
    probe(x, ctx, [&] { ran = true; });
    loss.backward();
    check_equal(x.gradient(), {6});
    CHECK_FALSE(ran);
  }
}

TEST_SUITE("parameters") {
  /// y = x w^T with x of ones, backward with ones: the gradient of w is n everywhere.
  void step(const Parameter<float>& w, std::int64_t n, int uses = 1) {
    Tape tape;
    auto ctx = Context::training(tape);
    const Variable<float> x(Tensor<float>::ones({n, w.shape()[1]}));
    auto loss = ops::sum(ops::linear(x, w, {}, ctx), ctx);
    for (int i = 1; i < uses; ++i)
      loss = ops::add(loss, ops::sum(ops::linear(x, w, {}, ctx), ctx), ctx);
    loss.backward();
  }

  TEST_CASE("the first gradient is stored, later ones are added, zero_grad starts over") {
    const auto w = parameter(values({2, 3}));
    ParameterList<float> list;
    list.append(w.state());
    std::fill_n(w.state()->gradient.data(), 6, 1e30f);  // whatever lies there does not matter
    step(w, 5);
    check_equal(w.gradient(), {5, 5, 5, 5, 5, 5});
    step(w, 2);
    check_equal(w.gradient(), {7, 7, 7, 7, 7, 7});
    list.zero_grad();
    CHECK_FALSE(w.state()->has_gradient);
    step(w, 4, 3);  // one parameter used three times in a pass
    check_equal(w.gradient(), {12, 12, 12, 12, 12, 12});
  }

  TEST_CASE("no backward pass through values that have changed since its forward pass") {
    auto a = parameter(values({1, 3})), b = parameter(values({2, 1}, 2), "");
    Tape first, second;
    const auto loss = [&](Tape& tape) {
      auto ctx = Context::training(tape);
      const Variable<float> x(Tensor<float>::ones({4, 3}));
      return ops::sum(ops::linear(ops::linear(x, a, {}, ctx), b, {}, ctx), ctx);
    };
    const auto one = loss(first), two = loss(second);
    one.backward();
    a.set(values({1, 3}, 3));  // as an optimizer does: the next backward pass would be of neither
    CHECK_THROWS_WITH_AS(two.backward(),
                         "[backward] a parameter has changed since the forward pass read it\n"
                         "  parameter  layer.weight\n"
                         "  hint: call backward for all losses first, and step the optimizer then",
                         StateError);
    Tape third, fourth;
    loss(third).backward();  // a forward pass of its own
    const auto last = loss(fourth);
    b.set(values({2, 1}, 4));
    CHECK_THROWS_WITH_AS(last.backward(),
                         "[backward] a parameter has changed since the forward pass read it\n"
                         "  parameter  (not named yet)\n"
                         "  hint: call backward for all losses first, and step the optimizer then",
                         StateError);
  }

  TEST_CASE("a frozen parameter gets none, and costs no tape") {
    auto w = parameter(values({2, 3}));
    w.state()->trainable = false;
    Tape tape;
    auto ctx = Context::training(tape);
    ops::linear(Variable<float>(values({4, 3})), w, {}, ctx);
    CHECK(tape.nodes.empty());
    const auto x = Variable<float>::leaf(values({4, 3}), tape);
    ops::sum(ops::linear(x, w, {}, ctx), ctx).backward();
    CHECK_FALSE(w.state()->has_gradient);
    CHECK(x.gradient()(0, 0) == doctest::Approx(w.value()(0, 0) + w.value()(1, 0)));
    // What reads its values is of the values that the forward pass read, all the same.
    const auto loss = ops::sum(ops::linear(x, w, {}, ctx), ctx);
    w.set(values({2, 3}, 5));
    CHECK_THROWS_AS(loss.backward(), StateError);
  }

  TEST_CASE("a parameter without values is refused by name") {
    Parameter<float> w({2, 3}, ParameterKind::weight, nullptr);
    w.state()->name = "layer1.0.conv1.weight";
    auto ctx = Context::evaluation();
    CHECK_THROWS_WITH_AS(ops::linear(Variable<float>(values({4, 3})), w, {}, ctx),
                         "[forward] a parameter has no values yet\n"
                         "  parameter  layer1.0.conv1.weight\n"
                         "  hint: call nn::initialize(model, seed) or load a file first",
                         StateError);
    CHECK_THROWS_WITH_AS(w.set(values({3, 2})),
                         "[Parameter::set] the values have another shape\n"
                         "  expected  [2, 3]              layer1.0.conv1.weight\n"
                         "  came    [3, 2]",
                         ShapeError);
  }

  TEST_CASE("flattened, they keep values and gradients and lie side by side") {
    const auto a = parameter(values({2, 3}, 1)), b = parameter(values({4, 3}, 2));
    const auto a_before = a.value().clone(), b_before = b.value().clone();
    ParameterList<float> list;
    list.append(a.state());
    list.append(b.state());
    CHECK(list.elements() == 18);
    step(a, 2);
    list.flatten();
    check_equal(a.value(), {a_before.span().begin(), a_before.span().end()});
    check_equal(b.value(), {b_before.span().begin(), b_before.span().end()});
    CHECK(b.value().data() == a.value().data() + 6);
    CHECK(b.gradient().data() == a.gradient().data() + 6);
    step(a, 3);
    step(b, 7);
    check_equal(a.gradient(), {5, 5, 5, 5, 5, 5});
    check_equal(b.gradient(), std::vector<float>(12, 7));
    const float* values_at = a.value().data();
    list.flatten();
    CHECK(a.value().data() == values_at);
  }

  TEST_CASE("packed forms are kept until the values change, apart for each kernel and variant") {
    const auto w = parameter(Tensor<float>::from({2}, {1, 2}));
    const char kernel = 0, other = 0;
    int fills = 0;
    const auto pack = [&](const void* who, std::uint64_t variant) {
      const auto* packed = w.state()->packed(who, variant, 8, [&](std::byte* to) {
        ++fills;
        std::memcpy(to, w.value().data(), 8);
      });
      return *reinterpret_cast<const float*>(packed);
    };
    CHECK(pack(&kernel, 0) == 1);
    CHECK(pack(&kernel, 0) == 1);
    CHECK(fills == 1);
    pack(&kernel, 1);
    pack(&other, 0);
    CHECK(fills == 3);
    auto moved = parameter(Tensor<float>::from({2}, {7, 8}));
    w.state()->value = moved.value();
    ++w.state()->version;  // as an optimizer does
    CHECK(pack(&kernel, 0) == 7);
    CHECK(pack(&kernel, 1) == 7);
    CHECK(pack(&other, 0) == 7);
    CHECK(fills == 6);
    moved.set(Tensor<float>::from({2}, {9, 9}));
    CHECK(pack(&kernel, 0) == 7);  // the version of another parameter says nothing
  }
}

TEST_SUITE("observer") {
  struct Log : Observer {
    std::vector<std::string> lines;
    std::map<const void*, int> made_by;
    void see(const Observation& seen) override {
      std::string line = std::string(seen.op.name) + " at " + seen.path + ":";
      for (const auto& input : seen.inputs) {
        line += input.parameter           ? " " + *input.parameter
                : made_by.count(input.id) ? " #" + std::to_string(made_by[input.id])
                                          : " input";
      }
      made_by[seen.output.id] = static_cast<int>(lines.size());
      lines.push_back(line + " -> " + to_string(seen.output.shape) + ", " +
                      std::to_string(seen.output.bytes) + " bytes, " +
                      std::to_string(seen.op.macs) + " macs" +
                      (seen.all_finite(seen.value) ? "" : ", not finite"));
    }
  };

  TEST_CASE("sees every op with its inputs, path and cost, with a tape or without") {
    const auto w = parameter(values({4, 3}), "head.0.weight");
    Log log;
    auto ctx = Context::evaluation();
    ctx.observer = &log;
    ctx.path = "body";
    const Variable<float> x(values({2, 3}));
    const auto y = ops::linear(x, w, {}, ctx);
    const auto z = ops::add(y, square(y, ctx), ctx);
    ops::scale(z, std::numeric_limits<double>::infinity(), ctx);
    REQUIRE(log.lines.size() == 4);
    CHECK(log.lines[0] == "linear at head.0: input head.0.weight -> [2, 4], 32 bytes, 24 macs");
    CHECK(log.lines[1] == "square at body: #0 -> [2, 4], 32 bytes, 0 macs");
    CHECK(log.lines[2] == "add at body: #0 #1 -> [2, 4], 32 bytes, 0 macs");
    CHECK(log.lines[3] == "scale at body: #2 -> [2, 4], 32 bytes, 0 macs, not finite");
  }
}

TEST_SUITE("context") {
  TEST_CASE("hands out a random stream for each op, the same in each pass of a step") {
    Tape tape;
    const random::Key step = random::Key{5}.fold(17);
    auto first = Context::training(tape, step), second = Context::training(tape, step);
    const auto a = first.draw(), b = first.draw();
    CHECK(a.value != b.value);
    CHECK(second.draw() == a);
    CHECK(second.draw() == b);
    CHECK(first.is_training());
    CHECK_FALSE(Context::evaluation().is_training());
  }

  TEST_CASE("a scope appends to the path while it lives") {
    auto ctx = Context::evaluation();
    {
      const Context::Scope outer(ctx, "body");
      {
        const Context::Scope inner(ctx, "3");
        CHECK(ctx.path == "body.3");
      }
      CHECK(ctx.path == "body");
    }
    CHECK(ctx.path.empty());
  }
}

TEST_SUITE("gradcheck") {
  using Leaves = std::vector<Variable<double>>;

  Tensor<double> point(const Shape& shape) { return Tensor<double>::normal(shape, {3}); }

  TEST_CASE("passes what is right") {
    const auto result = gradcheck(
        [](Leaves& x, Context& ctx) { return ops::multiply(square(x[0], ctx), x[1], ctx); },
        {point({3, 5}), point({3, 5})});
    CHECK_MESSAGE(result.passed, result.message);
    CHECK(result.error < 1e-8);
  }

  TEST_CASE("leaves its inputs as they were") {
    const auto x = point({4});
    const auto before = x.clone();
    gradcheck([](Leaves& v, Context& ctx) { return square(v[0], ctx); }, {x});
    CHECK(std::equal(x.span().begin(), x.span().end(), before.span().begin()));
  }

  TEST_CASE("rejects gradients that are zero throughout") {
    const auto constant = gradcheck(
        [](Leaves& x, Context& ctx) { return ops::scale(x[0], 0, ctx); }, {point({2, 3})});
    CHECK_FALSE(constant);
    CHECK(constant.message ==
          "the gradient of input 0 [2, 3] is zero throughout: nothing was checked");
    const auto unused = gradcheck([](Leaves& x, Context& ctx) { return square(x[0], ctx); },
                                  {point({2}), point({5})});
    CHECK_FALSE(unused);
    CHECK(unused.message == "the gradient of input 1 [5] is zero throughout: nothing was checked");
  }

  TEST_CASE("catches a wrong factor and a wrong sign") {
    for (const double factor : {2.001, 1.0, -2.0}) {
      const auto result = gradcheck(
          [factor](Leaves& x, Context& ctx) { return square(x[0], ctx, factor); }, {point({7})});
      CHECK_FALSE(result);
      CHECK(result.error > 1e-6);
    }
  }

  TEST_CASE("names the worst element") {
    const auto one_wrong = [](Leaves& x, Context& ctx) {
      return record(ctx, {"copy"}, x[0].value().clone(), inputs(x[0]), [](const auto& dy, auto dx) {
        const auto to = dx.open();
        for (std::size_t i = 0; i < to.span.size(); ++i)
          to.span[i] = dy.data()[i] + (i == 5 ? 2.0 : 1e-3);
      });
    };
    const auto result = gradcheck(one_wrong, {point({3, 4})});
    CHECK_FALSE(result);
    CHECK(result.message.find("input 0 [3, 4], element 5: analytic ") == 0);
    CHECK(result.message.find(", numeric ") != std::string::npos);
    CHECK(result.error > 0.5);
  }

  /// y[i] = sum_t w[t] x[i + t - 1] on a line, 3 taps; `shift` moves the taps of the backward pass.
  Variable<double> filter(const Variable<double>& x, const Variable<double>& w, Context& ctx,
                          std::int64_t shift) {
    const auto n = x.value().size();
    const auto each = [n](auto f) {
      for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t t = 0; t < 3; ++t) {
          if (const auto from = i + t - 1; from >= 0 && from < n) f(i, t, from);
        }
      }
    };
    auto y = Tensor<double>::zeros({n});
    each([&](auto i, auto t, auto from) {
      y.data()[i] += w.value().data()[t] * x.value().data()[from];
    });
    return record(ctx, {"filter"}, y, inputs(x, w),
                  [=, xv = x.value(), wv = w.value()](const auto& dy, auto dx, auto dw) {
                    const auto to_x = dx.open(), to_w = dw.open();
                    std::fill(to_x.span.begin(), to_x.span.end(), 0.0);
                    std::fill(to_w.span.begin(), to_w.span.end(), 0.0);
                    each([&](auto i, auto t, auto from) {
                      to_x.span[from] += wv.data()[(t + shift) % 3] * dy.data()[i];
                      to_w.span[t] += xv.data()[from] * dy.data()[i];
                    });
                  });
  }

  TEST_CASE("catches a tap that is off by one") {
    const auto check = [](std::int64_t shift) {
      return gradcheck([shift](Leaves& x, Context& ctx) { return filter(x[0], x[1], ctx, shift); },
                       {point({9}), Tensor<double>::from({3}, {0.5, -1, 2})});
    };
    CHECK(check(0));
    const auto wrong = check(1);
    CHECK_FALSE(wrong);
    CHECK(wrong.message.find("input 0 [9], element ") == 0);
  }

  TEST_CASE("catches an error that hides in one channel of many") {
    const auto op = [](Leaves& x, Context& ctx) {
      return record(ctx, {"copy"}, x[0].value().clone(), inputs(x[0]), [](const auto& dy, auto dx) {
        const auto to = dx.open();
        for (std::size_t i = 0; i < to.span.size(); ++i)
          to.span[i] = i % 32 == 7 ? 0 : dy.data()[i];
      });
    };
    CHECK_FALSE(gradcheck(op, {point({2, 8, 8, 32})}));
  }

  TEST_CASE("fails where a gradient is not a number") {
    const auto op = [](Leaves& x, Context& ctx) {
      return record(ctx, {"copy"}, x[0].value().clone(), inputs(x[0]), [](const auto&, auto dx) {
        const auto to = dx.open();
        std::fill(to.span.begin(), to.span.end(), std::nan(""));
      });
    };
    CHECK_FALSE(gradcheck(op, {point({2})}));
  }
}
