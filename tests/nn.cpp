// Layers: names, first values, copies, moves, containers, summaries; bits that do not depend on threads.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <tinynet/models/resnet.hpp>
#include <tinynet/nn.hpp>
#include <tinynet/nn/save.hpp>
#include <tinynet/ops.hpp>
#include <tinynet/optim.hpp>

using namespace tinynet;
using Names = std::vector<std::string>;

namespace {

template <class Model>
Names parameter_names(Model& model) {
  Names names;
  nn::Members(model).for_parameters([&](const auto& name, auto&) { names.push_back(name); });
  return names;
}
template <class Model>
Names buffer_names(Model& model) {
  Names names;
  nn::Members(model).for_buffers([&](const auto& name, auto&) { names.push_back(name); });
  return names;
}

/// All parameters and buffers of a network that is not of double, bit for bit.
template <class Model>
std::vector<std::uint32_t> bits(Model& model) {
  std::vector<std::uint32_t> all;
  const auto append = [&](const auto& tensor) {
    for (const auto x : tensor.span())
      all.push_back(std::bit_cast<std::uint32_t>(static_cast<float>(x)));
  };
  const nn::Members members(model);
  members.for_parameters([&](const auto&, auto& parameter) { append(parameter.value()); });
  members.for_buffers([&](const auto&, auto& buffer) { append(buffer); });
  return all;
}

template <class T>
bool same(const Tensor<T>& a, const Tensor<T>& b) {
  return a.shape() == b.shape() && std::equal(a.span().begin(), a.span().end(), b.span().begin());
}

Tensor<float> noise(const Shape& shape, std::uint64_t seed = 1) {
  return Tensor<float>::normal(shape, random::Key{seed});
}

template <class Model>
Tensor<float> evaluate(Model& model, const Tensor<float>& x) {
  auto ctx = Context::evaluation();
  return model(Variable<float>(x), ctx).value();
}

/// One step of descent on the mean of the output.
template <class Model>
void train_once(Model& model, optim::Sgd<float>& sgd, const Tensor<float>& x) {
  Tape tape;
  auto ctx = Context::training(tape);
  ops::mean(model(Variable<float>(x), ctx), ctx).backward();
  sgd.step();
}

nn::Sequential<float> small_sequential() {
  nn::Sequential<float> model(nn::Conv2d<float>({.in = 2, .out = 3, .padding = 1}),
                              nn::Relu<float>());
  model.add("pool", nn::GlobalAveragePool<float>());
  model.add("fc", nn::Linear<float>({.in = 3, .out = 4}));
  return model;
}

/// A user's network: no options, no clone of its own.
struct TwoLayers {
  nn::Linear<float> first{{.in = 3, .out = 5}};
  nn::Linear<float> second{{.in = 5, .out = 2}};

  Variable<float> operator()(const Variable<float>& x, Context& ctx) {
    return second(ops::relu(first(x, ctx), ctx), ctx);
  }
  void members(nn::Members& m) {
    m("first", first);
    m("second", second);
  }
};

/// One convolution run twice: one set of weights, two places.
struct Tied {
  nn::Conv2d<float> conv{{.in = 4, .out = 4, .padding = 1}};

  Variable<float> operator()(const Variable<float>& x, Context& ctx) {
    return conv(conv(x, ctx), ctx);
  }
  void members(nn::Members& m) { m("conv", conv); }
};

models::ResNet<float> small_resnet() {
  return models::ResNet<float>(
      {.channels = 1, .widths = {4, 6}, .blocks = {1, 2}, .squeeze_excite = 2});
}

}  // namespace

