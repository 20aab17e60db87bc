// The later schedules and the plateau against PyTorch and NumPy (tests/fixtures/make_optim.py).
#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <tinynet/optim/cosine_restarts.hpp>
#include <tinynet/optim/decay.hpp>
#include <tinynet/optim/piecewise_linear.hpp>
#include <tinynet/optim/reduce_on_plateau.hpp>

#include "fixture.hpp"
#include "messages.hpp"

using namespace tinynet;
using namespace tinynet::tests;

namespace {

optim::Schedule make_schedule(const Case& c) {
  const auto kind = c.text("schedule");
  if (kind == "interp") {
    const auto& steps = c.setting<io::Json::Array>("step");
    const auto& lr = c.setting<io::Json::Array>("lr");
    std::vector<optim::SchedulePoint> points;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      points.push_back({*steps[i].as<std::int64_t>(), *lr[i].number()});
    }
    return optim::piecewise_linear(points);
  }
  const double lr = c.number("lr");
  if (kind == "ExponentialLR") {
    return optim::exponential_decay({.lr = lr, .gamma = c.number("gamma")});
  }
  if (kind == "PolynomialLR") {
    return optim::polynomial_decay(
        {.lr = lr, .steps = c.integer("total_iters"), .power = c.number("power")});
  }
  REQUIRE(kind == "CosineAnnealingWarmRestarts");
  return optim::cosine_restarts({.lr = lr,
                                 .steps = c.integer("T_0"),
                                 .steps_factor = c.integer("T_mult"),
                                 .final_lr = c.number("eta_min")});
}

optim::ReduceOnPlateauOptions plateau_options(const Case& c) {
  return {.lr = c.number("lr"),
          .goal = c.text("mode") == "min" ? optim::Goal::minimize : optim::Goal::maximize,
          .factor = c.number("factor"),
          .patience = c.integer("patience"),
          .threshold = c.number("threshold"),
          .relative_threshold = c.text("threshold_mode") == "rel",
          .cooldown = c.integer("cooldown"),
          .min_lr = c.number("min_lr"),
          .eps = c.number("eps")};
}

using Saved = std::map<std::string, double>;

Saved save(const optim::ReduceOnPlateau& plateau) {
  Saved saved;
  plateau.visit_state([&](const std::string& name, const auto& tensor) {
    saved[name] = static_cast<double>(tensor.item());
  });
  return saved;
}

}  // namespace

TEST_CASE("schedules: PyTorch's and NumPy's values") {
  int seen = 0;
  for_each_case("optim_schedules.safetensors", [&](const Case& c) {
    if (c.text("schedule") == "ReduceLROnPlateau") return;
    ++seen;
    const auto schedule = make_schedule(c);
    Tensor<double> lr({c.integer("steps")});
    for (std::int64_t step = 0; step < lr.size(); ++step) lr(step) = schedule(step).lr;
    c.check("lr", lr);
    c.check_all_used();
  });
  CHECK(seen == 2 * 7);
}

TEST_CASE("ReduceOnPlateau: PyTorch's values, also when it is saved and restored between epochs") {
  int seen = 0;
  for_each_case("optim_schedules.safetensors", [&](const Case& c) {
    if (c.text("schedule") != "ReduceLROnPlateau") return;
    ++seen;
    optim::ReduceOnPlateau plateau(plateau_options(c));
    const auto metric = c.read<double>("metric");
    Tensor<double> lr(metric.shape());
    int reductions = 0;
    for (std::int64_t epoch = 0; epoch < metric.size(); ++epoch) {
      const double before = plateau.lr();
      const bool lowered = plateau.update(metric(epoch));
      CHECK(lowered == (plateau.lr() < before));
      reductions += lowered;
      lr(epoch) = plateau.lr();

      optim::ReduceOnPlateau resumed(plateau_options(c));
      const auto saved = save(plateau);
      resumed.visit_state([&](const std::string& name, auto tensor) {
        *tensor.data() = static_cast<std::decay_t<decltype(*tensor.data())>>(saved.at(name));
      });
      CHECK(save(resumed) == saved);
      plateau = std::move(resumed);
    }
    CHECK(reductions >= 2);
    c.check("lr", lr);
    c.check_all_used();
  });
  CHECK(seen == 2 * 6);
}

TEST_CASE("cosine_restarts far out") {
  const auto twice = optim::cosine_restarts({.lr = 1, .steps = 3, .steps_factor = 2});
  const std::int64_t far = 3 * ((std::int64_t{1} << 40) - 1);  // 40 periods, then a restart
  CHECK(twice(far).lr == 1);
  CHECK(twice(far - 1).lr < 1e-9);
  CHECK(optim::cosine_restarts({.lr = 1, .steps = 7})(std::int64_t{7} << 50).lr == 1);
}

TEST_CASE("what they refuse") {
  const auto starts = [](const auto& f, const char* text) {
    CHECK(message_of<StateError>(f).find(text) == 0);
  };
  starts([] { optim::exponential_decay({.lr = 1, .gamma = -1}); }, "[exponential_decay] gamma");
  starts([] { optim::polynomial_decay({.lr = 1, .steps = 0}); }, "[polynomial_decay] steps");
  starts([] { optim::polynomial_decay({.lr = 1, .steps = 1, .power = -2}); },
         "[polynomial_decay] power");
  starts([] { optim::cosine_restarts({.lr = 1, .steps = 0}); }, "[cosine_restarts] steps");
  starts([] { optim::cosine_restarts({.lr = 1, .steps = 1, .steps_factor = 0}); },
         "[cosine_restarts] steps_factor");
  starts([] { optim::piecewise_linear({{0, 1}, {5, -1}}); }, "[piecewise_linear] lr of point 1");
  CHECK(message_of<StateError>([] { optim::piecewise_linear({}); }) ==
        "[piecewise_linear] there is no point");
  CHECK(message_of<StateError>([] {
          optim::piecewise_linear({{0, 1}, {5, 1}, {5, 2}});
        }) ==
        "[piecewise_linear] the points are not in the order of their steps\n"
        "  point   2                   step 5\n  before it  step 5");
  starts([] { optim::ReduceOnPlateau({.lr = -1}); }, "[ReduceOnPlateau] lr");
  starts([] { optim::ReduceOnPlateau({.lr = 1, .patience = -1}); }, "[ReduceOnPlateau] patience");
  starts([] { optim::ReduceOnPlateau({.lr = 1, .threshold = -1}); }, "[ReduceOnPlateau] threshold");
  starts([] { optim::ReduceOnPlateau({.lr = 1, .cooldown = -1}); }, "[ReduceOnPlateau] cooldown");
  starts([] { optim::ReduceOnPlateau({.lr = 1, .min_lr = -1}); }, "[ReduceOnPlateau] min_lr");
  starts([] { optim::ReduceOnPlateau({.lr = 1, .eps = -1}); }, "[ReduceOnPlateau] eps");
  CHECK(message_of<StateError>([] { optim::ReduceOnPlateau({.lr = 1, .factor = 1}); }) ==
        "[ReduceOnPlateau] factor is out of range\n  expected  above 0 and below 1\n  came    1");
}
