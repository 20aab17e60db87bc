// Loss scaling for float16, and gradients of several backward passes.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <tinynet/nn/linear.hpp>
#include <tinynet/ops/cast.hpp>
#include <tinynet/ops/loss.hpp>
#include <tinynet/optim/clip.hpp>
#include <tinynet/optim/grad_scaler.hpp>
#include <tinynet/optim/sgd.hpp>

#include "messages.hpp"
#include "small_model.hpp"

using namespace tinynet;
using doctest::Approx;
using tests::message_of;
using tests::Model;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

template <class T>
nn::Linear<T> layer() {
  nn::Linear<T> linear({.in = 6, .out = 3});
  nn::initialize(linear, 1);
  return linear;
}

template <class T>
Tensor<T> images(std::int64_t n) {
  Tensor<T> x({n, 6});
  for (std::int64_t i = 0; i < x.size(); ++i) {
    x.data()[i] = T(random::normal({4}, static_cast<std::uint64_t>(i)));
  }
  return x;
}

Tensor<std::int32_t> labels(std::int64_t n) {
  Tensor<std::int32_t> y({n});
  for (std::int64_t i = 0; i < n; ++i) y(i) = static_cast<std::int32_t>(i % 3);
  return y;
}

template <class T>
auto loss_of(nn::Linear<T>& model, std::int64_t begin, std::int64_t end, Tape& tape) {
  auto ctx = Context::training(tape);
  const auto x = images<T>(8).rows(begin, end);
  return ops::cross_entropy(model(Variable<T>(x), ctx), labels(8).rows(begin, end), {}, ctx);
}

template <class P>
std::vector<P> gradient_of(const Parameter<P>& parameter) {
  return {parameter.gradient().span().begin(), parameter.gradient().span().end()};
}

/// What a backward pass would leave, multiplied by the scale.
template <class P>
void give_scaled(Model<P>& model, int step, double scale) {
  model.give_gradients(step);
  for (auto& parameter : model.parameters) {
    kernels::scale<P>(parameter.state()->gradient.span(), static_cast<P>(scale));
  }
}

}  // namespace

TEST_CASE("float16: gradients that would vanish come through, at the scale of the loss") {
  auto half = layer<float16>();
  auto single = layer<float>();
  constexpr double tiny = 1e-7;  // the gradients of the logits are below float16's smallest
  {
    Tape tape;
    loss_of(single, 0, 8, tape).backward(tiny);
  }
  {
    Tape tape;
    loss_of(half, 0, 8, tape).backward(tiny);
    double largest = 0;
    for (const float g : gradient_of(half.bias)) largest = std::max(largest, std::abs(double(g)));
    CHECK(largest < 1e-7);  // zero, or the smallest number there is
  }
  optim::Sgd sgd(nn::parameters(half), {.lr = 0});
  sgd.zero_grad();
  optim::GradScaler scaler;
  Tape tape;
  scaler.backward(loss_of(half, 0, 8, tape), tiny);
  scaler.unscale(sgd);
  const auto expected = gradient_of(single.weight), came = gradient_of(half.weight);
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < came.size(); ++i) {
    difference += std::pow(double(came[i]) - double(expected[i]), 2);
    norm += std::pow(double(expected[i]), 2);
  }
  CHECK(std::sqrt(difference / norm) < 5e-3);
  CHECK(scaler.step(sgd));
}

TEST_CASE("a scaled step is an unscaled one, with clipping in between") {
  Model<float> model, plain;
  optim::Sgd sgd(model.list(), {.lr = 0.1, .momentum = 0.9});
  optim::Sgd reference(plain.list(), {.lr = 0.1, .momentum = 0.9});
  optim::GradScaler scaler({.init_scale = 1024});
  for (int step = 0; step < 4; ++step) {
    give_scaled(model, step, scaler.scale());
    plain.give_gradients(step);
    const double norm = optim::clip_grad_norm(plain.list(), 1.0);
    scaler.unscale(sgd);
    CHECK(optim::clip_grad_norm(sgd.parameters(), 1.0) == Approx(norm).epsilon(1e-6));
    if (step == 0) CHECK(scaler.step(sgd));
    else if (step == 1) CHECK(scaler.step(sgd, 0.05));
    else CHECK(scaler.step(sgd, optim::StepSettings{.lr = 0.05, .momentum = 0.5}));
    if (step == 0) reference.step();
    else if (step == 1) reference.step(0.05);
    else reference.step({.lr = 0.05, .momentum = 0.5});
  }
  CHECK(sgd.steps() == 4);
  for (std::size_t p = 0; p < 5; ++p) {
    for (std::size_t i = 0; i < model.values()[p].size(); ++i) {
      CHECK(model.values()[p][i] == Approx(plain.values()[p][i]).epsilon(1e-6));
    }
  }
}

