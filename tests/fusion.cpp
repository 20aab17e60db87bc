// Layers that run convolution, batch norm, gate, residual and activation joined: the same function as
// the ops one by one, within a bound, in training, evaluation and recomputation.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include <tinynet/models.hpp>
#include <tinynet/nn.hpp>
#include <tinynet/ops/loss.hpp>

using namespace tinynet;

namespace {

/// All ways in which layers join, and neighbours that do not.
template <class T>
struct Mixture {
  nn::Sequential<T> features;
  nn::Linear<param_t<T>> head{{.in = 24, .out = 10}};

  Mixture() {
    features.add(nn::Conv2d<T>({.in = 3, .out = 16, .padding = 1}))
        .add(nn::BatchNorm2d<T>({.channels = 16}))
        .add(nn::Relu<T>())
        .add(nn::BatchNorm2d<T>({.channels = 16}))  // of what was joined: no convolution's sums
        .add(nn::BatchNorm2d<T>({.channels = 16}))
        .add(nn::Conv2d<T>({.in = 16, .out = 24, .padding = 1}))
        .add(nn::MaxPool2d<T>())
        .add(nn::BatchNorm2d<T>({.channels = 24}))
        .add(nn::LeakyRelu<T>{{.slope = 0.2}})
        .add(nn::DepthwiseSeparableConv2d<T>({.in = 24, .out = 24}))
        .add(nn::BatchNorm2d<T>({.channels = 24}))
        .add(nn::ConvNormAct<T, ops::Silu>({.in = 24, .out = 24, .padding = 1}))
        .add(nn::GlobalAveragePool<T>())
        .add(nn::BatchNorm2d<T>({.channels = 24}))
        .add(nn::Gelu<T>());
  }
  Variable<param_t<T>> operator()(const Variable<T>& x, Context& ctx) {
    return head(ops::cast<param_t<T>>(features(x, ctx), ctx), ctx);
  }
  void members(nn::Members& m) {
    m("features", features);
    m("head", head);
  }
};

template <class T>
struct SeNet : models::ResNet<T> {
  SeNet()
      : models::ResNet<T>(
            {.widths = {16, 24}, .blocks = {1, 2}, .squeeze_excite = 4, .drop_path = 0.3}) {}
};
template <class T>
struct PlainResNet : models::ResNet<T> {
  PlainResNet() : models::ResNet<T>({.widths = {16, 24}, .blocks = {1, 2}, .drop_path = 0.3}) {}
};
template <class T>
struct Depthwise : models::DepthwiseNet<T> {
  Depthwise() : models::DepthwiseNet<T>({.widths = {16, 20}, .blocks = 1}) {}
};
template <class T>
struct Pooled : models::Cnn<T> {
  Pooled()
      : models::Cnn<T>({.channels = 3,
                        .image = 12,
                        .widths = {16, 20},
                        .convolutions = 2,
                        .batch_norm = true,
                        .hidden = 0}) {}
};

/// A block of a user's own, written with what the models call.
template <class T>
struct Gated {
  using P = param_t<T>;
  nn::Conv2d<T> conv{{.in = 3, .out = 12, .padding = 1, .bias = false}};
  nn::BatchNorm2d<T> bn{{.channels = 12}};
  nn::SqueezeExcite<T> se{{.channels = 12, .reduction = 3}};
  nn::Conv2d<T> past{{.in = 3, .out = 12, .kernel = 1}};
  nn::Linear<P> head{{.in = 12, .out = 10}};

