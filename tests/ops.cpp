// What ops mean, on numbers worked out by hand: definitions, edge values, training and evaluation.
// Gradients and kernel paths are the case list's business, messages those of errors.cpp.
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <tinynet/ops.hpp>

using namespace tinynet;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

Variable<float> variable(const Shape& shape, std::initializer_list<float> values) {
  return Tensor<float>::from(shape, values);
}
Variable<float> counting(const Shape& shape) {
  Tensor<float> tensor(shape);
  for (std::int64_t i = 0; i < tensor.size(); ++i) tensor.data()[i] = static_cast<float>(i);
  return tensor;
}

void check(const Variable<float>& y, const Shape& shape, const std::vector<double>& values,
           double tolerance = 1e-6) {
  REQUIRE(y.shape() == shape);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double came = y.value().data()[i];
    CAPTURE(i);
    if (std::isnan(values[i])) CHECK(std::isnan(came));
    else if (std::isinf(values[i])) CHECK(came == values[i]);
    else CHECK(std::abs(came - values[i]) <= tolerance * std::max(1.0, std::abs(values[i])));
  }
}

bool same(const Tensor<float>& a, const Tensor<float>& b) {
  return a.shape() == b.shape() && std::equal(a.span().begin(), a.span().end(), b.span().begin());
}

}  // namespace

TEST_SUITE("activations") {
  TEST_CASE("values, far out and not a number included") {
    auto ctx = Context::evaluation();
    const auto x = variable({7}, {-100, -1, 0, 1, 100, infinity, not_a_number});
    check(ops::relu(x, ctx), {7}, {0, 0, 0, 1, 100, infinity, not_a_number});
    check(ops::leaky_relu(x, ctx), {7}, {-1, -0.01, 0, 1, 100, infinity, not_a_number});
    check(ops::leaky_relu(x, {.slope = 0.5}, ctx), {7},
          {-50, -0.5, 0, 1, 100, infinity, not_a_number});
    check(ops::sigmoid(x, ctx), {7}, {0, 0.2689414, 0.5, 0.7310586, 1, 1, not_a_number});
    check(ops::tanh(x, ctx), {7}, {-1, -0.7615942, 0, 0.7615942, 1, 1, not_a_number});
    const auto y = variable({5}, {-100, -1, 0, 1, 100});
    check(ops::silu(y, ctx), {5}, {0, -0.2689414, 0, 0.7310586, 100});
    check(ops::gelu(y, ctx), {5}, {0, -0.1586553, 0, 0.8413447, 100});
    check(ops::hard_swish(y, ctx), {5}, {0, -1.0 / 3, 0, 2.0 / 3, 100});
  }
}

TEST_SUITE("arithmetic") {
  TEST_CASE("element by element, and by channel") {
    auto ctx = Context::evaluation();
    const auto a = variable({3}, {1, 2, 3}), b = variable({3}, {4, -5, 6});
    check(ops::add(a, b, ctx), {3}, {5, -3, 9});
    check(ops::multiply(a, b, ctx), {3}, {4, -10, 18});
    check(ops::scale(a, -2, ctx), {3}, {-2, -4, -6});
    check(ops::sum(b, ctx), {}, {5});
    check(ops::mean(b, ctx), {}, {5.0 / 3});
    check(ops::scale_channels(counting({2, 1, 2, 2}), variable({2, 2}, {1, 10, 2, 0}), ctx),
          {2, 1, 2, 2}, {0, 10, 2, 30, 8, 0, 12, 0});
  }

  TEST_CASE("a sum of bf16 is formed and kept in float") {
    auto ctx = Context::evaluation();
    const Variable<bfloat16> ones(Tensor<bfloat16>::ones({100001}));
    CHECK(ops::sum(ones, ctx).item() == 100001.0f);
    CHECK(ops::mean(ones, ctx).item() == doctest::Approx(1));
  }

  TEST_CASE("cast rounds to nearest even, and costs nothing where the type stays") {
    auto ctx = Context::evaluation();
    const auto x = variable({3}, {1.00390625f, 1.01171875f, 1e10f});
    const auto narrow = ops::cast<bfloat16>(x, ctx);
    CHECK(narrow.value()(0).bits == 0x3f80);
    CHECK(narrow.value()(1).bits == 0x3f82);
    CHECK(std::isinf(float(ops::cast<float16>(x, ctx).value()(2))));
    check(ops::cast<float>(narrow, ctx), {3}, {1, 1.015625, 1e10}, 1e-2);
    CHECK(ops::cast<float>(x, ctx).value().data() == x.value().data());
    CHECK(ops::cast<double>(x, ctx).value()(0) == 1.00390625);
  }
}