TEST_SUITE("members") {
  TEST_CASE("names are PyTorch's") {
    models::ResNet<float> model({.channels = 1, .widths = {4, 8}, .blocks = {1, 1}});
    CHECK(parameter_names(model) == Names{"conv1.weight",
                                          "bn1.weight",
                                          "bn1.bias",
                                          "layer1.0.conv1.weight",
                                          "layer1.0.bn1.weight",
                                          "layer1.0.bn1.bias",
                                          "layer1.0.conv2.weight",
                                          "layer1.0.bn2.weight",
                                          "layer1.0.bn2.bias",
                                          "layer2.0.conv1.weight",
                                          "layer2.0.bn1.weight",
                                          "layer2.0.bn1.bias",
                                          "layer2.0.conv2.weight",
                                          "layer2.0.bn2.weight",
                                          "layer2.0.bn2.bias",
                                          "layer2.0.downsample.0.weight",
                                          "layer2.0.downsample.1.weight",
                                          "layer2.0.downsample.1.bias",
                                          "fc.weight",
                                          "fc.bias"});
    CHECK(buffer_names(model) ==
          Names{"bn1.running_mean", "bn1.running_var", "layer1.0.bn1.running_mean",
                "layer1.0.bn1.running_var", "layer1.0.bn2.running_mean", "layer1.0.bn2.running_var",
                "layer2.0.bn1.running_mean", "layer2.0.bn1.running_var",
                "layer2.0.bn2.running_mean", "layer2.0.bn2.running_var",
                "layer2.0.downsample.1.running_mean", "layer2.0.downsample.1.running_var"});
  }

  TEST_CASE("a bias that is left out is not listed, layers without members are passed over") {
    nn::Conv2d<float> conv({.in = 1, .out = 2, .bias = false});
    CHECK(parameter_names(conv) == Names{"weight"});
    auto model = small_sequential();
    CHECK(parameter_names(model) == Names{"0.weight", "0.bias", "fc.weight", "fc.bias"});
    CHECK(buffer_names(model).empty());
  }

  TEST_CASE("kinds: what weight decay goes by") {
    models::ResNet<float> model({.channels = 1, .widths = {4}, .blocks = {1}});
    nn::Members(model).for_parameters([](const std::string& name, auto& parameter) {
      CAPTURE(name);
      const bool norm = name.find("bn") != name.npos;
      const bool bias = name.find("bias") != name.npos;
      const auto expected = norm ? (bias ? ParameterKind::norm_shift : ParameterKind::norm_scale)
                                 : (bias ? ParameterKind::bias : ParameterKind::weight);
      CHECK(parameter.state()->kind == expected);
    });
  }

  TEST_CASE("parameters are listed in order, named, and of the type asked for") {
    auto model = small_sequential();
    const auto list = nn::parameters(model);
    REQUIRE(list.size() == 4);
    CHECK(list[0]->name == "0.weight");
    CHECK(list[3]->name == "fc.bias");
    CHECK(list.elements() == nn::count_parameters(model));
    CHECK(nn::count_parameters(model) == 2 * 9 * 3 + 3 + 3 * 4 + 4);
    CHECK(nn::parameter_bytes(model) == 4 * nn::count_parameters(model));

    nn::Linear<double> twice({.in = 2, .out = 3});
    CHECK(nn::parameters<double>(twice).size() == 2);
    CHECK(nn::parameter_bytes(twice) == 8 * 9);
    CHECK_THROWS_WITH_AS(nn::parameters(twice),
                         "[parameters] the model has parameters of another type\n"
                         "  asked for  float\n"
                         "  parameter  weight\n"
                         "  hint: networks of double: nn::parameters<double>(model)",
                         StateError);
    CHECK_THROWS_AS(nn::parameters<double>(model), StateError);
  }

  TEST_CASE("parameters stay float where activations are stored in 16 bits") {
    CHECK(std::is_same_v<decltype(nn::Conv2d<bfloat16>::weight), Parameter<float>>);
    CHECK(std::is_same_v<decltype(nn::BatchNorm2d<float16>::running_var), Tensor<float>>);
    CHECK(std::is_same_v<decltype(nn::Linear<double>::weight), Parameter<double>>);
    CHECK(std::is_same_v<decltype(nn::SqueezeExcite<bfloat16>::squeeze), nn::Linear<float>>);
  }
}

template <class Options>
concept BuiltFromNothing = requires {
  Options{};
};

TEST_CASE("options without a sensible default cannot be left out") {
  CHECK_FALSE(BuiltFromNothing<nn::Conv2dOptions>);
  CHECK_FALSE(BuiltFromNothing<nn::LinearOptions>);
  CHECK_FALSE(BuiltFromNothing<nn::BatchNorm2dOptions>);
  CHECK_FALSE(BuiltFromNothing<nn::DepthwiseConv2dOptions>);
  CHECK_FALSE(BuiltFromNothing<nn::DepthwiseSeparableOptions>);
  CHECK_FALSE(BuiltFromNothing<nn::SqueezeExciteOptions>);
  CHECK(BuiltFromNothing<models::ResNetOptions>);
  CHECK_FALSE(std::is_copy_constructible_v<nn::Conv2d<float>>);
  CHECK_FALSE(std::is_copy_constructible_v<nn::Sequential<float>>);
  CHECK_FALSE(std::is_copy_constructible_v<nn::Residual<float>>);
  CHECK_FALSE(std::is_copy_constructible_v<models::ResNet<float>>);
}

