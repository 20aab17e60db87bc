// The range test for learning rates, and that it leaves no trace.
#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <tinynet/data/loader.hpp>
#include <tinynet/data/mix.hpp>
#include <tinynet/nn.hpp>
#include <tinynet/optim/lookahead.hpp>
#include <tinynet/optim/sgd.hpp>
#include <tinynet/train/lr_find.hpp>

#include "messages.hpp"

using namespace tinynet;
using doctest::Approx;
using tests::contains;
using tests::message_of;

namespace {

data::Dataset halves() {
  Tensor<std::uint8_t> images({40, 4, 4, 1});
  Tensor<std::int32_t> labels({40});
  for (std::int64_t i = 0; i < images.size(); ++i) {
    const auto noise = random::bits({1}, static_cast<std::uint64_t>(i)) % 100;
    const bool bright = (i % 16 < 8) == (i / 16 % 2 == 0);
    images.data()[i] = static_cast<std::uint8_t>(noise + (bright ? 120 : 0));
  }
  for (std::int64_t n = 0; n < 40; ++n) labels(n) = static_cast<std::int32_t>(n % 2);
  return data::Dataset("halves", images, labels, {"up", "down"});
}

struct Run {
  nn::Sequential<float> model{nn::Conv2d<float>({.in = 1, .out = 4, .padding = 1, .bias = false}),
                              nn::BatchNorm2d<float>({.channels = 4}),
                              nn::Relu<float>(),
                              nn::Dropout2d<float>{0.1},
                              nn::Flatten<float>(),
                              nn::Linear<float>({.in = 64, .out = 2})};
  data::Loader<float> loader{halves(), {.batch_size = 16}};  // 2.5 batches: several epochs

  Run() { nn::initialize(model, 2); }

  template <class Optimizer>
  void train(Optimizer& optimizer) {
    for (const auto& batch : loader.epoch()) {
      Tape tape;
      auto ctx = Context::training(tape, random::Key{4});
      ops::cross_entropy(model(batch.images, ctx), batch.labels, {}, ctx).backward();
      optimizer.step(0.01);
    }
  }
  std::vector<std::vector<float>> values() {
    std::vector<std::vector<float>> all;
    const nn::Members members(model);
    for (const auto& p : nn::parameters(members)) {
      all.emplace_back(p->value.span().begin(), p->value.span().end());
    }
    for (auto& t : nn::buffers(members)) all.emplace_back(t.span().begin(), t.span().end());
    return all;
  }
};

}  // namespace

TEST_CASE("lr_find: an exponential sweep, a suggestion within it, and no trace") {
  Run run, untouched;
  optim::Lookahead optimizer(optim::Sgd(nn::parameters(run.model), {.momentum = 0.9}), {.k = 3});
  optim::Lookahead reference(optim::Sgd(nn::parameters(untouched.model), {.momentum = 0.9}),
                             {.k = 3});
  run.train(optimizer);
  untouched.train(reference);
  const auto before = run.values();

  const auto curve = train::lr_find(run.model, optimizer, run.loader,
                                    {.start_lr = 1e-5, .end_lr = 100, .steps = 71});
  REQUIRE(curve.points.size() > 20);
  CHECK(curve.points.size() < 71);  // it diverged on the way
  for (std::size_t i = 0; i < curve.points.size(); ++i) {
    CHECK(curve.points[i].lr == Approx(1e-5 * std::pow(10, 0.1 * double(i))).epsilon(1e-9));
    CHECK(std::isfinite(curve.points[i].loss));
  }
  REQUIRE(curve.suggestion.has_value());
  CHECK(*curve.suggestion > 1e-4);
  CHECK(*curve.suggestion < 1);

  CHECK(run.values() == before);
  CHECK(optimizer.steps() == 3);
  run.train(optimizer);
  untouched.train(reference);
  CHECK(run.values() == untouched.values());
}

TEST_CASE("lr_find of mixed images goes by their mixed labels") {
  const data::Loader<float> loader(halves(),
                                   {.batch_size = 16, .mix = data::MixUp{.alpha = 1}, .seed = 3});
  const train::LrFindOptions options{.steps = 2, .loss = {.label_smoothing = 0.1}, .seed = 5};
  Run first;
  optim::Sgd sgd(nn::parameters(first.model), {});
  const auto curve = train::lr_find(first.model, sgd, loader, options);
  REQUIRE(curve.points.size() == 2);
  Run again;
  for (const auto& batch : loader.epoch(0)) {
    REQUIRE(!batch.targets.empty());
    Tape tape;
    auto ctx = Context::training(tape, random::Key{5}.fold(0));
    const auto logits = again.model(batch.images, ctx);
    const double mixed = ops::cross_entropy(logits, batch.targets, options.loss, ctx).item();
    const double by_label = ops::cross_entropy(logits, batch.labels, options.loss, ctx).item();
    CHECK(curve.points[0].loss == mixed);
    CHECK(std::abs(mixed - by_label) > 1e-3);
    break;
  }
}