TEST_SUITE("layout") {
  TEST_CASE("concat joins channels in order") {
    auto ctx = Context::evaluation();
    check(ops::concat(std::vector{counting({2, 2}), counting({2, 1}), counting({2, 3})}, ctx),
          {2, 6}, {0, 1, 0, 0, 1, 2, 2, 3, 1, 3, 4, 5});
  }
  TEST_CASE("pad puts zeros around the image") {
    auto ctx = Context::evaluation();
    check(ops::pad(variable({1, 1, 2, 1}, {5, 6}), {.top = 1, .left = 2, .right = 1}, ctx),
          {1, 2, 5, 1}, {0, 0, 0, 0, 0, 0, 0, 5, 6, 0});
  }
  TEST_CASE("reshape and flatten keep memory as it is") {
    auto ctx = Context::evaluation();
    const auto x = counting({2, 2, 3, 2});
    CHECK(ops::flatten(x, ctx).shape() == Shape{2, 12});
    CHECK(ops::flatten(x, ctx).value().data() == x.value().data());
    CHECK(ops::reshape(x, {4, 6}, ctx).value()(3, 5) == 23);
    CHECK_THROWS_AS(ops::reshape(x, {5, 5}, ctx), ShapeError);
  }
}

TEST_SUITE("softmax") {
  TEST_CASE("large values neither overflow nor lose the small ones") {
    auto ctx = Context::evaluation();
    const auto x = variable({2, 3}, {1000, 1000, -infinity, 1e4f, 0, -1e4f});
    check(ops::softmax(x, ctx), {2, 3}, {0.5, 0.5, 0, 1, 0, 0});
    check(ops::log_softmax(x, ctx), {2, 3},
          {-std::log(2.0), -std::log(2.0), -infinity, 0, -1e4, -2e4});
  }
}

TEST_SUITE("convolution") {
  TEST_CASE("is a cross-correlation: the window is not turned") {
    auto ctx = Context::evaluation();
    const auto x = counting({1, 2, 3, 1});
    const auto w = variable({1, 2, 2, 1}, {1, 10, 100, 1000});
    check(ops::conv2d(x, w, {}, ctx), {1, 1, 2, 1}, {4310, 5421});
    check(ops::conv2d(x, w, variable({1}, {0.5}), {.stride = 2, .padding = 1}, ctx), {1, 2, 2, 1},
          {0.5, 2100.5, 30.5, 54.5});
  }

  TEST_CASE("sums over channels, groups keep theirs apart") {
    auto ctx = Context::evaluation();
    const auto x = variable({1, 1, 1, 4}, {1, 2, 3, 4});
    check(ops::conv2d(x, variable({2, 1, 1, 4}, {1, 1, 1, 1, 1, 10, 100, 1000}), {}, ctx),
          {1, 1, 1, 2}, {10, 4321});
    check(ops::conv2d(x, variable({2, 1, 1, 2}, {1, 10, 1, 10}), {.groups = 2}, ctx), {1, 1, 1, 2},
          {21, 43});
    check(ops::conv2d(x, variable({4, 1, 1, 1}, {1, 10, 100, 1000}), {.groups = 4}, ctx),
          {1, 1, 1, 4}, {1, 20, 300, 4000});
  }

  TEST_CASE("dilation spreads the taps, padding is zero") {
    auto ctx = Context::evaluation();
    const auto x = variable({1, 1, 5, 1}, {1, 2, 3, 4, 5});
    const auto w = variable({1, 1, 3, 1}, {1, 10, 100});
    check(ops::conv2d(x, w, {.dilation = 2}, ctx), {1, 1, 1, 1}, {531});
    check(ops::conv2d(ops::pad(x, {.left = 2, .right = 2}, ctx), w, {.dilation = 2}, ctx),
          {1, 1, 5, 1}, {310, 420, 531, 42, 53});
  }

  TEST_CASE("depthwise filters every channel by itself") {
    auto ctx = Context::evaluation();
    const auto x = variable({1, 1, 3, 2}, {1, 10, 2, 20, 3, 30});
    const auto w = variable({2, 1, 2, 1}, {1, 1, 1, -1});
    check(ops::depthwise_conv2d(x, w, variable({2}, {0, 5}), {}, ctx), {1, 1, 2, 2},
          {3, -5, 5, -5});
  }

  TEST_CASE("linear multiplies by the transposed weight") {
    auto ctx = Context::evaluation();
    const auto x = variable({2, 2}, {1, 2, 3, 4}), w = variable({3, 2}, {1, 0, 0, 1, 1, 1});
    check(ops::linear(x, w, {}, ctx), {2, 3}, {1, 2, 3, 3, 4, 7});
    check(ops::linear(x, w, variable({3}, {10, 20, 30}), ctx), {2, 3}, {11, 22, 33, 13, 24, 37});
  }
}