  Variable<P> operator()(const Variable<T>& x, Context& ctx) {
    const auto gate = [&](const Variable<P>& means, Context& inner) {
      return se.gate(means, inner);
    };
    const auto y = nn::conv_norm_gate_act<T>(conv, bn, gate, x, past(x, ctx), ops::Silu{}, ctx);
    return head(ops::cast<P>(ops::global_average_pool(y, ctx), ctx), ctx);
  }
  void members(nn::Members& m) {
    m("conv", conv);
    m("bn", bn);
    m("se", se);
    m("past", past);
    m("head", head);
  }
};

/// Gates and residual behind a pool.
template <class T>
struct Seair : models::Airbench<T> {
  Seair()
      : models::Airbench<T>({.image = 12,
                             .widths = {8, 12, 16},
                             .depth = 3,
                             .squeeze_excite = 4,
                             .activation = models::AirbenchActivation::silu}) {}
};

void append(std::vector<double>& to, const auto& tensor) {
  to.insert(to.end(), tensor.span().begin(), tensor.span().end());
}

/// Logits, gradients and running statistics after one pass on one batch.
template <class T, template <class> class Model>
std::vector<double> pass(Context ctx, std::uint64_t seed = 3) {
  Model<T> model;
  nn::initialize(model, seed);
  const nn::Members members(model);
  Tape tape;
  ctx.tape = &tape;
  ctx.key = random::Key{4};
  Tensor<std::int32_t> labels({12});
  for (std::int32_t i = 0; i < 12; ++i) labels(i) = i % 10;
  // The same images in all precisions: those of bfloat16.
  const auto rounded = Tensor<bfloat16>::normal({12, 12, 12, 3}, random::Key{5}, 0.3f);
  Tensor<T> images(rounded.shape());
  for (std::int64_t i = 0; i < images.size(); ++i) {
    images.data()[i] = static_cast<T>(static_cast<float>(rounded.data()[i]));
  }
  const auto x = Variable<T>::leaf(images, tape);
  const auto logits = model(x, ctx);
  ops::cross_entropy(logits, labels, {}, ctx).backward();
  std::vector<double> all;
  append(all, logits.value());
  append(all, x.gradient());
  members.for_parameters([&](const auto&, auto& parameter) {
    if (parameter.state()->trainable) append(all, parameter.gradient());
  });
  members.for_buffers([&](const auto&, auto& buffer) { append(all, buffer); });
  return all;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(difference / size);
}

/// What bfloat16 may do to the gradients of a few images. A max pool hands a gradient on to one pixel of
/// four: where two of them lie within a rounding, which is one window in a hundred, to another one than
/// in double, and sqrt(2 / 100) of the gradient's norm is wrong behind each of the two pools.
template <template <class> class Model>
constexpr double training_error = 0.05;
template <>
constexpr double training_error<Pooled> = 0.1;

/// How many initialisations that error is the root mean square of. Which windows are that close is luck: with
/// pools it lies between 0.06 and 0.14 for one; for a hundred it is 0.092 in vectors and 0.099 in tiles, which
/// round the weights too.
template <template <class> class Model>
constexpr std::uint64_t initialisations = 1;
template <>
constexpr std::uint64_t initialisations<Pooled> = 100;

template <template <class> class Model>
double root_mean_square_error(const Context& ctx) {
  double squares = 0;
  for (std::uint64_t i = 0; i < initialisations<Model>; ++i) {
    const double error =
        distance(pass<bfloat16, Model>(ctx, 3 + i), pass<double, Model>(ctx, 3 + i));
    squares += error * error;
  }
  return std::sqrt(squares / static_cast<double>(initialisations<Model>));
}

template <template <class> class Model>
void check_model(Context ctx) {
  auto apart = ctx;
  apart.fuse = false;
  const auto exact = pass<double, Model>(apart);
  CHECK(distance(pass<double, Model>(ctx), exact) < 1e-11);
  CHECK(distance(pass<float, Model>(ctx), exact) < 2e-5);
  // Joined, fewer results are rounded: they err about as much as those of the ops one by one, or less.
  const auto apart_error = distance(pass<bfloat16, Model>(apart), exact);
  CHECK(distance(pass<bfloat16, Model>(ctx), exact) < 1.5 * apart_error);
  if (ctx.is_training()) CHECK(root_mean_square_error<Model>(apart) < training_error<Model>);
  else CHECK(apart_error < 0.01);
}

template <template <class> class Model>
void check_modes() {
  SUBCASE("training") { check_model<Model>({.mode = Mode::training}); }
  SUBCASE("evaluation") { check_model<Model>({}); }
  SUBCASE("recomputation") { check_model<Model>({.mode = Mode::training, .recompute = true}); }
}

std::string ops_of(const nn::Summary& summary) {
  std::string all;
  for (const auto& row : summary.rows) all += row.path + " " + row.op + "\n";
  return all;
}

}  // namespace

