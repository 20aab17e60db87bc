// Folding batch normalisation into convolutions, freezing, and one model run by several threads.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include <tinynet/models.hpp>
#include <tinynet/nn.hpp>
#include <tinynet/ops.hpp>
#include <tinynet/optim.hpp>

#include "messages.hpp"

using namespace tinynet;
using tests::contains;
using tests::message_of;

namespace {

const models::ResNetOptions small_resnet{.channels = 2, .widths = {8, 16}, .blocks = {1, 2}};
const models::ResNetOptions small_se_resnet{
    .channels = 1, .widths = {8, 16}, .blocks = {1, 1}, .squeeze_excite = 4};
const models::DepthwiseNetOptions small_depthwise{.widths = {8, 16}, .blocks = 1};
const models::CnnOptions pooled_cnn{.channels = 3,
                                    .image = 16,
                                    .widths = {8, 12},
                                    .convolutions = 2,
                                    .batch_norm = true,
                                    .hidden = 16};

/// First values, and statistics as training leaves them: far from mean 0 and variance 1.
template <class Model>
void make_trained(Model& model, double lowest_scale = 0.5) {
  nn::initialize(model, 1);
  const nn::Members members(model);
  random::Key key{7};
  members.for_parameters([&](const std::string& name, auto& parameter) {
    auto& state = *parameter.state();
    key = key.fold(name);
    if (state.kind == ParameterKind::norm_scale) {
      nn::init::fill(parameter, nn::init::uniform(lowest_scale, 1.5), key);
    }
    if (state.kind == ParameterKind::norm_shift) {
      nn::init::fill(parameter, nn::init::normal(0, 0.3), key);
    }
  });
  members.for_buffers([&](const std::string& name, auto& buffer) {
    key = key.fold(name);
    const bool variance = name.find("running_var") != std::string::npos;
    const auto rule = variance ? nn::init::uniform(0.3, 3) : nn::init::normal(0, 0.5);
    rule(buffer, key);
  });
}

template <Scalar T, class Model>
std::vector<double> evaluate(Model& model, const Shape& shape) {
  auto ctx = Context::evaluation();
  const auto x = Tensor<T>::normal(shape, random::Key{3});
  const auto y = model(Variable<T>(x), ctx).value();
  std::vector<double> values;
  for (const auto v : y.span()) values.push_back(static_cast<double>(v));
  return values;
}

double largest(const std::vector<double>& values) {
  double most = 0;
  for (const auto v : values) most = std::max(most, std::abs(v));
  return most;
}

/// The largest difference, relative to the largest value.
double difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most / largest(b);
}

/// Folds a model of T and compares its outputs with those before; gives what was folded.
template <Scalar T, template <class> class Model, class Options>
nn::Folding check_folding(const Options& options, const Shape& shape, double bound) {
  CAPTURE(type_name<T>());
  Model<T> model(options);
  make_trained(model);
  const auto before = evaluate<T>(model, shape);
  auto one = shape;
  one[0] = 1;
  const auto folding = nn::fold_batch_norm<T>(model, one);
  CHECK(difference(evaluate<T>(model, shape), before) < bound);
  CHECK(folding.kept.empty());
  const auto summary = nn::summary<T>(model, shape);
  CHECK(std::none_of(summary.rows.begin(), summary.rows.end(),
                     [](const auto& row) { return row.op == "batch_norm"; }));
  return folding;
}

template <template <class> class Model, class Options>
void check_folding_of_all_types(const Options& options, const Shape& shape,
                                std::size_t normalisations) {
  // In double what is left of an error of principle is 1e-14; in float and bfloat16 the bounds are
  // a few roundings of the type for each of up to nine layers.
  CHECK(check_folding<double, Model>(options, shape, 1e-12).folded.size() == normalisations);
  CHECK(check_folding<float, Model>(options, shape, 2e-5).folded.size() == normalisations);
  CHECK(check_folding<bfloat16, Model>(options, shape, 6e-2).folded.size() == normalisations);
}