TEST_SUITE("first values") {
  TEST_CASE("are a function of seed and name") {
    auto a = small_resnet(), b = small_resnet(), other = small_resnet();
    nn::initialize(a, 7);
    nn::initialize(b, 7);
    nn::initialize(other, 8);
    CHECK(bits(a) == bits(b));
    CHECK(bits(a) != bits(other));
    // same shape, another name
    nn::Sequential<float> twins(nn::Linear<float>({.in = 3, .out = 4}),
                                nn::Linear<float>({.in = 3, .out = 4}));
    nn::initialize(twins, 7);
    const auto list = nn::parameters(twins);
    CHECK_FALSE(same(list[0]->value, list[2]->value));
    CHECK_FALSE(same(list[1]->value, list[3]->value));
    // same name, another model around it
    TwoLayers two;
    nn::initialize(two, 7);
    struct Larger {
      nn::Conv2d<float> conv{{.in = 1, .out = 2}};
      nn::Linear<float> first{{.in = 3, .out = 5}};
      void members(nn::Members& m) {
        m("conv", conv);
        m("first", first);
      }
    } larger;
    nn::initialize(larger, 7);
    CHECK(same(two.first.weight.value(), larger.first.weight.value()));
  }

  /// Checks a large sample against the promised mean, deviation and bound within five deviations of
  /// their estimates; `kurtosis` is 1.8 for a uniform and 3 for a normal law.
  void check_law(const Tensor<float>& sample, double mean, double deviation, double kurtosis) {
    const auto n = static_cast<double>(sample.size());
    REQUIRE(n > 5000);
    double sum = 0, squares = 0, farthest = 0;
    for (const double x : sample.span()) {
      sum += x;
      squares += (x - mean) * (x - mean);
      farthest = std::max(farthest, std::abs(x - mean));
    }
    CHECK(std::abs(sum / n - mean) < 5 * deviation / std::sqrt(n));
    CHECK(std::abs(squares / n / (deviation * deviation) - 1) < 5 * std::sqrt((kurtosis - 1) / n));
    if (kurtosis < 2) {
      const double bound = deviation * std::sqrt(3.0);
      CHECK(farthest <= bound * (1 + 1e-6));
      CHECK(farthest > 0.99 * bound);
    } else {
      CHECK(farthest > 3 * deviation);
      CHECK(farthest < 6 * deviation);
    }
  }

  TEST_CASE("PyTorch's defaults: U(+-1 / sqrt(fan_in)) for weights and biases") {
    const auto check_uniform = [](const auto& parameter, double bound) {
      check_law(parameter.value(), 0, bound / std::sqrt(3.0), 1.8);
    };
    nn::Linear<float> linear({.in = 40, .out = 6000});
    nn::initialize(linear, 1);
    check_uniform(linear.weight, 1 / std::sqrt(40.0));
    check_uniform(linear.bias, 1 / std::sqrt(40.0));
    nn::Conv2d<float> conv({.in = 8, .out = 6000, .kernel = 3, .groups = 2});
    nn::initialize(conv, 1);
    check_uniform(conv.weight, 1 / std::sqrt(4 * 9.0));
    check_uniform(conv.bias, 1 / std::sqrt(4 * 9.0));
    nn::DepthwiseConv2d<float> depthwise({.channels = 6000, .kernel = 5, .bias = true});
    nn::initialize(depthwise, 1);
    check_uniform(depthwise.weight, 1 / 5.0);
    check_uniform(depthwise.bias, 1 / 5.0);
  }

  TEST_CASE("kaiming and xavier, with fans as PyTorch counts them") {
    using nn::init::Init;
    const auto sample = [](const Init& init) {  // fan-in 8 * 9, fan-out 100 * 9
      nn::Conv2d<float> conv({.in = 8, .out = 100, .init = init});
      nn::initialize(conv, 3);
      return conv.weight.value();
    };
    const double in = 72, out = 900;
    check_law(sample(nn::init::kaiming_uniform()), 0, std::sqrt(2 / in), 1.8);
    check_law(sample(nn::init::kaiming_normal()), 0, std::sqrt(2 / in), 3);
    check_law(sample(nn::init::kaiming_normal(0.2)), 0, std::sqrt(2 / 1.04 / in), 3);
    check_law(sample(nn::init::kaiming_normal(0, Init::Scale::fan_out)), 0, std::sqrt(2 / out), 3);
    check_law(sample(nn::init::kaiming_uniform(1, Init::Scale::fan_out)), 0, std::sqrt(1 / out),
              1.8);
    check_law(sample(nn::init::xavier_uniform()), 0, std::sqrt(2 / (in + out)), 1.8);
    check_law(sample(nn::init::xavier_normal(3)), 0, 3 * std::sqrt(2 / (in + out)), 3);
    check_law(sample(nn::init::normal(0.5, 0.1)), 0.5, 0.1, 3);
    check_law(sample(nn::init::uniform(-1, 3)), 1, 4 / std::sqrt(12.0), 1.8);
    CHECK(same(sample(nn::init::constant(0.25)), Tensor<float>::full({100, 3, 3, 8}, 0.25f)));
  }

  TEST_CASE("batch norm begins as the identity") {
    nn::BatchNorm2d<float> bn({.channels = 3});
    nn::initialize(bn, 1);
    CHECK(same(bn.weight.value(), Tensor<float>::ones({3})));
    CHECK(same(bn.bias.value(), Tensor<float>::zeros({3})));
    CHECK(same(bn.running_mean, Tensor<float>::zeros({3})));
    CHECK(same(bn.running_var, Tensor<float>::ones({3})));
  }

  TEST_CASE("fill replaces those of one parameter, and the network notices") {
    TwoLayers model;
    nn::initialize(model, 1);
    const auto x = noise({2, 3});
    const auto before = evaluate(model, x);
    nn::init::fill(model.second.weight, nn::init::constant(0), random::Key{1});
    nn::init::fill(model.second.bias, nn::init::constant(2), random::Key{1});
    CHECK_FALSE(same(before, Tensor<float>::full({2, 2}, 2)));
    CHECK(same(evaluate(model, x), Tensor<float>::full({2, 2}, 2)));
  }

  TEST_CASE("using a parameter without values is an error that says what to do") {
    auto model = small_resnet();
    CHECK_THROWS_WITH_AS(nn::save(model, "unsaved.safetensors"),
                         "[save] a parameter has no values yet\n"
                         "  parameter  conv1.weight\n"
                         "  hint: call nn::initialize(model, seed) or load a file first",
                         StateError);
    CHECK_THROWS_WITH_AS(evaluate(model, noise({1, 8, 8, 1})),
                         "[forward] a parameter has no values yet\n"
                         "  parameter  (not named yet)\n"
                         "  hint: call nn::initialize(model, seed) or load a file first",
                         StateError);
    const auto list = nn::parameters(model);
    CHECK_THROWS_WITH_AS(evaluate(model, noise({1, 8, 8, 1})),
                         "[forward] a parameter has no values yet\n"
                         "  parameter  conv1.weight\n"
                         "  hint: call nn::initialize(model, seed) or load a file first",
                         StateError);
    CHECK_THROWS_WITH_AS(optim::Sgd(list, {.lr = 0.1}),
                         "[Sgd] a parameter has no values yet\n"
                         "  parameter  conv1.weight\n"
                         "  hint: call nn::initialize(model, seed) or load a file first",
                         StateError);
    CHECK_THROWS_AS(nn::summary(model, {1, 8, 8, 1}), StateError);
  }
}