TEST_SUITE("pooling") {
  TEST_CASE("padding never is the maximum, but counts in a mean") {
    auto ctx = Context::evaluation();
    const auto x = variable({1, 2, 2, 1}, {-1, -2, -3, -4});
    check(ops::max_pool2d(x, {.kernel = 2, .stride = 2, .padding = 1}, ctx), {1, 2, 2, 1},
          {-1, -2, -3, -4});
    check(ops::avg_pool2d(x, {.kernel = 2, .stride = 2, .padding = 1}, ctx), {1, 2, 2, 1},
          {-0.25, -0.5, -0.75, -1});
    check(ops::avg_pool2d(x, {}, ctx), {1, 1, 1, 1}, {-2.5});
    check(ops::global_average_pool(x, ctx), {1, 1}, {-2.5});
  }

  TEST_CASE("of equal values the first gets the gradient") {
    Tape tape;
    auto ctx = Context::training(tape);
    const auto x = Variable<float>::leaf(Tensor<float>::ones({1, 2, 2, 1}), tape);
    ops::max_pool2d(x, {}, ctx).backward();
    check(x.gradient(), {1, 2, 2, 1}, {1, 0, 0, 0});
  }

  TEST_CASE("not a number wins") {
    auto ctx = Context::evaluation();
    check(ops::max_pool2d(variable({1, 2, 2, 1}, {1, not_a_number, 3, 2}), {}, ctx), {1, 1, 1, 1},
          {not_a_number});
  }
}

TEST_SUITE("batch norm") {
  struct Norm {
    Variable<float> gamma = Tensor<float>::from({2}, {2, 1}),
                    beta = Tensor<float>::from({2}, {0, 10});
    Tensor<float> mean = Tensor<float>::zeros({2}), var = Tensor<float>::ones({2});

    Variable<float> operator()(const Variable<float>& x, Context& ctx,
                               ops::BatchNormSettings s = {}) {
      return ops::batch_norm(x, gamma, beta, mean, var, s, ctx);
    }
  };
  // channel 0: 1 2 3 6, mean 3, biased variance 3.5, unbiased 14 / 3; channel 1: constant
  const auto batch = [] { return variable({4, 2}, {1, 7, 2, 7, 3, 7, 6, 7}); };

  TEST_CASE("training: the batch's biased variance normalises, the unbiased one is remembered") {
    Tape tape;
    auto ctx = Context::training(tape);
    Norm norm;
    const double s = 2 / std::sqrt(3.5 + 1e-5);
    check(norm(batch(), ctx), {4, 2}, {-2 * s, 10, -s, 10, 0, 10, 3 * s, 10});
    check(norm.mean, {2}, {0.3, 0.7});
    check(norm.var, {2}, {0.9 + 0.1 * 14 / 3, 0.9});
    norm(batch(), ctx);
    check(norm.mean, {2}, {0.9 * 0.3 + 0.3, 0.9 * 0.7 + 0.7});
  }

  TEST_CASE("momentum 1 keeps the last batch alone") {
    Tape tape;
    auto ctx = Context::training(tape);
    Norm norm;
    norm(batch(), ctx, {.momentum = 1});
    check(norm.mean, {2}, {3, 7});
    check(norm.var, {2}, {14.0 / 3, 0});
  }

  TEST_CASE("evaluation: running estimates normalise, and stay") {
    auto ctx = Context::evaluation();
    Norm norm;
    norm.mean = Tensor<float>::from({2}, {1, 7});
    norm.var = Tensor<float>::from({2}, {4, 1});
    check(norm(batch(), ctx), {4, 2}, {0, 10, 1, 10, 2, 10, 5, 10}, 1e-4);
    check(norm.mean, {2}, {1, 7});
    check(norm.var, {2}, {4, 1});
    // one value a channel is enough to evaluate
    check(norm(variable({1, 2}, {3, 7}), ctx), {1, 2}, {2, 10}, 1e-4);
  }

  TEST_CASE("a recomputation normalises alike and leaves the running estimates alone") {
    Tape tape;
    auto ctx = Context::training(tape);
    Norm norm;
    const auto first = norm(batch(), ctx);
    const auto mean = norm.mean.clone(), var = norm.var.clone();
    ctx.recompute = true;
    CHECK(same(norm(batch(), ctx).value(), first.value()));
    CHECK(same(norm.mean, mean));
    CHECK(same(norm.var, var));
  }

  TEST_CASE("a large mean does not drown the variance") {
    Tape tape;
    auto ctx = Context::training(tape);
    Norm norm;
    const auto x = variable({4, 2}, {1e4f + 1, 7, 1e4f + 2, 7, 1e4f + 3, 7, 1e4f + 6, 7});
    const double s = 2 / std::sqrt(3.5 + 1e-5);
    check(norm(x, ctx), {4, 2}, {-2 * s, 10, -s, 10, 0, 10, 3 * s, 10}, 1e-3);
  }

  TEST_CASE("the backward pass of evaluation reads the estimates of its forward") {
    Tape tape;
    auto ctx = Context::training(tape);
    ctx.mode = Mode::evaluation;
    Norm norm;
    norm.var = Tensor<float>::full({2}, 4);
    const auto x = Variable<float>::leaf(batch().value(), tape);
    const auto y = norm(x, ctx);
    std::fill_n(norm.var.data(), 2, 100.0f);
    std::fill_n(norm.mean.data(), 2, 100.0f);
    y.backward(Tensor<float>::ones({4, 2}));
    check(x.gradient(), {4, 2}, {1, 0.5, 1, 0.5, 1, 0.5, 1, 0.5}, 1e-4);
  }
}

