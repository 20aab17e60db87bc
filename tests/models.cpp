// Model families: sizes, shapes, work and receptive fields, and that they train.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <tinynet/models.hpp>
#include <tinynet/nn.hpp>
#include <tinynet/ops.hpp>
#include <tinynet/optim.hpp>

#include "../examples/networks.hpp"
#include "messages.hpp"

using namespace tinynet;

namespace {

namespace networks = examples::networks;

/// Runs the network on one batch of each scalar type and gives what its summary says.
template <template <class> class Model, class Options>
nn::Summary check_forward(Options options, const Shape& one_image) {
  if constexpr (requires { options.init; }) {
    options.init = nn::init::pytorch_default();  // millions of normal numbers would take seconds
  }
  nn::Summary summary;
  const auto check = [&]<class T>(T) {
    Model<T> model(options);
    nn::initialize(model, 1);
    auto ctx = Context::evaluation();
    auto images = one_image;
    images[0] = 3;
    const auto logits = model(Variable<T>(Tensor<T>::normal(images, random::Key{1})), ctx);
    CHECK(logits.shape() == Shape{3, 10});
    CHECK(kernels::all_finite<float>(logits.value().span()));
    summary = nn::summary<T>(model, one_image);
    CHECK(summary.parameters == nn::count_parameters(model));
    CHECK(summary.bytes == 4 * summary.parameters);
  };
  check(bfloat16());
  check(float());
  return summary;
}

/// The loss before and after ten steps on one batch, a random image for each class.
template <class T, template <class> class Model, class Options>
std::pair<float, float> train(const Options& options, const Shape& one_image, double lr) {
  Model<T> model(options);
  nn::initialize(model, 1);
  optim::Sgd sgd(nn::parameters(model), {.lr = lr, .momentum = 0.9});
  auto images = one_image;
  images[0] = 10;
  const Variable<T> x(Tensor<T>::normal(images, random::Key{2}));
  const auto labels = Tensor<std::int32_t>::from({10}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  std::pair<float, float> losses;
  for (int step = 0; step <= 10; ++step) {
    Tape tape;
    auto ctx = Context::training(tape);
    const auto loss = ops::cross_entropy(model(x, ctx), labels, {}, ctx);
    (step == 0 ? losses.first : losses.second) = loss.item();
    loss.backward();
    sgd.step();
  }
  return losses;
}

template <template <class> class Model, class Options>
void check_training(const Options& options, const Shape& one_image, double lr) {
  const auto [before, after] = train<bfloat16, Model>(options, one_image, lr);
  CHECK(before == doctest::Approx(std::log(10.0)).epsilon(0.1));  // nothing is known yet
  CHECK(after < 0.7f * before);
  CHECK(after == doctest::Approx(train<float, Model>(options, one_image, lr).second).epsilon(0.05));
}

}  // namespace

// Others published the numbers of toy, ResNet-14, -14-like, -18, V7 and the depthwise net.
TEST_CASE("parameter counts") {
  const auto count = []<class Model>(Model model) { return nn::count_parameters(model); };
  const auto cnn = [&](const auto& o) { return count(models::Cnn<float>(o)); };
  const auto resnet = [&](const auto& o) { return count(models::ResNet<float>(o)); };
  models::Cnn<float> toy(networks::toy());
  CHECK(nn::parameter_bytes(toy) == 2'752'552);
  CHECK(cnn(networks::toy()) == 688'138);
  CHECK(cnn(networks::structure2()) == 1'075'658);
  CHECK(resnet(networks::structure4()) == 1'228'394);
  CHECK(resnet(networks::resnet12()) == 677'482);
  CHECK(resnet(networks::resnet14()) == 2'776'522);
  CHECK(resnet(networks::resnet14_like()) == 696'042);
  CHECK(resnet(networks::resnet14_like_se()) == 701'418);
  CHECK(resnet(networks::resnet18()) == 11'172'810);
  CHECK(resnet(networks::resnet18_color()) == 11'173'962);
  CHECK(cnn(networks::v5()) == 435'754);
  CHECK(resnet(networks::v6()) == 2'797'034);
  CHECK(resnet(networks::v7()) == 12'746'186);
  CHECK(cnn(networks::small()) == 25'034);
  CHECK(cnn(networks::mid()) == 98'442);
  CHECK(cnn(networks::big()) == 390'634);
  CHECK(cnn(networks::growing_batch()) == 104'426);
  CHECK(count(models::DepthwiseNet<float>(networks::depthwise())) == 150'690);
}

// Multiply-accumulates for one image.
TEST_CASE("forward: shape, work, receptive field") {
  SUBCASE("plain networks") {
    CHECK(check_forward<models::Cnn>(networks::toy(), {1, 28, 28, 1}).macs == 8'046'080);
    CHECK(check_forward<models::Cnn>(networks::structure2(), {1, 28, 28, 1}).parameters ==
          1'075'658);
    const models::CnnOptions everything{.channels = 3,
                                        .image = 17,
                                        .widths = {8, 12},
                                        .convolutions = 2,
                                        .batch_norm = true,
                                        .conv_dropout = 0.2,
                                        .hidden = 0,
                                        .dropout = 0.4};
    check_forward<models::Cnn>(everything, {1, 17, 17, 3});
  }
  SUBCASE("residual networks") {
    CHECK(check_forward<models::ResNet>(networks::resnet14(), {1, 28, 28, 1}).macs == 321'580'544);
    CHECK(check_forward<models::ResNet>(networks::resnet14_like(), {1, 28, 28, 1}).macs ==
          80'508'672);
    CHECK(check_forward<models::ResNet>(networks::resnet18(), {1, 28, 28, 1}).macs == 455'800'832);
    CHECK(check_forward<models::ResNet>(networks::resnet18_color(), {1, 32, 32, 3}).macs ==
          555'422'720);
  }
  SUBCASE("with gates") {
    CHECK(check_forward<models::ResNet>(networks::v7(), {1, 28, 28, 1}).macs == 571'503'616);
  }
  SUBCASE("depthwise-separable") {
    const auto summary = check_forward<models::DepthwiseNet>(networks::depthwise(), {1, 32, 32, 3});
    CHECK(summary.macs == 8'409'920);
    CHECK(summary.receptive_field == 109);
  }
}

TEST_CASE("a network without stages is refused") {
  const auto refusal = [](const std::string& model) {
    return "[" + model +
           "] there is no stage: the widths are empty\n"
           "  hint: give the channels of each, {.widths = {32, 64}}";
  };
  using tests::message_of;
  const auto cnn = [](int hidden) {
    return message_of<ShapeError>([=] { models::Cnn<float>({.widths = {}, .hidden = hidden}); });
  };
  CHECK(cnn(16) == refusal("Cnn"));
  CHECK(cnn(0) == refusal("Cnn"));
  CHECK(message_of<ShapeError>([] { models::ResNet<float>({.widths = {}}); }) == refusal("ResNet"));
  CHECK(message_of<ShapeError>([] { models::DepthwiseNet<float>({.widths = {}}); }) ==
        refusal("DepthwiseNet"));
}

TEST_CASE("a residual network wants a number of blocks for each stage") {
  CHECK(tests::message_of<ShapeError>([] {
          models::ResNet<float>({.widths = {8, 16}});
        }) ==
        "[ResNet] needs a number of blocks for each stage\n"
        "  widths  2                   stages\n"
        "  blocks  4                   numbers");
}

TEST_CASE("a stage of no layers is refused") {
  using tests::message_of;
  CHECK(message_of<ShapeError>([] {
          models::ResNet<float>({.widths = {4, 8}, .blocks = {1, 0}});
        }) == "[ResNet] each number of blocks has to be 1 or more\n  came    0");
  CHECK(message_of<ShapeError>([] { models::DepthwiseNet<float>({.blocks = 0}); }) ==
        "[DepthwiseNet] blocks has to be 1 or more\n  came    0");
  CHECK(message_of<ShapeError>([] { models::Cnn<float>({.convolutions = -1}); }) ==
        "[Cnn] convolutions has to be 1 or more\n  came    -1");
}

TEST_CASE("blocks by themselves begin with random weights") {
  const auto check = [](auto block) {
    nn::initialize(block, 1);
    nn::Members(block).for_parameters([](const std::string& name, const auto& parameter) {
      if (parameter.shape().axes() < 4) return;
      CAPTURE(name);
      const auto values = parameter.value().span();
      CHECK(std::any_of(values.begin(), values.end(), [](float x) { return x != 0; }));
    });
  };
  check(models::BasicBlock<float>({.in = 4, .out = 8}));
  check(models::DepthwiseBlock<float>({.in = 4, .out = 8}));
  check(models::downsample<float>({.in = 4, .out = 8}));
}

TEST_CASE("every stage but the first halves the image, also one as wide as the first") {
  const auto last_image = [](auto model) {
    nn::initialize(model, 1);
    Shape seen;
    for (const auto& row : nn::summary(model, {1, 32, 32, 3}).rows) {
      if (row.output.axes() == 4) seen = row.output;
    }
    return seen;
  };
  const std::vector<int> widths{8, 16, 8};
  CHECK(last_image(models::DepthwiseNet<float>({.widths = widths, .blocks = 1})) ==
        Shape{1, 8, 8, 8});
  CHECK(last_image(models::ResNet<float>({.widths = widths, .blocks = {1, 1, 1}})) ==
        Shape{1, 8, 8, 8});
}

TEST_CASE("ten steps in bf16 lower the loss as ten in float do") {
  SUBCASE("plain") { check_training<models::Cnn>(networks::toy(), {1, 28, 28, 1}, 0.1); }
  SUBCASE("residual") {
    const models::ResNetOptions small{.channels = 1, .widths = {16, 32}, .blocks = {1, 1}};
    check_training<models::ResNet>(small, {1, 28, 28, 1}, 0.5);
  }
  SUBCASE("depthwise-separable") {
    const models::DepthwiseNetOptions small{.widths = {16, 32}, .blocks = 1, .dropout = 0};
    check_training<models::DepthwiseNet>(small, {1, 28, 28, 3}, 0.5);
  }
}