TEST_SUITE("copies and moves") {
  /// A clone computes the same, and neither notices what happens to the other.
  template <class Model>
  void check_clone(Model model, const Tensor<float>& x) {
    nn::initialize(model, 5);
    auto copy = nn::clone(model);
    const auto before = bits(model);
    CHECK(parameter_names(copy) == parameter_names(model));
    CHECK(bits(copy) == before);
    CHECK(same(evaluate(copy, x), evaluate(model, x)));

    optim::Sgd sgd(nn::parameters(model), {.lr = 0.5});
    train_once(model, sgd, x);
    CHECK(bits(model) != before);
    CHECK(bits(copy) == before);
    auto second = nn::clone(std::as_const(model));  // from values in a flat buffer
    CHECK(bits(second) == bits(model));
    CHECK_FALSE(same(evaluate(second, x), evaluate(copy, x)));
  }

  TEST_CASE("clone") {
    SUBCASE("a leaf") {
      check_clone(nn::Linear<float>({.in = 3, .out = 2}), noise({4, 3}));
      check_clone(nn::BatchNorm2d<float>({.channels = 3, .momentum = 0.5}), noise({4, 3}));
    }
    SUBCASE("a container") { check_clone(small_sequential(), noise({2, 5, 4, 2})); }
    SUBCASE("a residual branch") {
      nn::Residual<float> residual;
      residual.body.add(nn::Conv2d<float>({.in = 2, .out = 2, .padding = 1}));
      check_clone(std::move(residual), noise({2, 5, 4, 2}));
    }
    SUBCASE("a family with options") { check_clone(small_resnet(), noise({2, 9, 8, 1})); }
    SUBCASE("a user's struct with a default constructor") {
      check_clone(TwoLayers(), noise({4, 3}));
    }
  }

  TEST_CASE("a clone keeps what is frozen, and options") {
    nn::Conv2d<float> conv({.in = 3, .out = 2, .stride = 2});
    conv.weight.state()->trainable = false;
    const auto copy = nn::clone(conv);
    CHECK_FALSE(copy.weight.state()->trainable);
    CHECK(copy.bias.state()->trainable);
    CHECK_FALSE(copy.weight.state()->initialized);
    CHECK(copy.options.stride == 2);
  }

  TEST_CASE("values go between models of the same members only") {
    TwoLayers from, to;
    nn::initialize(from, 1);
    nn::copy_values(nn::Members(from), nn::Members(to));
    CHECK(bits(from) == bits(to));
    const auto with = [](auto... layers) { return nn::Sequential<float>(std::move(layers)...); };
    const nn::LinearOptions options{.in = 3, .out = 5};
    auto one = with(nn::Linear<float>(options));
    auto two = with(nn::Linear<float>(options), nn::Linear<float>({.in = 5, .out = 2}));
    auto later = with(nn::Relu<float>(), nn::Linear<float>(options));
    auto wider = with(nn::Linear<float>({.in = 4, .out = 5}));
    CHECK_THROWS_WITH_AS(nn::copy_values(nn::Members(one), nn::Members(two)),
                         "[copy_values] the models have different numbers of members\n  from    "
                         "2\n  to      4\n  hint: "
                         "copy a model before its batch normalisation is folded",
                         StateError);
    CHECK_THROWS_WITH_AS(nn::copy_values(nn::Members(one), nn::Members(wider)),
                         "[copy_values] the shapes differ\n  member  0.weight", StateError);
    CHECK_THROWS_WITH_AS(nn::copy_values(nn::Members(one), nn::Members(later)),
                         "[copy_values] the models differ\n  member  0.weight", StateError);
  }

  TEST_CASE("a model may move between forward, backward and step") {
    auto model = small_sequential();
    nn::initialize(model, 1);
    auto still = nn::clone(model);
    optim::Sgd sgd(nn::parameters(model), {.lr = 0.5});
    optim::Sgd still_sgd(nn::parameters(still), {.lr = 0.5});
    const auto x = noise({2, 5, 4, 2});
    Tape tape;
    auto ctx = Context::training(tape);
    const auto loss = ops::mean(model(Variable<float>(x), ctx), ctx);
    const auto moved = std::make_unique<nn::Sequential<float>>(std::move(model));
    loss.backward();
    sgd.step();
    train_once(still, still_sgd, x);
    CHECK(bits(*moved) == bits(still));
    train_once(*moved, sgd, x);
    train_once(still, still_sgd, x);
    CHECK(bits(*moved) == bits(still));
  }

  TEST_CASE("frozen parameters keep their bits, the others train") {
    auto model = small_sequential();
    nn::initialize(model, 1);
    const auto list = nn::parameters(model);
    list[0]->trainable = false;
    const auto before = list[0]->value.clone(), bias = list[1]->value.clone();
    optim::Sgd sgd(list, {.lr = 0.5, .weight_decay = 0.1});
    CHECK(sgd.parameters().size() == 3);
    for (int i = 0; i < 3; ++i) train_once(model, sgd, noise({2, 5, 4, 2}));
    CHECK(same(list[0]->value, before));
    CHECK_FALSE(list[0]->has_gradient);
    CHECK_FALSE(same(list[1]->value, bias));
  }

  TEST_CASE("a file gives a model back, in PyTorch's layout") {
    const auto path = std::filesystem::temp_directory_path() / "tinynet_test_nn.safetensors";
    auto model = small_resnet(), other = small_resnet();
    nn::initialize(model, 1);
    auto ctx = Context::evaluation();
    ctx.mode = Mode::training;  // moves the running statistics
    model(Variable<float>(noise({4, 8, 8, 1})), ctx);
    nn::save(model, path);
    nn::load(other, path);
    CHECK(bits(other) == bits(model));
    const auto file = io::Safetensors::open(path);
    CHECK(file.shape("layer2.0.conv1.weight") == Shape{6, 4, 3, 3});
    const auto weight = file.read<float>("layer2.0.conv1.weight");
    nn::Members(model).for_parameters([&](const std::string& name, auto& parameter) {
      if (name == "layer2.0.conv1.weight")
        CHECK(weight(5, 3, 2, 1) == parameter.value()(5, 2, 1, 3));
    });

    nn::Sequential<float> stranger;
    stranger.add("fc", nn::Linear<float>({.in = 6, .out = 7}));
    stranger.add("extra", nn::Linear<float>({.in = 7, .out = 2, .bias = false}));
    try {
      nn::load(stranger, path);
      FAIL("nothing was thrown");
    } catch (const StateError& error) {
      const std::string text = error.what();
      CAPTURE(text);
      CHECK(text.find("[load] the file does not hold this model\n  file    " + path.string() +
                      "\n  missing \n    extra.weight\n"
                      "  unexpected  \n    conv1.weight\n    bn1.weight\n") == 0);
      CHECK(text.find("\n    fc.weight: expected [7, 6], file [10, 6]\n") != text.npos);
      CHECK(text.find("\n  hint: build the model with the options that it was saved with") !=
            text.npos);
    }
    CHECK_FALSE(nn::parameters(stranger)[0]->initialized);
    std::filesystem::remove(path);
  }
}