struct GatedBlockOptions {
  int channels = 4;
};

/// A block as a user writes one from the functions that the models call.
template <Scalar T>
struct GatedBlock {
  GatedBlockOptions options;
  nn::Conv2d<T> conv;
  nn::BatchNorm2d<T> norm;
  nn::SqueezeExcite<T> se;

  explicit GatedBlock(const GatedBlockOptions& o)
      : options(o),
        conv({.in = o.channels, .out = o.channels, .padding = 1, .bias = false}),
        norm({.channels = o.channels}),
        se({.channels = o.channels, .reduction = 2}) {}
  Variable<T> operator()(const Variable<T>& x, Context& ctx) {
    const auto gate = [&](const Variable<param_t<T>>& means, Context& c) {
      return se.gate(means, c);
    };
    return nn::conv_norm_gate_act<T>(conv, norm, gate, x, x, ops::Relu{}, ctx);
  }
  void members(nn::Members& m) {
    m("conv", conv);
    m("norm", norm);
    m("se", se);
  }
};

nn::Sequential<float> conv_norm(bool pooled) {
  nn::Sequential<float> model(nn::Conv2d<float>({.in = 3, .out = 4}));
  if (pooled) model.add(nn::MaxPool2d<float>());
  model.add(nn::BatchNorm2d<float>({.channels = 4}));
  return model;
}

}  // namespace

TEST_CASE("folded models compute the same") {
  SUBCASE("ResNet") { check_folding_of_all_types<models::ResNet>(small_resnet, {3, 12, 12, 2}, 8); }
  SUBCASE("SE-ResNet") {
    check_folding_of_all_types<models::ResNet>(small_se_resnet, {3, 12, 12, 1}, 6);
  }
  SUBCASE("a block with a gate") {
    check_folding_of_all_types<GatedBlock>(GatedBlockOptions{}, {3, 6, 6, 4}, 1);
  }
  SUBCASE("depthwise net") {
    check_folding_of_all_types<models::DepthwiseNet>(small_depthwise, {3, 12, 12, 3}, 6);
  }
  SUBCASE("CNN whose normalisation stands behind a max pool") {
    check_folding_of_all_types<models::Cnn>(pooled_cnn, {3, 16, 16, 3}, 4);
  }
}

TEST_CASE("a fold names the layers") {
  models::ResNet<float> model(small_resnet);
  make_trained(model);
  const auto folding = nn::fold_batch_norm(model, {1, 8, 8, 2});
  REQUIRE(folding.folded.size() == 8);
  CHECK(folding.folded[0].norm == "bn1");
  CHECK(folding.folded[0].into == "conv1");
  CHECK(folding.folded[4].norm == "layer2.0.downsample.1");
  CHECK(folding.folded[4].into == "layer2.0.downsample.0");
  CHECK(nn::fold_batch_norm(model, {1, 8, 8, 2}).folded.empty());  // nothing is left
}