TEST_SUITE("dropout") {
  constexpr double p = 0.3;

  Variable<float> drop(int kind, const Variable<float>& x, Context& ctx, double probability = p) {
    if (kind == 0) return ops::dropout(x, probability, ctx);
    if (kind == 1) return ops::dropout2d(x, probability, ctx);
    return ops::drop_path(x, probability, ctx);
  }

  TEST_CASE("drops the right share and keeps the mean") {
    for (int kind = 0; kind < 3; ++kind) {
      CAPTURE(kind);
      Tape tape;
      auto ctx = Context::training(tape, {21});
      // blocks that live or die together: 40000 elements, channels or samples
      const Shape shape = kind == 0   ? Shape{40000}
                          : kind == 1 ? Shape{200, 2, 1, 200}
                                      : Shape{40000, 2};
      const auto y = drop(kind, Tensor<float>::ones(shape), ctx);
      double mean = 0, dropped = 0;
      for (const float v : y.value().span()) {
        const bool kept_or_dropped = v == 0 || v == static_cast<float>(1 / (1 - p));
        REQUIRE(kept_or_dropped);
        mean += v / double(y.value().size());
        dropped += (v == 0) / double(y.value().size());
      }
      const double deviation = std::sqrt(p * (1 - p) / 40000);
      CHECK(std::abs(dropped - p) < 5 * deviation);
      CHECK(std::abs(mean - 1) < 5 * deviation / (1 - p));
    }
  }

  TEST_CASE("the same key draws the same mask: in a second pass, for any threads, in bf16") {
    const auto x = Tensor<float>::ones({8, 10, 10, 40});
    const int before = num_threads();
    for (int kind = 0; kind < 3; ++kind) {
      CAPTURE(kind);
      Tape tape;
      auto first = Context::training(tape, {22}), second = Context::training(tape, {22});
      second.recompute = true;
      const auto y = drop(kind, x, first);
      set_num_threads(3);
      CHECK(same(drop(kind, x, second).value(), y.value()));
      set_num_threads(before);
      CHECK_FALSE(same(drop(kind, x, first).value(), y.value()));  // the next op of the pass
      auto other = Context::training(tape, {23});
      CHECK_FALSE(same(drop(kind, x, other).value(), y.value()));
    }
    Tape tape;
    auto wide = Context::training(tape, {22}), narrow = Context::training(tape, {22});
    const auto y = ops::dropout(Variable<float>(x), p, wide);
    const auto z = ops::dropout(Variable<bfloat16>(Tensor<bfloat16>::ones(x.shape())), p, narrow);
    for (std::int64_t i = 0; i < y.value().size(); ++i) {
      REQUIRE((y.value().data()[i] == 0) == (float(z.value().data()[i]) == 0));
    }
  }

  TEST_CASE("the gradient passes where the value did, by the same factor") {
    for (int kind = 0; kind < 3; ++kind) {
      Tape tape;
      auto ctx = Context::training(tape, {24});
      const auto x = Variable<float>::leaf(Tensor<float>::ones({6, 3, 3, 5}), tape);
      const auto y = drop(kind, x, ctx);
      y.backward(Tensor<float>::ones(x.shape()));
      CHECK(same(x.gradient(), y.value()));
    }
  }

  TEST_CASE("evaluation and p = 0 hand the variable on") {
    Tape tape;
    auto evaluation = Context::evaluation();
    auto training = Context::training(tape);
    const Variable<float> x(Tensor<float>::ones({2, 2, 2, 2}));
    for (int kind = 0; kind < 3; ++kind) {
      CHECK(drop(kind, x, evaluation).value().data() == x.value().data());
      CHECK(drop(kind, x, training, 0).value().data() == x.value().data());
    }
  }
}