TEST_CASE("joined and one by one agree: Sequential") { check_modes<Mixture>(); }
TEST_CASE("joined and one by one agree: residual blocks") { check_modes<PlainResNet>(); }
TEST_CASE("joined and one by one agree: gates") { check_modes<SeNet>(); }
TEST_CASE("joined and one by one agree: a gated block of a user's own") { check_modes<Gated>(); }
TEST_CASE("joined and one by one agree: depthwise blocks") { check_modes<Depthwise>(); }
TEST_CASE("joined and one by one agree: pools between") { check_modes<Pooled>(); }
TEST_CASE("joined and one by one agree: gates behind pools") { check_modes<Seair>(); }

namespace {

/// Two convolutions with a normalisation between them, which is stored or deferred to the second: its
/// output, what becomes of x and the parameters backwards, and the bytes in use in between.
template <class T, class Second>
std::pair<std::vector<double>, std::size_t> two_convolutions(bool deferred, Second second) {
  nn::Conv2d<T> first({.in = 3, .out = 20, .padding = 1, .bias = false});
  nn::BatchNorm2d<T> bn({.channels = 20});
  nn::initialize(first, 1);
  nn::initialize(bn, 2);
  nn::initialize(second, 3);
  Tape tape;
  auto ctx = Context::training(tape);
  const auto x = Variable<T>::leaf(Tensor<T>::normal({4, 9, 8, 3}, random::Key{4}), tape);
  Variable<T> y;
  const auto before = memory_statistics().bytes_in_use;
  if (deferred) {
    y = second(nn::conv_norm_act_deferred<T>(first, bn, x, ops::Silu{}, ctx), ctx);
  } else {
    y = second(nn::conv_norm_act<T>(first, bn, x, {}, ops::Silu{}, ctx), ctx);
  }
  const auto bytes = memory_statistics().bytes_in_use - before;
  std::vector<double> values;
  append(values, y.value());
  ops::mean(ops::multiply(y, y, ctx), ctx).backward();
  append(values, x.gradient());
  for (const nn::Members& members : {nn::Members(first), nn::Members(bn), nn::Members(second)}) {
    members.for_parameters([&](const auto&, auto& each) { append(values, each.gradient()); });
    members.for_buffers([&](const auto&, auto& each) { append(values, each); });
  }
  return {values, bytes};
}

}  // namespace

TEST_CASE_TEMPLATE("a normalisation may be deferred to the convolution behind it", T, float,
                   bfloat16) {
  const auto image = sizeof(T) * 4 * 9 * 8 * 20;
  for (const bool deferred : {false, true}) {  // until scratch memory has grown
    two_convolutions<T>(deferred, nn::DepthwiseConv2d<T>({.channels = 20}));
    two_convolutions<T>(deferred, nn::Conv2d<T>({.in = 20, .out = 24, .stride = 2, .padding = 1}));
  }
  SUBCASE("any") {
    const nn::Conv2dOptions options{.in = 20, .out = 24, .stride = 2, .padding = 1};
    const auto stored = two_convolutions<T>(false, nn::Conv2d<T>(options));
    const auto deferred = two_convolutions<T>(true, nn::Conv2d<T>(options));
    CHECK(deferred.first == stored.first);
    CHECK(deferred.second + image <= stored.second + 1024);
  }
  SUBCASE("depthwise, which does not round what it reads") {
    for (const int stride : {1, 2}) {
      const nn::DepthwiseConv2dOptions options{.channels = 20, .stride = stride};
      const auto stored = two_convolutions<T>(false, nn::DepthwiseConv2d<T>(options));
      const auto deferred = two_convolutions<T>(true, nn::DepthwiseConv2d<T>(options));
      if (sizeof(T) == 4) CHECK(deferred.first == stored.first);
      CHECK(distance(deferred.first, stored.first) < 0.01);
      CHECK(deferred.second + image <= stored.second + 1024);
    }
  }
}