TEST_SUITE("containers and blocks") {
  TEST_CASE("Sequential names its layers, takes lambdas, and nests") {
    nn::Sequential<float> inner(nn::Linear<float>({.in = 3, .out = 3}));
    nn::Sequential<float> model;
    model.add(nn::Flatten<float>())
        .add("inner", std::move(inner))
        .add([](const Variable<float>& x, Context& ctx) { return ops::scale(x, 2, ctx); })
        .add("head", nn::Linear<float>({.in = 3, .out = 1}));
    CHECK(parameter_names(model) ==
          Names{"inner.0.weight", "inner.0.bias", "head.weight", "head.bias"});
    REQUIRE(model.layers.size() == 4);
    CHECK(model.layers[0].first == "0");
    CHECK(model.layers[2].first == "2");

    auto lambda_only = nn::Sequential<float>();
    lambda_only.add([](const Variable<float>& x, Context& ctx) { return ops::scale(x, 3, ctx); });
    const auto x = noise({2, 2});
    const auto y = evaluate(lambda_only, x);
    for (int i = 0; i < 4; ++i) CHECK(y.data()[i] == 3 * x.data()[i]);
    nn::Sequential<float> empty;
    CHECK(same(evaluate(empty, x), x));
  }

  TEST_CASE("errors name the layer by its dotted path") {
    nn::Sequential<float> model;
    model.add("body",
              nn::Sequential<float>(nn::Relu<float>(), nn::MaxPool2d<float>{{.kernel = 9}}));
    CHECK_THROWS_WITH_AS(evaluate(model, noise({1, 4, 4, 2})),
                         "[max_pool2d] the window does not fit into the image\n"
                         "  input   [1, 4, 4, 2]        (n, h, w, c)\n"
                         "  kernel  9\n"
                         "  stride  9\n"
                         "  padding 0\n"
                         "  in      body.1",
                         ShapeError);
    auto sequential = small_sequential();
    nn::initialize(sequential, 1);
    CHECK_THROWS_WITH_AS(evaluate(sequential, noise({1, 4, 4, 5})),
                         "[conv2d] input has 5 channels, weight expects 2\n"
                         "  input   [1, 4, 4, 5]        (n, h, w, ic)\n"
                         "  weight  [3, 3, 3, 2]        (oc, kh, kw, ic / groups)\n"
                         "  in      0\n"
                         "  hint: set Conv2dOptions::in to 5",
                         ShapeError);
  }

  TEST_CASE("Conv2d refuses groups that do not divide the channels") {
    CHECK_THROWS_WITH_AS(nn::Conv2d<float>({.in = 6, .out = 8, .groups = 4}),
                         "[Conv2d] groups must divide the channels\n"
                         "  in      6\n"
                         "  out     8\n"
                         "  groups  4",
                         ShapeError);
  }

  TEST_CASE("layers refuse sizes of zero") {
    CHECK_THROWS_WITH_AS(nn::Conv2d<float>({.in = 6, .out = 0}),
                         "[Conv2d] channels and kernel are at least 1\n"
                         "  in      6\n"
                         "  out     0\n"
                         "  kernel  3",
                         ShapeError);
    CHECK_THROWS_AS(nn::Conv2d<float>({.in = 0, .out = 6}), ShapeError);
    CHECK_THROWS_AS(nn::Conv2d<float>({.in = 6, .out = 6, .kernel = 0}), ShapeError);
    CHECK_THROWS_WITH_AS(nn::DepthwiseConv2d<float>({.channels = 6, .kernel = 0}),
                         "[DepthwiseConv2d] channels and kernel are at least 1\n"
                         "  channels  6\n"
                         "  kernel  0",
                         ShapeError);
    CHECK_THROWS_AS(nn::DepthwiseConv2d<float>({.channels = 0}), ShapeError);
    CHECK_THROWS_WITH_AS(nn::Linear<float>({.in = 6, .out = 0}),
                         "[Linear] features are at least 1\n"
                         "  in      6\n"
                         "  out     0",
                         ShapeError);
    CHECK_THROWS_AS(nn::Linear<float>({.in = 0, .out = 6}), ShapeError);
    CHECK_THROWS_WITH_AS(nn::SqueezeExcite<float>({.channels = 8, .reduction = 0}),
                         "[SqueezeExcite] the reduction is at least 1\n"
                         "  came    0",
                         ShapeError);
  }

  TEST_CASE("Residual: the identity, and a projection") {
    nn::Residual<float> residual;
    residual.body.add([](const Variable<float>& x, Context& ctx) { return ops::scale(x, 2, ctx); });
    const auto x = noise({2, 3, 3, 2});
    const auto y = evaluate(residual, x);
    for (std::int64_t i = 0; i < x.size(); ++i) CHECK(y.data()[i] == 2 * x.data()[i] + x.data()[i]);

    nn::Residual<float> projected;
    projected.body.add(nn::Conv2d<float>({.in = 2, .out = 4, .stride = 2, .padding = 1}));
    projected.shortcut.add(nn::Conv2d<float>({.in = 2, .out = 4, .kernel = 1, .stride = 2}));
    CHECK(parameter_names(projected) ==
          Names{"body.0.weight", "body.0.bias", "shortcut.0.weight", "shortcut.0.bias"});
    nn::initialize(projected, 1);
    const auto sum = evaluate(projected, x);
    const auto body = evaluate(projected.body, x), shortcut = evaluate(projected.shortcut, x);
    CHECK(sum.shape() == Shape{2, 2, 2, 4});
    for (std::int64_t i = 0; i < sum.size(); ++i) {
      CHECK(sum.data()[i] == body.data()[i] + shortcut.data()[i]);
    }
  }

  TEST_CASE("Residual with drop path leaves the body out of whole samples, in training only") {
    nn::Residual<float> residual;
    residual.body.add([](const Variable<float>& x, Context&) {
      return Variable<float>(Tensor<float>::ones(x.shape()));
    });
    residual.drop_path = 0.5;
    const auto x = Variable<float>(Tensor<float>::zeros({64, 2, 2, 1}));
    CHECK(same(evaluate(residual, x.value()), Tensor<float>::ones({64, 2, 2, 1})));
    Tape tape;
    auto ctx = Context::training(tape, random::Key{3});
    const auto y = residual(x, ctx).value();
    int kept = 0;
    for (int n = 0; n < 64; ++n) {
      const float first = y(n, 0, 0, 0);
      CHECK((first == 0 || first == 2));
      CHECK(same(y.rows(n, n + 1), Tensor<float>::full({1, 2, 2, 1}, first)));
      kept += first == 2;
    }
    CHECK(kept > 16);
    CHECK(kept < 48);
  }

  TEST_CASE("SqueezeExcite computes its gates in float inside a bf16 network") {
    struct Gates final : Observer {
      std::vector<std::string> narrow, wide;
      void see(const Observation& seen) override {
        const auto wide_bytes = static_cast<std::size_t>(seen.output.shape.elements()) * 4;
        (seen.output.bytes == wide_bytes ? wide : narrow).push_back(seen.op.name);
      }
    } gates;
    nn::SqueezeExcite<bfloat16> se({.channels = 8, .reduction = 4});
    nn::initialize(se, 1);
    CHECK(parameter_names(se) ==
          Names{"squeeze.weight", "squeeze.bias", "excite.weight", "excite.bias"});
    CHECK(se.squeeze.weight.shape() == Shape{2, 8});
    auto ctx = Context::evaluation();
    ctx.observer = &gates;
    const auto x = Tensor<bfloat16>::normal({2, 3, 3, 8}, random::Key{1});
    const auto y = se(Variable<bfloat16>(x), ctx).value();
    CHECK(y.shape() == x.shape());
    CHECK(gates.narrow == Names{"global_average_pool", "scale_channels"});
    CHECK(gates.wide == Names{"cast", "linear", "relu", "linear", "sigmoid"});
    // one gate serves all pixels of a channel, to the rounding of the product
    for (int c = 0; c < 8; ++c) {
      const float gate = static_cast<float>(y(0, 0, 0, c)) / static_cast<float>(x(0, 0, 0, c));
      CHECK(gate > 0);
      CHECK(gate < 1);
      const float other = static_cast<float>(y(0, 2, 1, c)) / static_cast<float>(x(0, 2, 1, c));
      CHECK(std::abs(gate / other - 1) <= 1.0f / 128);
    }
    CHECK(nn::SqueezeExcite<float>({.channels = 4}).squeeze.weight.shape() == Shape{1, 4});
  }

  TEST_CASE("DepthwiseSeparableConv2d is a depthwise and a 1x1 convolution") {
    nn::DepthwiseSeparableConv2d<float> separable({.in = 3, .out = 5, .kernel = 5, .stride = 2});
    CHECK(parameter_names(separable) == Names{"depthwise.weight", "pointwise.weight"});
    CHECK(separable.depthwise.weight.shape() == Shape{3, 5, 5, 1});
    CHECK(separable.pointwise.weight.shape() == Shape{5, 1, 1, 3});
    CHECK(nn::count_parameters(separable) == 5 * 5 * 3 + 3 * 5);
    nn::initialize(separable, 1);
    const auto x = noise({2, 7, 6, 3});
    const auto y = evaluate(separable, x);
    CHECK(y.shape() == Shape{2, 4, 3, 5});
    // the depthwise half is a convolution with as many groups as channels
    nn::Conv2d<float> grouped(
        {.in = 3, .out = 3, .kernel = 5, .stride = 2, .padding = 2, .groups = 3, .bias = false});
    grouped.weight.set(separable.depthwise.weight.value());
    CHECK(same(evaluate(separable.pointwise, evaluate(grouped, x)), y));
  }
}

