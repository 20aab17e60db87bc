// Checkpoints: the same gradients, statistics and names with less memory, in every kind of network.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include <tinynet/autograd/gradcheck.hpp>
#include <tinynet/models/resnet.hpp>
#include <tinynet/nn.hpp>
#include <tinynet/ops.hpp>

#include "messages.hpp"

using namespace tinynet;
using tests::contains;

namespace {

/// A block of all that a second pass might do otherwise: random masks, running statistics, layers
/// that run joined, a pool that remembers places.
template <Scalar T>
nn::Layer<T> block() {
  nn::Sequential<T> body(nn::Conv2d<T>({.in = 4, .out = 4, .padding = 1, .bias = false}),
                         nn::BatchNorm2d<T>({.channels = 4}), nn::Relu<T>(), nn::Dropout2d<T>{0.2},
                         nn::Conv2d<T>({.in = 4, .out = 4, .padding = 1}), nn::Dropout<T>{0.3});
  return nn::Residual<T>{std::move(body), {}, 0.2};
}

template <Scalar T>
nn::Layer<T> maybe(bool checkpoint, nn::Layer<T> layer) {
  if (checkpoint) return nn::Checkpoint<T>(std::move(layer));
  return layer;
}

/// `inner` and `outer`: whether blocks, and pairs of blocks, are checkpoints.
template <Scalar T>
nn::Sequential<T> network(bool inner, bool outer) {
  nn::Sequential<T> pair(maybe<T>(inner, block<T>()), nn::MaxPool2d<T>(),
                         maybe<T>(inner, block<T>()));
  return nn::Sequential<T>(nn::Conv2d<T>({.in = 2, .out = 4, .padding = 1}), nn::Silu<T>(),
                           maybe<T>(outer, std::move(pair)), maybe<T>(inner, block<T>()),
                           nn::GlobalAveragePool<T>(), nn::Linear<T>({.in = 4, .out = 3}));
}

/// Gradients and buffers after steps of training mode, all in one list of numbers.
template <Scalar T, class Model>
std::vector<double> train(Model& model, const Shape& images, bool fuse = true) {
  using P = param_t<T>;
  std::vector<double> seen;
  for (int step = 0; step < 2; ++step) {
    Tape tape;
    auto ctx = Context::training(tape, random::Key{5}.fold(std::uint64_t(step)));
    ctx.fuse = fuse;
    auto x = Tensor<T>::normal(images, random::Key{6});
    Tensor<std::int32_t> labels({images[0]});
    for (std::int64_t i = 0; i < images[0]; ++i) labels(i) = static_cast<std::int32_t>(i % 3);
    const auto leaf = Variable<T>::leaf(x, tape);
    // The image's gradient gathers from two uses, one before and one behind the network.
    auto loss = ops::cross_entropy(model(ops::scale(leaf, 2, ctx), ctx), labels, {}, ctx);
    seen.push_back(static_cast<double>(loss.item()));
    seen.push_back(static_cast<double>(ctx.drawn));
    loss.backward();
    for (const T v : leaf.gradient().span()) seen.push_back(static_cast<double>(v));
    nn::Members(model).for_parameters([&](const auto&, auto& p) {
      if (!p.state()->has_gradient) return;
      for (const auto v : p.gradient().span()) seen.push_back(static_cast<double>(v));
    });
    for (const auto& buffer : nn::buffers<P>(model)) {
      seen.insert(seen.end(), buffer.span().begin(), buffer.span().end());
    }
  }
  return seen;
}

std::vector<std::string> names(const nn::Members& model) {
  std::vector<std::string> all;
  for (const auto& entry : model.entries()) all.push_back(entry.name);
  return all;
}

/// The high-water mark of a step above what was in use before it, in bytes.
template <Scalar T, class Model>
std::size_t peak_of_step(Model& model, const Shape& images) {
  train<T>(model, images);  // packs weights and takes scratch memory
  const auto before = memory_statistics().bytes_in_use;
  reset_memory_peak();
  train<T>(model, images);
  return memory_statistics().peak_bytes_in_use - before;
}

}  // namespace

