// What ops say when their operands do not fit: the whole text, since people act on it.
#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include <tinynet/models/resnet.hpp>
#include <tinynet/nn.hpp>
#include <tinynet/ops.hpp>

using namespace tinynet;

namespace {

Variable<float> image(const Shape& shape) { return Tensor<float>::zeros(shape); }

/// The text of the ShapeError that `f(ctx)` throws from a layer "body.3", or what else happened.
template <class F>
std::string error_of(F f) {
  Tape tape;
  auto ctx = Context::training(tape);
  ctx.path = "body.3";
  try {
    f(ctx);
  } catch (const ShapeError& error) {
    CHECK_MESSAGE(tape.nodes.empty(), "something was recorded before the check");
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("conv2d") {
  const auto error = [](const Shape& x, const Shape& w, ops::Window window = {},
                        const Shape& b = {}) {
    return error_of([&](Context& ctx) {
      const Weight<float> bias = b.axes() ? Weight<float>(image(b)) : Weight<float>();
      ops::conv2d<float>(image(x), image(w), bias, window, ctx);
    });
  };
  CHECK(error({2, 8, 8, 32}, {64, 3, 3, 16}) ==
        "[conv2d] input has 32 channels, weight expects 16\n"
        "  input   [2, 8, 8, 32]       (n, h, w, ic)\n"
        "  weight  [64, 3, 3, 16]      (oc, kh, kw, ic / groups)\n"
        "  in      body.3\n"
        "  hint: set Conv2dOptions::in to 32");
  CHECK(error({2, 4, 3, 16}, {64, 3, 3, 16}, {.dilation = 2}) ==
        "[conv2d] the window does not fit into the image\n"
        "  input   [2, 4, 3, 16]       (n, h, w, ic)\n"
        "  weight  [64, 3, 3, 16]      (oc, kh, kw, ic / groups)\n"
        "  in      body.3\n"
        "  padding 0\n"
        "  dilation  2\n"
        "  hint: pad more, or pool less before this layer");
  CHECK(error({2, 8, 8, 4}, {6, 3, 3, 1}, {.groups = 4}) ==
        "[conv2d] 6 output channels cannot be shared by 4 groups\n"
        "  input   [2, 8, 8, 4]        (n, h, w, ic)\n"
        "  weight  [6, 3, 3, 1]        (oc, kh, kw, ic / groups)\n"
        "  in      body.3");
  CHECK(error({2, 8, 8, 4}, {6, 3, 3, 4}, {.stride = 0, .padding = -1}) ==
        "[conv2d] stride, dilation and groups are at least 1, padding at least 0\n"
        "  input   [2, 8, 8, 4]        (n, h, w, ic)\n"
        "  weight  [6, 3, 3, 4]        (oc, kh, kw, ic / groups)\n"
        "  in      body.3\n"
        "  stride  0\n"
        "  padding -1\n"
        "  dilation  1\n"
        "  groups  1");
  const auto too_large = [&](ops::Window window) {
    return error({2, 8, 8, 4}, {6, 3, 3, 4}, window)
               .find("[conv2d] stride, padding, dilation and groups are at most 65535\n") == 0;
  };
  CHECK(error({2, 8, 8, 4}, {6, 3, 3, 4}, {.stride = 65535}) == "nothing was thrown");
  {
    Tape tape;
    auto ctx = Context::training(tape);
    const auto x = Variable<float>::leaf(Tensor<float>::ones({1, 8, 8, 1}), tape);
    const Variable<float> w(Tensor<float>::ones({1, 3, 3, 1}));
    ops::sum(ops::conv2d<float>(x, w, ops::Window{.stride = 65535}, ctx), ctx).backward();
    CHECK(x.gradient()(0, 2, 2, 0) == 1);
    CHECK(x.gradient()(0, 3, 3, 0) == 0);
  }
  CHECK(too_large({.stride = 65536}));
  CHECK(too_large({.padding = 65536}));
  CHECK(too_large({.dilation = 65536}));
  CHECK(too_large({.groups = 65536}));
  CHECK(error({2, 8, 8, 4}, {6, 3, 3, 4}, {}, {5}) ==
        "[conv2d] the bias does not fit the weight\n"
        "  input   [2, 8, 8, 4]        (n, h, w, ic)\n"
        "  weight  [6, 3, 3, 4]        (oc, kh, kw, ic / groups)\n"
        "  in      body.3\n"
        "  bias    [5]");
  CHECK(error({2, 8, 8, 4}, {6, 4}) ==
        "[conv2d] the weight needs 4 axes\n"
        "  input   [2, 8, 8, 4]        (n, h, w, ic)\n"
        "  weight  [6, 4]              (oc, kh, kw, ic / groups)\n"
        "  in      body.3");
  const auto empty_weight = [&](const Shape& w) {
    return error({2, 8, 8, 4}, w).find("[conv2d] the weight has no elements\n") == 0;
  };
  CHECK(empty_weight({0, 3, 3, 4}));
  CHECK(empty_weight({6, 0, 0, 4}));
  CHECK(error({2, 256}, {6, 3, 3, 4}) ==
        "[conv2d] input has 2 axes, 4 are needed\n"
        "  input   [2, 256]\n"
        "  expected  (n, h, w, ic)\n"
        "  in      body.3\n"
        "  hint: images are [n, h, w, c]");
  CHECK(error({0, 8, 8, 4}, {6, 3, 3, 4}) ==
        "[conv2d] the input has no elements\n"
        "  input   [0, 8, 8, 4]\n"
        "  in      body.3\n"
        "  hint: is the batch empty?");
}

TEST_CASE("depthwise_conv2d") {
  const auto error = [](const Shape& x, const Shape& w) {
    return error_of([&](Context& ctx) {
      ops::depthwise_conv2d<float>(image(x), image(w), ops::Window{}, ctx);
    });
  };
  CHECK(error({2, 8, 8, 5}, {4, 3, 3, 1}) ==
        "[depthwise_conv2d] input has 5 channels, weight expects 4\n"
        "  input   [2, 8, 8, 5]        (n, h, w, ic)\n"
        "  weight  [4, 3, 3, 1]        (oc, kh, kw, ic / groups)\n"
        "  in      body.3\n"
        "  hint: set DepthwiseConv2dOptions::channels to 5");
  CHECK(error({1, 5, 5, 8}, {4, 3, 3, 2}) ==
        "[depthwise_conv2d] a channel has one window\n"
        "  expected  [c, kh, kw, 1]\n"
        "  weight  [4, 3, 3, 2]\n"
        "  in      body.3\n"
        "  hint: conv2d takes windows over several channels: set its groups");
  CHECK(error({2, 2, 8, 4}, {4, 3, 3, 1}) ==
        "[depthwise_conv2d] the window does not fit into the image\n"
        "  input   [2, 2, 8, 4]        (n, h, w, ic)\n"
        "  weight  [4, 3, 3, 1]        (oc, kh, kw, ic / groups)\n"
        "  in      body.3\n"
        "  padding 0\n"
        "  dilation  1\n"
        "  hint: pad more, or pool less before this layer");
}

TEST_CASE("linear") {
  const auto error = [](const Shape& x, const Shape& w, const Shape& b) {
    return error_of([&](Context& ctx) { ops::linear<float>(image(x), image(w), image(b), ctx); });
  };
  CHECK(error({2, 9}, {5, 8}, {5}) ==
        "[linear] input has 9 features, weight expects 8\n"
        "  input   [2, 9]              (n, in)\n"
        "  weight  [5, 8]              (out, in)\n"
        "  in      body.3\n"
        "  hint: set LinearOptions::in to 9");
  CHECK(error({2, 4, 4, 8}, {5, 8}, {5}) ==
        "[linear] input has 4 axes, 2 are needed\n"
        "  input   [2, 4, 4, 8]\n"
        "  expected  (n, features)\n"
        "  in      body.3\n"
        "  hint: flatten the input first");
  CHECK(error({2, 8}, {5, 8}, {8}) ==
        "[linear] the bias does not fit the weight\n"
        "  weight  [5, 8]              (out, in)\n"
        "  bias    [8]\n"
        "  in      body.3");
  CHECK(error({2, 8}, {0, 8}, {0}) ==
        "[linear] the weight has no elements\n"
        "  weight  [0, 8]              (out, in)\n"
        "  in      body.3");
  CHECK(error({0, 8}, {5, 8}, {5}) ==
        "[linear] the input has no elements\n"
        "  input   [0, 8]\n"
        "  in      body.3\n"
        "  hint: is the batch empty?");
}

TEST_CASE("batch_norm") {
  const auto error = [](const Shape& x, Mode mode = Mode::training) {
    return error_of([&](Context& ctx) {
      ctx.mode = mode;
      const auto three = image({3});
      auto mean = Tensor<float>::zeros({3}), variance = Tensor<float>::ones({3});
      ops::batch_norm<float>(image(x), three, three, mean, variance, {}, ctx);
    });
  };
  CHECK(error({2, 4, 4, 5}) ==
        "[batch_norm] input has 5 channels, the layer has 3\n"
        "  input   [2, 4, 4, 5]        (..., c)\n"
        "  in      body.3\n"
        "  hint: set BatchNorm2dOptions::channels to 5");
  CHECK(error({1, 1, 1, 3}) ==
        "[batch_norm] one value a channel has no variance to train on\n"
        "  input   [1, 1, 1, 3]        (..., c)\n"
        "  in      body.3\n"
        "  hint: use a larger batch, or drop_last where the last batch has one image");
  CHECK(error({1, 1, 1, 3}, Mode::evaluation) == "nothing was thrown");
  CHECK(error({0, 4, 4, 3}) ==
        "[batch_norm] the input has no elements\n"
        "  input   [0, 4, 4, 3]\n"
        "  in      body.3\n"
        "  hint: is the batch empty?");
}

TEST_CASE("moments of another tensor") {
  CHECK(error_of([&](Context& ctx) {
          ctx.mode = Mode::training;
          const auto three = image({3});
          auto mean = Tensor<float>::zeros({3}), variance = Tensor<float>::ones({3});
          const ops::BatchNormWeights<float> bn{three, three, mean, variance, {}};
          ops::batch_norm_act<float>(image({2, 4, 4, 3}), Tensor<double>({2, 2}), bn, {},
                                     ops::Relu{}, ctx);
        }).find("[batch_norm] the moments are those of another tensor\n") == 0);
}

TEST_CASE("gate_add_act") {
  const auto error = [](const Shape& x, const Shape& gate) {
    return error_of([&](Context& ctx) {
      ctx.tape = nullptr;
      ops::gate_add_act<float>(image(x), image(gate), {}, ops::Relu{}, ctx);
    });
  };
  CHECK(error({2, 4, 4, 0}, {2, 0}).find("[gate_add_act] the input has no elements\n") == 0);
  CHECK(error({4}, {4, 4}).find("[gate_add_act] images and channels are needed") == 0);
}

TEST_CASE("pooling") {
  const auto error = [](const Shape& x, ops::PoolWindow window) {
    const auto maximum = error_of([&](Context& ctx) { ops::max_pool2d(image(x), window, ctx); });
    const auto mean = error_of([&](Context& ctx) { ops::avg_pool2d(image(x), window, ctx); });
    CHECK(maximum.substr(0, 13) == "[max_pool2d] ");
    CHECK(mean.substr(0, 13) == "[avg_pool2d] ");
    CHECK(maximum.substr(13) == mean.substr(13));
    return maximum.substr(13);
  };
  CHECK(error({2, 4, 4, 3}, {.kernel = 5}) ==
        "the window does not fit into the image\n"
        "  input   [2, 4, 4, 3]        (n, h, w, c)\n"
        "  kernel  5\n"
        "  stride  5\n"
        "  padding 0\n"
        "  in      body.3");
  CHECK(error({2, 4, 4, 3}, {.kernel = 3, .padding = 2}) ==
        "padding is 0 to half of the kernel\n"
        "  input   [2, 4, 4, 3]        (n, h, w, c)\n"
        "  kernel  3\n"
        "  stride  3\n"
        "  padding 2\n"
        "  in      body.3");
  CHECK(error({2, 4, 4, 3}, {.kernel = 0}) ==
        "the kernel is 1 to 256 and the stride at least 1\n"
        "  input   [2, 4, 4, 3]        (n, h, w, c)\n"
        "  kernel  0\n"
        "  stride  0\n"
        "  padding 0\n"
        "  in      body.3");
  CHECK(error({2, 48}, {}) ==
        "input has 2 axes, 4 are needed\n"
        "  input   [2, 48]\n"
        "  expected  (n, h, w, c)\n"
        "  in      body.3\n"
        "  hint: images are [n, h, w, c]");
  CHECK(error_of([](Context& ctx) {
          ops::global_average_pool(image({0, 4, 4, 3}), ctx);
        }) ==
        "[global_average_pool] the input has no elements\n"
        "  input   [0, 4, 4, 3]\n"
        "  in      body.3\n"
        "  hint: is the batch empty?");
}

TEST_CASE("operands of one shape") {
  const std::string differ =
      "the operands have different shapes\n"
      "  first   [2, 3]\n"
      "  second  [3, 2]\n"
      "  in      body.3";
  const auto a = image({2, 3}), b = image({3, 2});
  CHECK(error_of([&](Context& ctx) { ops::add(a, b, ctx); }) == "[add] " + differ);
  CHECK(error_of([&](Context& ctx) { ops::multiply(a, b, ctx); }) == "[multiply] " + differ);
  CHECK(error_of([&](Context& ctx) { ops::mse(a, b.value(), ctx); }) == "[mse] " + differ);
  CHECK(error_of([&](Context& ctx) { ops::bce_with_logits(a, b.value(), ctx); }) ==
        "[bce_with_logits] " + differ);
  CHECK(error_of([&](Context& ctx) { ops::cross_entropy(a, b.value(), {}, ctx); }) ==
        "[cross_entropy] " + differ);
}

TEST_CASE("channels, axes and borders") {
  CHECK(error_of([](Context& ctx) {
          ops::scale_channels(image({2, 4, 4, 3}), image({2, 4}), ctx);
        }) ==
        "[scale_channels] the gate does not fit the image\n"
        "  input   [2, 4, 4, 3]        (n, h, w, c)\n"
        "  gate    [2, 4]              (n, c)\n"
        "  expected  [2, 3]\n"
        "  in      body.3");
  CHECK(error_of([](Context& ctx) {
          ops::concat<float>({image({2, 4, 4, 3}), image({2, 4, 5, 3})}, ctx);
        }) ==
        "[concat] the operands differ in more than the last axis\n"
        "  first   [2, 4, 4, 3]\n"
        "  other   [2, 4, 5, 3]\n"
        "  in      body.3");
  CHECK(error_of([](Context& ctx) { ops::concat<float>({}, ctx); }) ==
        "[concat] nothing to join\n"
        "  in      body.3");
  CHECK(error_of([](Context& ctx) {
          ops::pad(image({2, 4, 4, 3}), {.left = -1}, ctx);
        }) ==
        "[pad] a border is at least 0\n"
        "  in      body.3");
  CHECK(error_of([](Context& ctx) {
          ops::reshape(image({2, 6}), {5, 2}, ctx);
        }) ==
        "[reshape] the number of elements would change\n"
        "  from    [2, 6]              12 elements\n"
        "  to      [5, 2]              10 elements");
  CHECK(error_of([](Context& ctx) {
          ops::flatten(image({0, 4, 4, 3}), ctx);
        }) ==
        "[flatten] the input has no elements\n"
        "  input   [0, 4, 4, 3]\n"
        "  in      body.3\n"
        "  hint: is the batch empty?");
  CHECK(error_of([](Context& ctx) {
          ops::softmax(image({0, 4}), ctx);
        }) ==
        "[softmax] the input has no elements\n"
        "  input   [0, 4]\n"
        "  in      body.3\n"
        "  hint: is the batch empty?");
}

TEST_CASE("dropout") {
  const std::string range =
      "the probability of dropping is at least 0 and below 1\n"
      "  came    1\n"
      "  in      body.3";
  const auto x = image({2, 4, 4, 3});
  CHECK(error_of([&](Context& ctx) { ops::dropout(x, 1, ctx); }) == "[dropout] " + range);
  CHECK(error_of([&](Context& ctx) { ops::dropout2d(x, 1, ctx); }) == "[dropout2d] " + range);
  CHECK(error_of([&](Context& ctx) { ops::drop_path(x, 1, ctx); }) == "[drop_path] " + range);
  const auto empty = [](const char* shape) {
    return std::string("the input has no elements\n  input   ") + shape +
           "\n  in      body.3\n  hint: is the batch empty?";
  };
  CHECK(error_of([](Context& ctx) {
          ops::dropout2d(image({2, 4, 4, 0}), 0.5, ctx);
        }) == "[dropout2d] " + empty("[2, 4, 4, 0]"));
  CHECK(error_of([](Context& ctx) {
          ops::drop_path(image({0, 4, 4, 3}), 0.5, ctx);
        }) == "[drop_path] " + empty("[0, 4, 4, 3]"));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(error_of([&](Context& ctx) { ops::dropout(x, nan, ctx); }).find("came    nan") !=
        std::string::npos);
}

TEST_CASE("cross_entropy") {
  const auto error = [](const Shape& logits, const std::vector<std::int32_t>& labels,
                        double label_smoothing = 0) {
    return error_of([&](Context& ctx) {
      const auto target =
          Tensor<std::int32_t>::from({std::ssize(labels)}, std::span<const std::int32_t>(labels));
      ops::cross_entropy(image(logits), target, {.label_smoothing = label_smoothing}, ctx);
    });
  };
  CHECK(error({3, 10}, {0, 10, 2}) ==
        "[cross_entropy] label 10 is out of range\n"
        "  expected  0 to 9\n"
        "  at      row 1 of the batch\n"
        "  hint: give the last layer as many outputs as there are classes");
  CHECK(error({3, 10}, {0, 1, -1}).find("label -1 is out of range") != std::string::npos);
  CHECK(error({3, 10}, {0, 1}) ==
        "[cross_entropy] there must be one label for each row of logits\n"
        "  logits  [3, 10]             (n, classes)\n"
        "  labels  [2]                 (n)");
  CHECK(error({0, 10}, {}) ==
        "[cross_entropy] the input has no elements\n"
        "  input   [0, 10]\n"
        "  in      body.3\n"
        "  hint: is the batch empty?");
  CHECK(error({2, 2, 2, 10}, {0, 1}) ==
        "[cross_entropy] input has 4 axes, 2 are needed\n"
        "  input   [2, 2, 2, 10]\n"
        "  expected  (n, classes)\n"
        "  in      body.3\n"
        "  hint: flatten the input first");
  CHECK(error({2, 10}, {0, 1}, 1.5) ==
        "[cross_entropy] label smoothing is between 0 and 1\n"
        "  came    1.5");
}

TEST_CASE("a layer deep in a network is named by its parameters") {
  models::ResNet<float> model({.channels = 3, .widths = {4, 8}, .blocks = {1, 1}});
  nn::initialize(model, 1);
  auto ctx = Context::evaluation();
  try {
    model(image({1, 8, 8, 1}), ctx);
    FAIL("nothing was thrown");
  } catch (const ShapeError& error) {
    CHECK(std::string(error.what()) ==
          "[conv2d] input has 1 channels, weight expects 3\n"
          "  input   [1, 8, 8, 1]        (n, h, w, ic)\n"
          "  weight  [4, 3, 3, 3]        (oc, kh, kw, ic / groups)\n"
          "  in      conv1\n"
          "  hint: set Conv2dOptions::in to 1");
  }
}