TEST_SUITE("dropout layers") {
  template <class Layer>
  Tensor<float> train(Layer layer, const Tensor<float>& x, std::uint64_t key) {
    Tape tape;
    auto ctx = Context::training(tape, random::Key{key});
    return layer(Variable<float>(x), ctx).value();
  }
  double share_of_zeros(const Tensor<float>& x) {
    const auto zeros = std::count(x.span().begin(), x.span().end(), 0.0f);
    return static_cast<double>(zeros) / static_cast<double>(x.size());
  }

  TEST_CASE("evaluation changes nothing") {
    const auto x = noise({2, 3, 3, 4});
    nn::Dropout<float> dropout{0.9};
    nn::Dropout2d<float> dropout2d{0.9};
    nn::DropPath<float> drop_path{0.9};
    CHECK(same(evaluate(dropout, x), x));
    CHECK(same(evaluate(dropout2d, x), x));
    CHECK(same(evaluate(drop_path, x), x));
  }

  TEST_CASE("training drops a share p and scales the rest; the key decides which") {
    const auto ones = Tensor<float>::ones({50, 8, 8, 16});
    const auto y = train(nn::Dropout<float>{0.25}, ones, 1);
    for (const float value : y.span()) {
      if (value != 0) REQUIRE(value == doctest::Approx(1 / 0.75));
    }
    CHECK(share_of_zeros(y) == doctest::Approx(0.25).epsilon(0.03));
    CHECK(same(y, train(nn::Dropout<float>{0.25}, ones, 1)));
    CHECK_FALSE(same(y, train(nn::Dropout<float>{0.25}, ones, 2)));
    CHECK(same(train(nn::Dropout<float>{0}, ones, 1), ones));
    // two layers of one pass draw from two streams
    nn::Sequential<float> two(nn::Dropout<float>{0.5}, nn::Dropout<float>{0.5});
    CHECK(share_of_zeros(train(std::move(two), ones, 1)) == doctest::Approx(0.75).epsilon(0.03));
  }

  TEST_CASE("Dropout2d drops whole channels, DropPath whole samples") {
    const auto ones = Tensor<float>::ones({100, 3, 3, 20});
    const auto channels = train(nn::Dropout2d<float>{0.4}, ones, 1);
    const auto samples = train(nn::DropPath<float>{0.4}, ones, 1);
    for (int n = 0; n < 100; ++n) {
      for (int c = 0; c < 20; ++c) {
        REQUIRE(channels(n, 2, 1, c) == channels(n, 0, 0, c));
        REQUIRE(samples(n, 1, 2, c) == samples(n, 0, 0, 0));
      }
    }
    CHECK(share_of_zeros(channels) == doctest::Approx(0.4).epsilon(0.15));
    CHECK(share_of_zeros(samples) == doctest::Approx(0.4).epsilon(0.4));
  }

  TEST_CASE("the gradient goes through what was kept") {
    Tape tape;
    auto ctx = Context::training(tape, random::Key{4});
    const auto x = Variable<float>::leaf(Tensor<float>::ones({4, 2, 2, 3}), tape);
    nn::Dropout<float> dropout{0.5};
    const auto y = dropout(x, ctx);
    y.backward(Tensor<float>::ones(y.shape()));
    CHECK(same(x.gradient(), y.value()));
  }
}