TEST_CASE_TEMPLATE("gradients and running statistics are the same bits", T, float, bfloat16,
                   double) {
  for (const bool fuse : {true, false}) {
    CAPTURE(fuse);
    auto plain = network<T>(false, false);
    nn::initialize(plain, 1);
    const auto expected = train<T>(plain, {6, 9, 7, 2}, fuse);
    CHECK(std::any_of(expected.begin() + 2, expected.end(), [](double v) { return v != 0; }));
    for (const bool inner : {true, false}) {
      CAPTURE(inner);
      auto model = network<T>(inner, true);
      CHECK(names(model) == names(plain));
      nn::initialize(model, 1);
      CHECK(train<T>(model, {6, 9, 7, 2}, fuse) == expected);
    }
  }
}

TEST_CASE("frozen parameters keep out of a checkpoint as out of any layer") {
  const auto frozen = [](bool checkpoint, const std::string& kept) {
    auto model = network<float>(checkpoint, false);
    nn::initialize(model, 1);
    nn::Members(model).for_parameters(
        [&](const std::string& name, auto& p) { p.state()->trainable = contains(name, kept); });
    return train<float>(model, {4, 8, 8, 2});
  };
  CHECK(frozen(true, "weight") == frozen(false, "weight"));
  CHECK(frozen(true, "2.0.body.1.bias") == frozen(false, "2.0.body.1.bias"));
}

TEST_CASE("a first block trains, whose input has no gradient") {
  const auto gradient = [](bool checkpoint) {
    nn::Sequential<float> model(maybe<float>(checkpoint, block<float>()));
    nn::initialize(model, 1);
    Tape tape;
    auto ctx = Context::training(tape, {3});
    const auto y = model(Variable<float>(Tensor<float>::normal({3, 6, 6, 4}, {4})), ctx);
    ops::mean(y, ctx).backward();
    std::vector<float> all;
    for (const auto& state : nn::parameters(model)) {
      CHECK(state->has_gradient);
      all.insert(all.end(), state->gradient.span().begin(), state->gradient.span().end());
    }
    return all;
  };
  CHECK(gradient(true) == gradient(false));

  Tape tape;
  auto ctx = Context::training(tape);
  const Variable<float> constant(Tensor<float>::ones({2, 2}));
  const auto relu = [](const auto& x, Context& inner) { return ops::relu(x, inner); };
  CHECK_FALSE(ops::checkpoint(relu, constant, ctx).node());  // nothing in it wants a gradient
  CHECK(tape.nodes.empty());
}

TEST_CASE("the tape keeps the input of a checkpoint alone, and the peak falls") {
  const auto deep = [](bool checkpoint) {
    nn::Sequential<float> model;
    for (int i = 0; i < 6; ++i) model.add(maybe<float>(checkpoint, block<float>()));
    model.add(nn::GlobalAveragePool<float>());
    nn::initialize(model, 1);
    return peak_of_step<float>(model, {16, 32, 32, 4});
  };
  const auto without = deep(false), with = deep(true);
  CAPTURE(without);
  CAPTURE(with);
  // Of three images and an input that each of six blocks keeps, one block and the inputs are left.
  CHECK(3 * with < 2 * without);

  Tape tape;
  auto ctx = Context::training(tape);
  const auto x = Variable<float>::leaf(Tensor<float>::ones({16, 32, 32, 4}), tape);
  nn::Checkpoint<float> layer(block<float>());
  nn::initialize(layer, 1);
  layer(x, ctx);
  tape.nodes.clear();
  const auto before = memory_statistics().bytes_in_use;
  const auto y = layer(x, ctx);
  CHECK(memory_statistics().bytes_in_use - before == y.value().buffer().capacity());
}

TEST_CASE("a residual network with gates and dropped samples, in bfloat16") {
  models::ResNetOptions options{.channels = 2,
                                .widths = {8, 16},
                                .blocks = {2, 2},
                                .squeeze_excite = 4,
                                .drop_path = 0.2,
                                .classes = 3};
  models::ResNet<bfloat16> plain(options);
  options.checkpoint = true;
  models::ResNet<bfloat16> model(options);
  CHECK(names(model) == names(plain));
  nn::initialize(plain, 1);
  nn::initialize(model, 1);
  auto copy = nn::clone(model);
  const auto expected = train<bfloat16>(plain, {4, 9, 9, 2});
  CHECK(train<bfloat16>(model, {4, 9, 9, 2}) == expected);
  CHECK(train<bfloat16>(copy, {4, 9, 9, 2}) == expected);
}