TEST_CASE_TEMPLATE("a gradient that is not finite skips the step and halves the scale", P, float,
                   double) {
  for (const auto path : {kernels::Path::reference, kernels::Path::simd}) {
    const kernels::ScopedPathLimit limit(path);
    Model<P> model(40001);  // several units of work
    optim::Sgd sgd(model.list(), {.lr = 0.1, .momentum = 0.9});
    optim::GradScaler scaler({.init_scale = 8, .growth_interval = 3});
    const auto before = model.values();
    for (const P bad : {P(infinity), P(-infinity), std::numeric_limits<P>::quiet_NaN()}) {
      for (const std::int64_t at : {std::int64_t{0}, model[0].gradient.size() - 1}) {
        const double scale = scaler.scale();
        model.give_gradients(0);
        model[0].gradient.data()[at] = bad;
        CHECK_FALSE(scaler.step(sgd));
        CHECK(scaler.scale() == scale / 2);
        CHECK_FALSE(model[0].has_gradient);
      }
    }
    CHECK(model.values() == before);
    CHECK(scaler.skipped() == 6);
    CHECK(sgd.steps() == 0);

    // It grows after three good steps in a row, not after two and one.
    const auto good = [&](int step) {
      give_scaled(model, step, scaler.scale());
      CHECK(scaler.step(sgd));
    };
    good(0);
    good(1);
    model.give_gradients(0);
    model[4].gradient.data()[1] = P(infinity);
    CHECK_FALSE(scaler.step(sgd));
    CHECK(scaler.scale() == 8.0 / 128);
    good(2);
    good(3);
    CHECK(scaler.scale() == 8.0 / 128);
    good(4);
    CHECK(scaler.scale() == 8.0 / 64);
    CHECK(sgd.steps() == 5);
  }
}

TEST_CASE("the scale stays a float, and does not sink for ever") {
  Model<float> model;
  optim::Sgd sgd(model.list(), {.lr = 0});
  optim::GradScaler high({.init_scale = std::ldexp(1.0, 127), .growth_interval = 1});
  model.give_gradients(0);
  CHECK(high.step(sgd));
  CHECK(high.scale() == std::ldexp(1.0, 127));

  optim::GradScaler low({.init_scale = 1, .min_scale = 0.5});
  const auto overflow = [&] {
    model.give_gradients(0);
    model[0].gradient.data()[0] = infinity;
    low.step(sgd);
  };
  overflow();
  CHECK(message_of<StateError>(overflow) ==
        "[GradScaler] the gradients are not finite, however small the scale\n"
        "  scale   0.25\n  skipped 2 steps\n"
        "  hint: lower the learning rate, or look for the layer with train::find_non_finite");
}

TEST_CASE("the scaler's state goes on") {
  Model<float> model;
  optim::Sgd sgd(model.list(), {.lr = 0});
  const optim::GradScalerOptions options{.init_scale = 16, .growth_interval = 3};
  optim::GradScaler scaler(options);
  const auto step = [&](optim::GradScaler& s, bool good) {
    model.give_gradients(0);
    if (!good) model[0].gradient.data()[0] = infinity;
    s.step(sgd);
  };
  for (const bool good : {false, true, true}) step(scaler, good);
  std::map<std::string, double> saved;
  scaler.visit_state([&](const std::string& name, const auto& tensor) {
    saved[name] = static_cast<double>(tensor.item());
  });
  CHECK(saved ==
        std::map<std::string, double>{{"scale", 8}, {"growth_tracker", 2}, {"skipped", 1}});
  optim::GradScaler resumed(options);
  resumed.visit_state([&](const std::string& name, auto tensor) {
    *tensor.data() = static_cast<std::decay_t<decltype(*tensor.data())>>(saved.at(name));
  });
  step(resumed, true);
  CHECK(resumed.scale() == 16);
  CHECK(resumed.skipped() == 1);
}