TEST_CASE("no fold where the result would differ") {
  const Shape image{1, 8, 8, 3};
  const auto only_refusal = [&](auto& model) {
    const auto before = evaluate<float>(model, image);
    const auto folding = nn::fold_batch_norm(model, image);
    CHECK(folding.folded.empty());
    CHECK(evaluate<float>(model, image) == before);
    REQUIRE(folding.kept.size() == 1);
    return folding.kept[0].why;
  };
  SUBCASE("negative scales behind a max pool") {
    auto model = conv_norm(true);
    make_trained(model, -1.5);
    CHECK(contains(only_refusal(model), "some of its scales are negative"));
    auto unpooled = conv_norm(false);
    make_trained(unpooled, -1.5);
    const auto before = evaluate<float>(unpooled, image);
    CHECK(nn::fold_batch_norm(unpooled, image).folded.size() == 1);
    CHECK(difference(evaluate<float>(unpooled, image), before) < 1e-5);
  }
  SUBCASE("an activation between") {
    nn::Sequential<float> model(nn::Conv2d<float>({.in = 3, .out = 4}), nn::Relu<float>(),
                                nn::BatchNorm2d<float>({.channels = 4}));
    make_trained(model);
    CHECK(contains(only_refusal(model), "does not follow a convolution"));
  }
  SUBCASE("before the convolution, whose padding it does not shift") {
    nn::Sequential<float> model(nn::BatchNorm2d<float>({.channels = 3}),
                                nn::Conv2d<float>({.in = 3, .out = 4, .padding = 1}));
    make_trained(model);
    CHECK(contains(only_refusal(model), "does not follow a convolution"));
  }
  struct Twice {
    nn::Conv2d<float> conv{{.in = 3, .out = 3, .padding = 1}};
    nn::BatchNorm2d<float> norm{{.channels = 3}};
    bool shares;
    explicit Twice(bool s) : shares(s) {}
    Variable<float> operator()(const Variable<float>& x, Context& ctx) {
      const auto y = conv(x, ctx);
      return ops::add(norm(y, ctx), shares ? y : conv(y, ctx), ctx);
    }
    void members(nn::Members& m) {
      m("conv", conv);
      m("norm", norm);
    }
  };
  SUBCASE("another reader of the convolution") {
    Twice model(true);
    make_trained(model);
    CHECK(contains(only_refusal(model), "others read the output"));
  }
  SUBCASE("a convolution that runs twice") {
    Twice model(false);
    make_trained(model);
    CHECK(contains(only_refusal(model), "more than once"));
  }
}

TEST_CASE("a folded model does not train, and its files are not taken for an unfolded one's") {
  auto model = conv_norm(false);
  make_trained(model);
  nn::fold_batch_norm(model, {1, 8, 8, 3});
  CHECK(nn::Members(model).entries().size() == 2);
  Tape tape;
  auto ctx = Context::training(tape);
  const Variable<float> x(Tensor<float>::zeros({2, 8, 8, 3}));
  const auto message = message_of<StateError>([&] { model(x, ctx); });
  CHECK(contains(message, "[batch_norm] this layer was folded into the convolution before it"));
  CHECK(contains(message, "in      1"));
  CHECK(contains(message, "nn::clone(model)"));
}

TEST_CASE("an op that joins does not take a normalisation that was folded away") {
  GatedBlock<float> block({.channels = 4});
  make_trained(block);
  nn::fold_batch_norm(block, {1, 6, 6, 4});
  CHECK(message_of<StateError>([&] { block.norm.weights(); }) ==
        "[batch_norm] this layer was folded into the convolution before it\n"
        "  in      norm\n"
        "  hint: where joins() is false call the layer itself, which is the identity");
}

TEST_CASE("a bias that folding has added begins at zero") {
  nn::Sequential<float> model(nn::Conv2d<float>({.in = 3, .out = 4, .bias = false}),
                              nn::BatchNorm2d<float>({.channels = 4}));
  make_trained(model);
  nn::fold_batch_norm(model, {1, 8, 8, 3});
  nn::initialize(model, 3);
  const auto parameters = nn::parameters(model);
  REQUIRE(parameters.size() == 2);
  CHECK(parameters[1]->name == "0.bias");
  for (const float v : parameters[1]->value.span()) CHECK(v == 0);
}