TEST_SUITE("summary") {
  TEST_CASE("rows and totals") {
    auto model = small_sequential();
    nn::initialize(model, 1);
    const auto summary = nn::summary(model, {1, 6, 5, 2});
    REQUIRE(summary.rows.size() == 4);
    const auto& conv = summary.rows[0];
    CHECK(conv.path == "0");
    CHECK(conv.op == "conv2d");
    CHECK(conv.output == Shape{1, 6, 5, 3});
    CHECK(conv.parameters == 57);
    CHECK(conv.bytes == 228);
    CHECK(conv.macs == 6 * 5 * 9 * 2 * 3);
    CHECK(conv.receptive_field == 3);
    CHECK(summary.rows[1].path == "1");
    CHECK(summary.rows[1].op == "relu");
    CHECK(summary.rows[1].parameters == 0);
    CHECK(summary.rows[2].path == "pool");
    CHECK(summary.rows[3].path == "fc");
    CHECK(summary.rows[3].macs == 12);
    CHECK(summary.parameters == nn::count_parameters(model));
    CHECK(summary.bytes == nn::parameter_bytes(model));
    CHECK(summary.macs == 1620 + 12);
    CHECK(summary.receptive_field == 3);
    const auto text = nn::to_string(summary);
    CHECK(text.find("conv2d") != text.npos);
    CHECK(text.find("[1, 6, 5, 3]") != text.npos);
    CHECK(std::count(text.begin(), text.end(), '\n') == 6);
  }

  TEST_CASE("work grows with the batch, parameters do not") {
    auto model = small_sequential();
    nn::initialize(model, 1);
    const auto one = nn::summary(model, {1, 6, 5, 2}), four = nn::summary(model, {4, 6, 5, 2});
    CHECK(four.macs == 4 * one.macs);
    CHECK(four.parameters == one.parameters);
  }

  TEST_CASE("shared weights count once, their work each time") {
    Tied model;
    nn::initialize(model, 1);
    const auto summary = nn::summary(model, {1, 5, 5, 4});
    REQUIRE(summary.rows.size() == 2);
    CHECK(summary.rows[0].parameters == 148);
    CHECK(summary.rows[1].parameters == 0);
    CHECK(summary.parameters == 148);
    CHECK(summary.macs == 2 * 25 * 9 * 4 * 4);
    CHECK(summary.receptive_field == 5);
  }

  TEST_CASE("bytes are those of the parameters: 8 in double, 4 in all others") {
    nn::Conv2d<double> twice({.in = 1, .out = 2});
    nn::Conv2d<bfloat16> half({.in = 1, .out = 2});
    nn::initialize(twice, 1);
    nn::initialize(half, 1);
    CHECK(nn::summary<double>(twice, {1, 4, 4, 1}).bytes == 8 * 20);
    CHECK(nn::summary<bfloat16>(half, {1, 4, 4, 1}).bytes == 4 * 20);
  }

  TEST_CASE("receptive field: windows add, strides multiply, the longer path counts") {
    nn::Sequential<float> chain(
        nn::Conv2d<float>({.in = 1, .out = 1, .kernel = 5, .stride = 2}),    // 5, jump 2
        nn::MaxPool2d<float>{{.kernel = 3, .stride = 2}},                    // 9, jump 4
        nn::Conv2d<float>({.in = 1, .out = 1, .kernel = 3, .dilation = 2}),  // 25
        nn::DepthwiseConv2d<float>({.channels = 1}));                        // 33
    nn::initialize(chain, 1);
    const auto summary = nn::summary(chain, {1, 40, 40, 1});
    std::vector<std::int64_t> fields;
    for (const auto& row : summary.rows) fields.push_back(row.receptive_field);
    CHECK(fields == std::vector<std::int64_t>{5, 9, 25, 33});

    nn::Residual<float> residual;
    residual.body.add(nn::Conv2d<float>({.in = 1, .out = 1, .padding = 1}));
    residual.body.add(nn::Conv2d<float>({.in = 1, .out = 1, .padding = 1}));
    nn::initialize(residual, 1);
    CHECK(nn::summary(residual, {1, 8, 8, 1}).rows.back().receptive_field == 5);
  }
}

