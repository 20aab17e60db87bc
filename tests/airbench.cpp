// The airbench family: sizes, work, whitening, first values, and that it trains.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include <tinynet/models/airbench.hpp>
#include <tinynet/nn/summary.hpp>
#include <tinynet/ops/loss.hpp>
#include <tinynet/optim/sgd.hpp>

#include <Eigen/Eigenvalues>  // after tinynet, which silences what GCC 12 says of its intrinsics
#include <tinynet/eigen.hpp>

#include "messages.hpp"

using namespace tinynet;

namespace {

/// How many values are not trained.
std::int64_t frozen(const nn::Members& members) {
  std::int64_t total = 0;
  members.for_parameters([&](const auto&, auto& p) {
    if (!p.state()->trainable) total += p.value().size();
  });
  return total;
}

struct Size {
  std::int64_t parameters, frozen, macs;
};
Size size_of(const models::AirbenchOptions& options) {
  models::Airbench<bfloat16> model(options);
  nn::initialize(model, 1);
  const Shape image{1, options.image, options.image, options.channels};
  const auto summary = nn::summary<float>(model, image);
  CHECK(summary.rows.back().output == Shape{1, 10});
  return {nn::count_parameters(model), frozen(model), summary.macs};
}

/// Images whose neighbouring pixels and channels are alike, as those of photographs are.
Tensor<float> smooth_images(const Shape& shape) {
  auto images = Tensor<float>::normal(shape, random::Key{4});
  for (std::int64_t i = 3; i < images.size(); ++i) {
    images.data()[i] += 0.9f * images.data()[i - 1] - 0.3f * images.data()[i - 3];
  }
  return images;
}

}  // namespace

TEST_CASE("the eigenvalues and eigenvectors are Eigen's") {
  for (const std::int64_t n : {1, 2, 12, 16, 27}) {
    CAPTURE(n);
    const auto random = Tensor<double>::normal({n, n}, random::Key{static_cast<std::uint64_t>(n)});
    EigenMatrix<double> matrix = as_eigen(random) * as_eigen(random).transpose();
    if (n == 12) matrix.row(3) = matrix.row(5), matrix.col(3) = matrix.col(5);  // singular
    auto a = from_eigen(matrix);
    Tensor<double> values({n}), vectors({n, n});
    kernels::symmetric_eigen(values.span(), vectors.span(), a.span(), n);
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> oracle(matrix);
    const double scale = oracle.eigenvalues().cwiseAbs().maxCoeff();
    for (std::int64_t i = 0; i < n; ++i) {
      CHECK(std::abs(values(i) - oracle.eigenvalues()(n - 1 - i)) < 1e-12 * scale);
    }
    const EigenMatrix<double> v = as_eigen(vectors);
    CHECK((v * v.transpose() - EigenMatrix<double>::Identity(n, n)).norm() < 1e-12);
    CHECK((v.transpose() * as_eigen(values).asDiagonal() * v - matrix).norm() < 1e-12 * scale);
  }
}

TEST_CASE("whitened patches are uncorrelated and of mean square 1") {
  for (const std::int64_t kernel : {2, 4}) {
    const std::int64_t c = kernel == 2 ? 3 : 1, d = kernel * kernel * c;
    const auto images = smooth_images({40, 12, 12, c});
    const auto filters = models::whitening_filters(images, kernel, 0.0);
    REQUIRE(filters.shape() == Shape{2 * d, kernel, kernel, c});
    // Through the convolution itself, so that patches are in the order of its weights.
    auto ctx = Context::evaluation();
    const auto white = ops::conv2d(Variable<float>(images), Variable<float>(filters), {}, ctx);
    const EigenMatrix<double> rows = as_eigen(white.value()).cast<double>();
    const EigenMatrix<double> moments = rows.transpose() * rows / static_cast<double>(rows.rows());
    EigenMatrix<double> expected(2 * d, 2 * d);
    const auto one = EigenMatrix<double>::Identity(d, d);
    expected << one, -one, -one, one;
    CHECK((moments - expected).cwiseAbs().maxCoeff() < 2e-3);
  }
  const auto text = tests::message_of<ShapeError>([] {
    models::whitening_filters(Tensor<float>::zeros({2, 3, 3, 1}), 4);
  });
  CHECK(text ==
        "[whitening] the images have no patch of that size\n  images  [2, 3, 3, 1]        "
        "(n, h, w, c)\n  patch   4                   pixels wide and high");
}

TEST_CASE("eps bounds what a direction without variation is magnified by") {
  const auto filters = models::whitening_filters(Tensor<float>::zeros({2, 4, 4, 1}), 2, 0.01);
  for (const float tap : filters.span()) CHECK(std::abs(tap) <= 10);
}