TEST_CASE("a frozen model keeps its values") {
  models::ResNet<float> model(small_resnet);
  make_trained(model);
  CHECK(message_of<StateError>([&] {
          nn::freeze(model, {});
          optim::Sgd<float>(nn::parameters(model), {});
        }) != "");  // an optimizer would move what other threads read
  CHECK(message_of<StateError>([&] { nn::fold_batch_norm(model, {1, 8, 8, 2}); }) != "");
  nn::unfreeze(model);
  optim::Sgd<float> sgd(nn::parameters(model), {.lr = 0.1});
  {
    Tape tape;
    auto ctx = Context::training(tape);
    const auto loss =
        ops::mean(model(Variable<float>(Tensor<float>::ones({2, 8, 8, 2})), ctx), ctx);
    nn::freeze(model, {{1, 8, 8, 2}});
    loss.backward();  // begun before
    CHECK_THROWS_AS(sgd.step(), StateError);
  }
  const auto before = evaluate<float>(model, {2, 8, 8, 2});
  const auto says = message_of<StateError>([&] { nn::initialize(model, 2); });
  CHECK(contains(says, "[Parameter] the values of a frozen model do not change"));
  CHECK(contains(says, "parameter  conv1.weight"));
  CHECK(contains(says, "nn::unfreeze(model)"));
  CHECK(evaluate<float>(model, {2, 8, 8, 2}) == before);

  {
    Tape tape;
    auto ctx = Context::training(tape);
    const Variable<float> x(Tensor<float>::ones({2, 8, 8, 2}));
    for (const bool fuse : {true, false}) {
      ctx.fuse = fuse;
      CHECK(message_of<StateError>([&] { model(x, ctx); }) ==
            "[batch_norm] training would move the running statistics of a frozen model\n  in      "
            "bn1\n  hint: run it with Context::evaluation(), or call nn::unfreeze(model) once no "
            "other thread runs it");
    }
    CHECK(evaluate<float>(model, {2, 8, 8, 2}) == before);

    // In evaluation it may be part of a training, which it takes no part in.
    auto frozen = Context::evaluation();
    frozen.tape = &tape;
    CHECK(contains(message_of<StateError>([&] { ops::mean(model(x, frozen), ctx).backward(); }),
                   "nothing was recorded"));
  }
  CHECK_THROWS_AS(sgd.step(), StateError);
  nn::unfreeze(model);
  nn::initialize(model, 2);
  CHECK(evaluate<float>(model, {2, 8, 8, 2}) != before);
}

TEST_CASE("freezing makes the packed weights that later calls use") {
  models::ResNet<float> model(small_resnet);
  make_trained(model);
  nn::freeze(model, {{1, 8, 8, 2}, {4, 8, 8, 2}});
  evaluate<float>(model, {1, 8, 8, 2});  // scratch memory of this thread
  evaluate<float>(model, {4, 8, 8, 2});
  const auto before = memory_statistics();
  for (int i = 0; i < 3; ++i) {
    evaluate<float>(model, {1, 8, 8, 2});
    evaluate<float>(model, {4, 8, 8, 2});
  }
  CHECK(memory_statistics().bytes_in_use == before.bytes_in_use);
  CHECK(memory_statistics().system_allocations == before.system_allocations);
}

TEST_CASE_TEMPLATE("several threads run one model", T, float, bfloat16) {
  const auto check = [](auto& model, const Shape& shape, bool warm) {
    make_trained(model);
    nn::fold_batch_norm<T>(model, shape);
    // Without shapes the first calls of the threads pack the weights, at the same time.
    nn::freeze<T>(model, warm ? std::vector<Shape>{shape} : std::vector<Shape>{});
    std::vector<std::vector<double>> results(4);
    std::vector<std::thread> threads;
    for (auto& result : results) {
      threads.emplace_back([&model, &shape, &result] {
        const SerialSection serial;
        for (int i = 0; i < 5; ++i) result = evaluate<T>(model, shape);
      });
    }
    for (auto& thread : threads) thread.join();
    const auto expected = evaluate<T>(model, shape);
    for (const auto& result : results) CHECK(result == expected);
  };
  for (const bool warm : {true, false}) {
    CAPTURE(warm);
    models::ResNet<T> resnet(small_se_resnet);
    check(resnet, {2, 12, 12, 1}, warm);
    models::DepthwiseNet<T> depthwise(small_depthwise);
    check(depthwise, {1, 12, 12, 3}, warm);
    models::Cnn<T> cnn(pooled_cnn);
    check(cnn, {1, 16, 16, 3}, warm);
  }
}