TEST_SUITE("threads") {
  template <class T>
  struct SmallNet {
    nn::Sequential<T> features;
    nn::Linear<float> head{{.in = 24, .out = 10}};

    SmallNet() {
      features.add(nn::Conv2d<T>({.in = 3, .out = 16, .padding = 1, .bias = false}))
          .add(nn::BatchNorm2d<T>({.channels = 16}))
          .add(nn::Relu<T>())
          .add(nn::MaxPool2d<T>())
          .add(nn::Conv2d<T>({.in = 16, .out = 24, .stride = 2, .padding = 1}))
          .add(nn::BatchNorm2d<T>({.channels = 24}))
          .add(nn::Silu<T>())
          .add(nn::DepthwiseSeparableConv2d<T>({.in = 24, .out = 24}))
          .add(nn::SqueezeExcite<T>({.channels = 24, .reduction = 4}))
          .add(nn::Dropout2d<T>{0.1})
          .add(nn::GlobalAveragePool<T>());
    }
    Variable<float> operator()(const Variable<T>& x, Context& ctx) {
      return head(ops::cast<float>(features(x, ctx), ctx), ctx);
    }
    void members(nn::Members& m) {
      m("features", features);
      m("head", head);
    }
  };

  template <class T>
  std::vector<std::uint32_t> train_with(int threads) {
    struct Restore {
      int before = num_threads();
      ~Restore() { set_num_threads(before); }
    } restore;
    set_num_threads(threads);
    SmallNet<T> model;
    nn::initialize(model, 11);
    optim::Sgd sgd(nn::parameters(model), {.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-4});
    Tensor<std::int32_t> labels({24});
    for (std::int32_t i = 0; i < 24; ++i) labels(i) = i % 10;
    for (std::uint64_t step = 0; step < 20; ++step) {
      Tape tape;
      auto ctx = Context::training(tape, random::Key{11}.fold(step));
      const auto x = Tensor<T>::normal({24, 13, 12, 3}, random::Key{step});
      ops::cross_entropy(model(Variable<T>(x), ctx), labels, {}, ctx).backward();
      sgd.step();
    }
    return bits(model);
  }

  TEST_CASE_TEMPLATE("20 training steps give the same bits with 1, 2 and 3 threads", T, float,
                     bfloat16) {
    const auto one = train_with<T>(1);
    CHECK(one == train_with<T>(1));
    CHECK(one == train_with<T>(2));
    CHECK(one == train_with<T>(3));
  }
}