// Multiply-accumulates are half of the operations that the recipes give: 236.3 million for 94.
TEST_CASE("sizes of the originals") {
  const auto check = [](const models::AirbenchOptions& options, std::int64_t parameters,
                        std::int64_t scales, std::int64_t macs) {
    const auto size = size_of(options);
    CHECK(size.parameters == parameters);
    const std::int64_t whitening = options.channels == 3 ? 288 : 512;
    CHECK(size.frozen == scales + whitening);
    CHECK(size.macs == macs);
  };
  SUBCASE("93") { check(models::airbench93(), 569'656, 640, 54'223'904); }
  SUBCASE("94") { check(models::airbench94(), 1'971'640 + 1152, 1152, 118'147'360); }
  SUBCASE("95") { check(models::airbench95(), 4'606'520, 1792, 301'560'864); }
  SUBCASE("96") { check(models::airbench96(), 9'918'776, 3072, 451'967'264); }
  SUBCASE("SEAir small") { check(models::seair_small(), 2'508'352, 1536, 115'801'600); }
  SUBCASE("SEAir compact") { check(models::seair({64, 160, 256}), 2'211'806, 1440, 98'640'000); }
  SUBCASE("SEAir medium") { check(models::seair_medium(), 7'759'576, 2688, 303'029'248); }
  SUBCASE("SEAir large") { check(models::seair_large(), 9'982'560, 3072, 433'095'680); }
}

TEST_CASE("convolutions begin as the identity on their first channels") {
  nn::Conv2d<float> conv(
      {.in = 5, .out = 8, .padding = 1, .bias = false, .init = nn::init::dirac()});
  nn::initialize(conv, 1);
  const auto x = Tensor<float>::normal({2, 6, 7, 5}, random::Key{1});
  auto ctx = Context::evaluation();
  const auto y = conv(Variable<float>(x), ctx).value();
  bool same = true;
  for (std::int64_t pixel = 0; pixel < 2 * 6 * 7; ++pixel) {
    for (std::int64_t c = 0; c < 5; ++c) same &= y.data()[pixel * 8 + c] == x.data()[pixel * 5 + c];
  }
  CHECK(same);
  const auto& rest = conv.weight.value();
  const auto bound = 1 / std::sqrt(45.0f);  // PyTorch's default
  for (std::int64_t i = 5 * 45; i < 8 * 45; ++i) CHECK(std::abs(rest.data()[i]) <= bound);
  CHECK(rest.data()[5 * 45] != 0);
}

TEST_CASE("it trains; frozen weights and scales stay") {
  auto options = models::seair({16, 16, 32});
  models::Airbench<bfloat16> model(options);
  nn::initialize(model, 1);
  const auto images = smooth_images({10, 28, 28, 1});
  model.set_whitening(images, 1e-2);
  const auto whitening = model.whiten.weight.value().clone();
  const auto labels = Tensor<std::int32_t>::from({10}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  optim::Sgd<float> sgd(nn::parameters(model), {.lr = 0.2, .momentum = 0.9, .nesterov = true});
  CHECK(sgd.parameters().elements() == nn::count_parameters(model) - frozen(model));
  double first = 0, last = 0;
  for (int step = 0; step <= 20; ++step) {
    Tape tape;
    auto ctx = Context::training(tape);
    const auto loss = ops::cross_entropy(model(Variable<float>(images), ctx), labels, {}, ctx);
    (step == 0 ? first : last) = loss.item();
    loss.backward();
    sgd.step();
  }
  CHECK(first == doctest::Approx(std::log(10.0)).epsilon(0.1));
  CHECK(last < 0.5 * first);
  CHECK(std::equal(whitening.span().begin(), whitening.span().end(),
                   model.whiten.weight.value().span().begin()));
  for (const float scale : model.groups[0].norms[0].weight.value().span()) CHECK(scale == 1);

  auto copy = nn::clone(model);
  auto ctx = Context::evaluation();
  const Variable<float> x(images);
  const auto expected = model(x, ctx).value(), came = copy(x, ctx).value();
  CHECK(std::equal(expected.span().begin(), expected.span().end(), came.span().begin()));
  CHECK(frozen(copy) == frozen(model));
}

TEST_CASE("a group of another depth is refused, and no group at all") {
  const auto text = tests::message_of<ShapeError>([] { models::Airbench<float>({.depth = 4}); });
  CHECK(text == "[Airbench] a group has 2 or 3 convolutions\n  depth   4");
  CHECK(tests::message_of<ShapeError>([] { models::Airbench<float>({.squeeze_excite = 16}); }) ==
        "[Airbench] gates stand where something is added, which needs depth 3\n"
        "  squeeze_excite  16\n  depth   2");
  CHECK(tests::message_of<ShapeError>([] { models::Airbench<float>({.widths = {}}); }) ==
        "[Airbench] there is no stage: the widths are empty\n"
        "  hint: give the channels of each, {.widths = {32, 64}}");
}