TEST_CASE("a normalised image is gated once") {
  Tape tape;
  auto ctx = Context::training(tape);
  nn::BatchNorm2d<float> bn({.channels = 2});
  nn::initialize(bn, 1);
  const auto x = Variable<float>::leaf(Tensor<float>::normal({2, 3, 3, 2}, random::Key{1}), tape);
  const auto norm = ops::batch_norm_pool<float>(x, {}, bn.weights(), ctx);
  const auto gated = [&] { return ops::gate_act<float>(norm, norm.pooled, {}, ops::Relu{}, ctx); };
  const auto loss = ops::mean(ops::add(gated(), gated(), ctx), ctx);
  CHECK_THROWS_WITH_AS(loss.backward(),
                       "[gate_act] a normalised image was gated twice\n"
                       "  hint: each gate_act needs a batch_norm_pool of its own",
                       StateError);
}

TEST_CASE("in inference sum, gate and activation are joined without normalisation too") {
  const auto outputs = [](bool fuse) {
    Gated<float> model;
    nn::initialize(model, 1);
    nn::fold_batch_norm(model, {1, 4, 4, 3});
    auto ctx = Context::evaluation();
    ctx.fuse = fuse;
    return model(Variable<float>(Tensor<float>::normal({2, 4, 4, 3}, random::Key{2})), ctx).value();
  };
  const auto joined = outputs(true), apart = outputs(false);
  for (std::int64_t i = 0; i < joined.size(); ++i) {
    CHECK(joined.data()[i] == doctest::Approx(apart.data()[i]).epsilon(1e-5));
  }
}

TEST_CASE("a layer that has a formula is not taken for one") {
  struct Doubled {
    ops::Relu formula;
    Variable<float> operator()(const Variable<float>& x, Context& ctx) {
      return ops::scale(ops::relu(x, ctx), 2, ctx);
    }
  };
  nn::Sequential<float> model(nn::BatchNorm2d<float>({.channels = 2}), Doubled{});
  nn::initialize(model, 1);
  const Variable<float> x(Tensor<float>::normal({2, 3, 3, 2}, random::Key{1}));
  auto ctx = Context::evaluation();
  const auto joined = model(x, ctx).value();
  ctx.fuse = false;
  const auto apart = model(x, ctx).value();
  for (std::int64_t i = 0; i < joined.size(); ++i) CHECK(joined.data()[i] == apart.data()[i]);
}

