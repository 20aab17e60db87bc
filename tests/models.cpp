// Model families: sizes, shapes, work and receptive fields, and that they train.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <utility>

#include <tinynet/models.hpp>
#include <tinynet/nn.hpp>
#include <tinynet/ops.hpp>
#include <tinynet/optim.hpp>

using namespace tinynet;

namespace {

// The networks whose sizes are known.
const models::CnnOptions toy_cnn{};
const models::CnnOptions toy_cnn_deep{.convolutions = 3};
const models::ResNetOptions resnet14{.channels = 1, .widths = {64, 128, 256}, .blocks = {2, 2, 2}};
const models::ResNetOptions resnet14_like{.channels = 1, .widths = {32, 64, 128}, .blocks = {2, 2, 2}};
const models::ResNetOptions resnet18_gray{.channels = 1};
const models::ResNetOptions resnet18{};
const models::ResNetOptions se_resnet{.channels = 1, .blocks = {2, 3, 3, 2}, .squeeze_excite = 16};
const models::DepthwiseNetOptions depthwise_net{};

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

TEST_CASE("parameter counts") {
  models::Cnn<float> cnn(toy_cnn), deep(toy_cnn_deep);
  CHECK(nn::count_parameters(cnn) == 688'138);
  CHECK(nn::parameter_bytes(cnn) == 2'752'552);
  CHECK(nn::count_parameters(deep) == 1'075'658);
  const auto resnet_size = [](const models::ResNetOptions& options) {
    models::ResNet<float> model(options);
    return nn::count_parameters(model);
  };
  CHECK(resnet_size(resnet14) == 2'776'522);
  CHECK(resnet_size(resnet14_like) == 696'042);
  CHECK(resnet_size(resnet18_gray) == 11'172'810);
  CHECK(resnet_size(resnet18) == 11'173'962);
  CHECK(resnet_size(se_resnet) == 12'746'186);
  models::DepthwiseNet<float> depthwise(depthwise_net);
  CHECK(nn::count_parameters(depthwise) == 150'690);
}

// Multiply-accumulates for one image.
TEST_CASE("forward: shape, work, receptive field") {
  SUBCASE("plain networks") {
    CHECK(check_forward<models::Cnn>(toy_cnn, {1, 28, 28, 1}).macs == 8'046'080);
    CHECK(check_forward<models::Cnn>(toy_cnn_deep, {1, 28, 28, 1}).parameters == 1'075'658);
    const models::CnnOptions everything{.channels = 3, .image = 17, .widths = {8, 12},
                                        .convolutions = 2, .batch_norm = true, .conv_dropout = 0.2,
                                        .hidden = 0, .dropout = 0.4};
    check_forward<models::Cnn>(everything, {1, 17, 17, 3});
  }
  SUBCASE("residual networks") {
    CHECK(check_forward<models::ResNet>(resnet14, {1, 28, 28, 1}).macs == 321'580'544);
    CHECK(check_forward<models::ResNet>(resnet14_like, {1, 28, 28, 1}).macs == 80'508'672);
    CHECK(check_forward<models::ResNet>(resnet18_gray, {1, 28, 28, 1}).macs == 455'800'832);
    CHECK(check_forward<models::ResNet>(resnet18, {1, 32, 32, 3}).macs == 555'422'720);
  }
  SUBCASE("with gates") {
    CHECK(check_forward<models::ResNet>(se_resnet, {1, 28, 28, 1}).macs == 571'503'616);
  }
  SUBCASE("depthwise-separable") {
    const auto summary = check_forward<models::DepthwiseNet>(depthwise_net, {1, 32, 32, 3});
    CHECK(summary.macs == 8'409'920);
    CHECK(summary.receptive_field == 109);
  }
}

TEST_CASE("ten steps in bf16 lower the loss as ten in float do") {
  SUBCASE("plain") { check_training<models::Cnn>(toy_cnn, {1, 28, 28, 1}, 0.1); }
  SUBCASE("residual") {
    const models::ResNetOptions small{.channels = 1, .widths = {16, 32}, .blocks = {1, 1}};
    check_training<models::ResNet>(small, {1, 28, 28, 1}, 0.5);
  }
  SUBCASE("depthwise-separable") {
    const models::DepthwiseNetOptions small{.widths = {16, 32}, .blocks = 1, .dropout = 0};
    check_training<models::DepthwiseNet>(small, {1, 28, 28, 3}, 0.5);
  }
}