TEST_CASE("lr_find refuses a frozen model") {
  Run run;
  optim::Sgd sgd(nn::parameters(run.model), {});
  nn::freeze(run.model, {});
  const auto before = run.values();
  CHECK(contains(message_of<StateError>([&] { train::lr_find(run.model, sgd, run.loader); }),
                 "[Parameter] the values of a frozen model do not change"));
  CHECK(run.values() == before);
  nn::unfreeze(run.model);
  const auto freezes = [&](std::int64_t) -> double {
    nn::freeze(run.model, {});
    return 1;
  };
  CHECK(contains(message_of<StateError>([&] { train::lr_find(run.model, sgd, freezes); }),
                 "[freeze] the model has values that will be exchanged back"));
  CHECK(run.values() == before);
}

TEST_CASE("lr_find of a function: losses, their smoothing, and where they fall fastest") {
  Parameter<double> w({2}, ParameterKind::weight, {});
  w.set(Tensor<double>::from({2}, {1, -2}));
  struct Model {
    Parameter<double>& w;
    void members(nn::Members& m) { m("w", w); }
  } model{w};
  optim::Sgd sgd(nn::parameters<double>(model), {});
  const auto sweep = [&](auto loss, const train::LrFindOptions& options) {
    return train::lr_find(
        model, sgd,
        [&](std::int64_t step) {
          w.state()->gradient.span()[0] = 1;
          w.state()->gradient.span()[1] = 1;
          w.state()->has_gradient = true;
          return loss(step);
        },
        options);
  };
  // 1 until step 20, down to 0 at step 30, then up until it is more than 4 times its lowest.
  const auto valley = [](std::int64_t step) {
    const auto s = static_cast<double>(step);
    return s < 20 ? 1.0 : s < 30 ? 1 - 0.09 * (s - 20) : 0.1 + 0.2 * (s - 30);
  };
  const train::LrFindOptions options{.start_lr = 1e-4, .end_lr = 1, .steps = 41, .smoothing = 0};
  const auto curve = sweep(valley, options);
  CHECK(curve.points.size() == 33);
  CHECK(curve.points.back().loss == Approx(0.5));
  CHECK(curve.points[20].lr == Approx(1e-2));
  CHECK(*curve.suggestion >= curve.points[21].lr);
  CHECK(*curve.suggestion <= curve.points[29].lr);
  CHECK(w.value()(0) == 1);
  CHECK(w.value()(1) == -2);

  auto smooth = options;
  smooth.smoothing = 0.5;
  const auto smoothed = sweep([](std::int64_t step) { return step == 0 ? 4.0 : 1.0; }, smooth);
  CHECK(smoothed.points[0].smoothed == Approx(4));
  CHECK(smoothed.points[1].smoothed == Approx(2));         // (4 / 2 + 1) * 2 / 3
  CHECK(smoothed.points[2].smoothed == Approx(10.0 / 7));  // weights 1, 2, 4
  CHECK(smoothed.points.size() == 41);

  // A likelihood has no sign: down from -1, then up by more than three times the lowest one's size.
  const auto below_zero = sweep(
      [](std::int64_t step) {
        return step < 10 ? -1 - 0.1 * double(step) : -1.9 + 0.5 * double(step - 9);
      },
      options);
  CHECK(below_zero.points.size() == 22);

  const auto rising = sweep([](std::int64_t step) { return 1 + 0.01 * double(step); }, options);
  CHECK_FALSE(rising.suggestion.has_value());
  const auto broken = sweep(
      [](std::int64_t step) { return step < 7 ? 1 : std::numeric_limits<double>::quiet_NaN(); },
      options);
  CHECK(broken.points.size() == 7);

  CHECK_THROWS_AS(sweep(
                      [](std::int64_t step) {
                        if (step == 5) throw std::runtime_error("full");
                        return 1.0;
                      },
                      options),
                  std::runtime_error);
  CHECK(w.value()(0) == 1);
  CHECK(sgd.steps() == 0);
  CHECK_FALSE(w.state()->has_gradient);
}

TEST_CASE("lr_find refuses what makes no sense") {
  Run run;
  optim::Sgd sgd(nn::parameters(run.model), {});
  const auto error = [&](const train::LrFindOptions& options) {
    return message_of<StateError>([&] { train::lr_find(run.model, sgd, run.loader, options); });
  };
  CHECK(error({.start_lr = 0}) ==
        "[lr_find] start_lr is out of range\n  expected  above 0\n  came    0");
  CHECK(contains(error({.end_lr = 1e-9}), "[lr_find] end_lr"));
  CHECK(contains(error({.steps = 1}), "[lr_find] steps"));
  CHECK(contains(error({.smoothing = 1}), "[lr_find] smoothing"));
  CHECK(contains(error({.diverged = 1}), "[lr_find] diverged"));
}