TEST_SUITE("losses") {
  TEST_CASE("cross entropy of labels, targets, smoothed, summed") {
    auto ctx = Context::evaluation();
    const auto x = variable({2, 2}, {0, std::log(3.0f), 0, 0});
    const auto labels = Tensor<std::int32_t>::from({2}, {1, 0});
    const double first = std::log(4.0 / 3), second = std::log(2.0);
    check(ops::cross_entropy(x, labels, {}, ctx), {}, {(first + second) / 2});
    check(ops::cross_entropy(x, labels, {.reduction = ops::Reduction::sum}, ctx), {},
          {first + second});
    const double smooth = 0.9 * first + 0.1 * (first + std::log(4.0)) / 2;
    check(ops::cross_entropy(x, labels, {.label_smoothing = 0.1}, ctx), {},
          {(smooth + second) / 2});
    const auto targets = Tensor<float>::from({2, 2}, {0.25, 0.75, 1, 0});
    const double mixed = 0.25 * std::log(4.0) + 0.75 * first;
    check(ops::cross_entropy(x, targets, {}, ctx), {}, {(mixed + second) / 2});
  }

  TEST_CASE("far out, losses stay finite and right") {
    auto ctx = Context::evaluation();
    const auto x = variable({1, 3}, {1e4f, 0, -1e4f});
    const auto of = [&](std::int32_t label) {
      return ops::cross_entropy(x, Tensor<std::int32_t>::from({1}, {label}), {}, ctx).item();
    };
    CHECK(of(0) == 0);
    CHECK(of(1) == 1e4f);
    CHECK(of(2) == 2e4f);
    const auto bce = [&](float logit, float target) {
      return ops::bce_with_logits(variable({1}, {logit}), Tensor<float>::from({1}, {target}), ctx)
          .item();
    };
    CHECK(bce(1e4f, 1) == 0);
    CHECK(bce(1e4f, 0) == 1e4f);
    CHECK(bce(-1e4f, 1) == 1e4f);
    CHECK(bce(-1e4f, 0) == 0);
    CHECK(bce(0, 0.3f) == doctest::Approx(std::log(2.0)));
  }

  TEST_CASE("mse is the mean of squares") {
    auto ctx = Context::evaluation();
    check(ops::mse(variable({2, 2}, {1, 2, 3, 4}), Tensor<float>::from({2, 2}, {1, 0, 0, 8}), ctx),
          {}, {29.0 / 4});
  }

  TEST_CASE("a loss over bf16 predictions is a float") {
    auto ctx = Context::evaluation();
    const Variable<bfloat16> x(Tensor<bfloat16>::zeros({4, 10}));
    const auto loss = ops::cross_entropy(x, Tensor<std::int32_t>::zeros({4}), {}, ctx);
    static_assert(std::is_same_v<decltype(loss.item()), float>);
    CHECK(loss.item() == doctest::Approx(std::log(10.0)));
  }
}