TEST_CASE_TEMPLATE("threads do not change a bit", T, float, bfloat16) {
  const int before = num_threads();
  const auto with = [](int threads) {
    set_num_threads(threads);
    auto all = pass<T, Mixture>({.mode = Mode::training});
    for (const auto& more :
         {pass<T, SeNet>({.mode = Mode::training}), pass<T, Depthwise>({.mode = Mode::training})}) {
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  };
  const auto one = with(1);
  CHECK(one == with(2));
  CHECK(one == with(3));
  set_num_threads(before);
}

TEST_CASE("names do not change") {
  const auto names_of = [](const nn::Members& members) {
    std::string names;
    for (const auto& entry : members.entries()) names += entry.name + " ";
    return names;
  };
  nn::ConvNormAct<float> layer({.in = 3, .out = 8});
  CHECK(names_of(layer) == "conv.weight bn.weight bn.bias bn.running_mean bn.running_var ");
  models::ResNet<float> model({.widths = {16}, .blocks = {1}, .squeeze_excite = 4});
  CHECK(names_of(model).find("layer1.0.se.0.squeeze.weight layer1.0.se.0.excite.weight") !=
        std::string::npos);
}

TEST_CASE("the summary shows what is joined") {
  models::ResNet<float> model(
      {.widths = {16, 24}, .blocks = {1, 1}, .squeeze_excite = 4, .init = nn::init::constant(0.1)});
  nn::initialize(model, 1);
  CHECK(ops_of(nn::summary(model, {1, 8, 8, 3})) ==
        "conv1 conv2d\n"
        "bn1 batch_norm+relu\n"
        "layer1.0.conv1 conv2d\n"
        "layer1.0.bn1 batch_norm+relu deferred\n"
        "layer1.0.conv2 conv2d\n"
        "layer1.0.bn2 batch_norm+pool\n"
        "layer1.0.se.0.squeeze linear\n"
        "layer1.0.se.0 relu\n"
        "layer1.0.se.0.excite linear\n"
        "layer1.0.se.0 sigmoid\n"
        "layer1.0 batch_norm+gate+add+relu\n"
        "layer2.0.conv1 conv2d\n"
        "layer2.0.bn1 batch_norm+relu deferred\n"
        "layer2.0.downsample.0 conv2d\n"
        "layer2.0.downsample.1 batch_norm\n"
        "layer2.0.conv2 conv2d\n"
        "layer2.0.bn2 batch_norm+pool\n"
        "layer2.0.se.0.squeeze linear\n"
        "layer2.0.se.0 relu\n"
        "layer2.0.se.0.excite linear\n"
        "layer2.0.se.0 sigmoid\n"
        "layer2.0 batch_norm+gate+add+relu\n"
        " global_average_pool\n"
        "fc linear\n");
}

TEST_CASE("without fusion a gated block runs op by op") {
  struct Names final : Observer {
    std::string all;
    void see(const Observation& seen) override { all += std::string(seen.op.name) + " "; }
  };
  Gated<float> model;
  nn::initialize(model, 1);
  const auto names = [&](bool fuse) {
    Names seen;
    auto ctx = Context::evaluation();
    ctx.observer = &seen;
    ctx.fuse = fuse;
    model(Variable<float>(Tensor<float>::ones({1, 4, 4, 3})), ctx);
    return seen.all;
  };
  const std::string gate = "linear relu linear sigmoid ", head = "global_average_pool linear ";
  CHECK(names(true) ==
        "conv2d conv2d batch_norm+pool " + gate + "batch_norm+gate+add+silu " + head);
  CHECK(names(false) ==
        "conv2d conv2d batch_norm global_average_pool " + gate + "scale_channels add silu " + head);
}

TEST_CASE("sums that would cancel are not used") {
  // Channels of mean 1000 and deviation 1: squares of floats lose the variance, a second pass finds it.
  const auto x = Tensor<float>::normal({8, 8, 8, 16}, random::Key{1}, 1000);
  nn::Conv2d<float> conv({.in = 16, .out = 16, .kernel = 1, .bias = false});
  nn::BatchNorm2d<float> bn({.channels = 16});
  nn::initialize(conv, 1);
  nn::initialize(bn, 1);
  auto identity = Tensor<float>::zeros({16, 1, 1, 16});
  for (std::int64_t i = 0; i < 16; ++i) identity(i, 0, 0, i) = 1;
  conv.weight.set(identity);
  Tape tape;
  auto ctx = Context::training(tape);
  const auto y = nn::conv_norm_act<float>(conv, bn, x, {}, ops::Identity(), ctx);
  ctx.fuse = false;
  const auto expected = nn::conv_norm_act<float>(conv, bn, x, {}, ops::Identity(), ctx);
  double worst = 0;
  for (std::int64_t i = 0; i < x.size(); ++i) {
    worst = std::max(worst, std::abs(double{y.value().data()[i]} - expected.value().data()[i]));
  }
  CHECK(worst < 2e-4);  // x * scale + shift loses ten bits of 24
}

TEST_CASE("without a tape the normalised image takes the place of the raw one") {
  nn::ConvNormAct<float> layer({.in = 16, .out = 16, .padding = 1});
  nn::initialize(layer, 1);
  const Variable<float> x(Tensor<float>::ones({8, 32, 32, 16}));
  auto ctx = Context::evaluation();
  layer(x, ctx);
  const auto before = memory_statistics();
  reset_memory_peak();
  const auto y = layer(x, ctx);
  const auto image = static_cast<std::size_t>(y.value().size()) * sizeof(float);
  CHECK(memory_statistics().peak_bytes_in_use - before.bytes_in_use < image + image / 2);
}

TEST_CASE("an error names the layer") {
  nn::Sequential<float> model(nn::Conv2d<float>({.in = 3, .out = 8}),
                              nn::BatchNorm2d<float>({.channels = 16}), nn::Relu<float>());
  nn::initialize(model, 1);
  auto ctx = Context::evaluation();
  CHECK_THROWS_WITH_AS(model(Variable<float>(Tensor<float>::ones({1, 5, 5, 3})), ctx),
                       "[batch_norm] input has 8 channels, the layer has 16\n"
                       "  input   [1, 3, 3, 8]        (..., c)\n"
                       "  in      1\n"
                       "  hint: set BatchNorm2dOptions::channels to 8",
                       ShapeError);
}