TEST_CASE("a scaler that is switched off does nothing") {
  Model<float> model, plain;
  optim::Sgd sgd(model.list(), {.lr = 0.1}), reference(plain.list(), {.lr = 0.1});
  optim::GradScaler off({.enabled = false});
  CHECK(off.scale() == 1);
  model.give_gradients(0);
  plain.give_gradients(0);
  CHECK(off.step(sgd));
  reference.step();
  CHECK(model.values() == plain.values());
  CHECK(off.skipped() == 0);
}

TEST_CASE("what the scaler refuses") {
  const auto starts = [](const optim::GradScalerOptions& options, const char* text) {
    CHECK(message_of<StateError>([&] { optim::GradScaler scaler(options); }).find(text) == 0);
  };
  starts({.init_scale = 0}, "[GradScaler] init_scale");
  starts({.growth_factor = 1}, "[GradScaler] growth_factor");
  starts({.backoff_factor = 1}, "[GradScaler] backoff_factor");
  starts({.growth_interval = 0}, "[GradScaler] growth_interval");
  Model<float> model;
  optim::Sgd sgd(model.list(), {.lr = 0});
  optim::GradScaler scaler;
  model.give_gradients(0);
  scaler.unscale(sgd);
  CHECK(message_of<StateError>([&] { scaler.unscale(sgd); }) ==
        "[GradScaler] unscale was called twice before a step\n"
        "  hint: once after all backward passes of a step");
  auto half = layer<float16>();
  Tape tape;
  CHECK(message_of<StateError>([&] { scaler.backward(loss_of(half, 0, 8, tape)); }) ==
        "[GradScaler] these gradients are no longer scaled\n"
        "  hint: call step after unscale, before the next backward");
}

TEST_CASE("a step that was refused can be repeated: gradients are divided by the scale once") {
  Model<float> model, plain;
  optim::Sgd sgd(model.list(), {}), reference(plain.list(), {});
  optim::GradScaler scaler({.init_scale = 4});
  model.give_gradients(0);
  plain.give_gradients(0);
  for (auto& parameter : model.parameters) {
    for (auto& g : parameter.state()->gradient.span()) g *= 4;
  }
  CHECK(message_of<StateError>([&] { scaler.step(sgd); }).find("[Sgd] there is no learning rate") ==
        0);
  scaler.step(sgd, 0.1);
  reference.step(0.1);
  CHECK(model.values() == plain.values());
  CHECK_THROWS_AS(scaler.step(sgd, 0.1),
                  StateError);  // no gradient, and the next backward pass goes on
  Tape tape;
  auto half = layer<float16>();
  scaler.backward(loss_of(half, 0, 8, tape));
}

TEST_CASE("the mean over backward passes is one pass over all of their samples") {
  auto whole = layer<double>(), halves = layer<double>(), uneven = layer<double>(),
       scaled = layer<double>();
  {
    Tape tape;
    loss_of(whole, 0, 8, tape).backward();
  }
  for (const std::int64_t begin : {0, 4}) {
    Tape tape;
    loss_of(halves, begin, begin + 4, tape).backward(1.0 / 2);
  }
  const optim::GradScaler scaler({.init_scale = 64});
  for (const auto& part : std::vector<std::pair<int, int>>{{0, 3}, {3, 8}}) {
    const double weight = (part.second - part.first) / 8.0;
    Tape tape, other;
    loss_of(uneven, part.first, part.second, tape).backward(weight);
    scaler.backward(loss_of(scaled, part.first, part.second, other), weight);
  }
  const auto expected = gradient_of(whole.weight);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(gradient_of(halves.weight)[i] == Approx(expected[i]).epsilon(1e-12));
    CHECK(gradient_of(uneven.weight)[i] == Approx(expected[i]).epsilon(1e-12));
    CHECK(gradient_of(scaled.weight)[i] == Approx(64 * expected[i]).epsilon(1e-12));
  }
}