TEST_CASE("a folded network looked at with a tape: the same bits with checkpoints") {
  models::ResNetOptions options{
      .channels = 2, .widths = {8, 16}, .blocks = {1, 1}, .squeeze_excite = 4, .classes = 3};
  const auto look = [&](bool checkpoint) {
    options.checkpoint = checkpoint;
    models::ResNet<bfloat16> model(options);
    nn::initialize(model, 1);
    nn::fold_batch_norm<bfloat16>(model, {1, 9, 9, 2});
    Tape tape;
    Context ctx{.tape = &tape};
    const auto x = Variable<bfloat16>::leaf(Tensor<bfloat16>::normal({2, 9, 9, 2}, {3}), tape);
    const auto y = model(x, ctx);
    std::vector<float> values(y.value().span().begin(), y.value().span().end());
    ops::sum(y, ctx).backward();
    const auto gradient = x.gradient();
    for (const auto g : gradient.span()) values.push_back(float(g));
    return values;
  };
  CHECK(look(true) == look(false));
}

TEST_CASE("gradients are those of central differences") {
  nn::Checkpoint<double> layer(block<double>());
  nn::initialize(layer, 1);
  const auto check = gradcheck(
      [&](const auto& in, Context& ctx) {
        ctx.recompute = true;  // the running statistics are not part of the function
        const auto outside = ops::silu(in[1], ctx);  // reached from inside, past the checkpoint
        return ops::checkpoint(
            [&layer, outside](const auto& x, Context& inner) {
              return ops::multiply(layer(ops::silu(x, inner), inner), outside, inner);
            },
            in[0], ctx);
      },
      {Tensor<double>::normal({2, 5, 4, 4}, {1}), Tensor<double>::normal({2, 5, 4, 4}, {2})});
  CHECK_MESSAGE(check, check.message);
}

TEST_CASE("a block may hand on what it got, or change its scalar") {
  Tape tape;
  auto ctx = Context::training(tape);
  const auto x = Variable<float>::leaf(Tensor<float>::full({3}, 2), tape);
  const auto same = ops::checkpoint([](const auto& in, Context&) { return in; }, x, ctx);
  const auto wide = ops::checkpoint(
      [](const auto& in, Context& inner) { return ops::cast<double>(in, inner); }, same, ctx);
  wide.backward(Tensor<double>::full({3}, 5));
  for (const float v : x.gradient().span()) CHECK(v == 5);
}

TEST_CASE("a model may move between the passes, and evaluation needs no checkpoint") {
  nn::Sequential<float> model(nn::Checkpoint<float>(block<float>()));
  nn::initialize(model, 1);
  Tape tape;
  auto ctx = Context::training(tape, {3});
  const auto x = Variable<float>::leaf(Tensor<float>::normal({2, 5, 5, 4}, {4}), tape);
  const auto loss = ops::mean(model(x, ctx), ctx);
  const auto moved = std::move(model);
  loss.backward();
  CHECK(std::any_of(x.gradient().span().begin(), x.gradient().span().end(),
                    [](float v) { return v != 0; }));
}

TEST_CASE("what comes out in another shape the second time is named") {
  Tape tape;
  auto ctx = Context::training(tape);
  int calls = 0;
  const auto x = Variable<float>::leaf(Tensor<float>::ones({2, 3}), tape);
  const auto y = ops::checkpoint(
      [&calls](const auto& in, Context& inner) {
        return ops::reshape(in, calls++ ? Shape{6} : Shape{3, 2}, inner);
      },
      x, ctx);
  const auto says = tests::message_of<StateError>([&] { y.backward(Tensor<float>::ones({3, 2})); });
  CHECK(says ==
        "[checkpoint] the block computed another shape the second time\n"
        "  forward [3, 2]\n"
        "  backward  [6]\n"
        "  hint: what a checkpoint runs must depend on its input, its parameters and the Context "
        "alone");
}
