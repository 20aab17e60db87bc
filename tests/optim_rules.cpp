// Adam, RmsProp, Lion, Muon and Lookahead against PyTorch and their papers
// (tests/fixtures/make_optim.py), their state, threads, and what they refuse.
#include <doctest/doctest.h>

#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <tinynet/optim/adam.hpp>
#include <tinynet/optim/lion.hpp>
#include <tinynet/optim/lookahead.hpp>
#include <tinynet/optim/muon.hpp>
#include <tinynet/optim/rmsprop.hpp>
#include <tinynet/optim/sgd.hpp>

#include "fixture.hpp"
#include "messages.hpp"
#include "small_model.hpp"

using namespace tinynet;
using namespace tinynet::tests;

namespace {

template <class P>
using AnyOptimizer = std::unique_ptr<optim::Optimizer<P>>;

std::vector<optim::Group> groups_of(const Case& c) {
  if (!c.has("weight_decay_bias")) return {};
  return {{.where = optim::by_kind({ParameterKind::bias}),
           .weight_decay = c.number("weight_decay_bias")}};
}

double number_or(const Case& c, const char* key, double otherwise) {
  return c.has(key) ? c.number(key) : otherwise;
}

optim::MuonOptions muon_options(const Case& c) {
  optim::MuonOptions o{.lr = c.number("lr"),
                       .momentum = c.number("momentum"),
                       .weight_decay = number_or(c, "weight_decay", 0),
                       .eps = 1e-30,  // lost in the norm, as the fixture's 0
                       .precision = optim::NewtonSchulzPrecision::full};
  if (c.text("optimizer") == "RecordMuon") {
    const auto& coefficients = c.setting<io::Json::Array>("coefficients");
    for (std::size_t i = 0; i < 3; ++i) o.ns_coefficients[i] = *coefficients[i].number();
    o.ns_steps = c.integer("steps");
    o.nesterov = c.flag("nesterov");
    o.eps = c.number("eps");
    o.adjust_lr = optim::AdjustLr::none;
    o.normalize_weights = c.flag("normalize");
  } else if (c.text("adjust") != "original") {
    o.adjust_lr = optim::AdjustLr::match_rms_adamw;
  }
  return o;
}

template <class P>
AnyOptimizer<P> make(const Case& c, const ParameterList<P>& list, const Tensor<P>& statistics) {
  const auto kind = c.text("optimizer");
  const double lr = c.number("lr"), decay = number_or(c, "weight_decay", 0);
  if (kind == "Adam") {
    return std::make_unique<optim::Adam<P>>(list, optim::AdamOptions{.lr = lr,
                                                                     .beta1 = c.number("beta1"),
                                                                     .beta2 = c.number("beta2"),
                                                                     .eps = c.number("eps"),
                                                                     .weight_decay = decay,
                                                                     .groups = groups_of(c)});
  }
  if (kind == "RMSprop") {
    return std::make_unique<optim::RmsProp<P>>(
        list, optim::RmsPropOptions{.lr = lr,
                                    .alpha = c.number("alpha"),
                                    .eps = c.number("eps"),
                                    .momentum = number_or(c, "momentum", 0),
                                    .centered = c.has("centered"),
                                    .weight_decay = decay,
                                    .groups = groups_of(c)});
  }
  if (kind == "Lion") {
    return std::make_unique<optim::Lion<P>>(list, optim::LionOptions{.lr = lr,
                                                                     .beta1 = c.number("beta1"),
                                                                     .beta2 = c.number("beta2"),
                                                                     .weight_decay = decay,
                                                                     .groups = groups_of(c)});
  }
  if (kind == "RecordMuon" || kind == "Muon") {
    return std::make_unique<optim::Muon<P>>(list, muon_options(c));
  }
  optim::Sgd<P> sgd(list, {.lr = lr, .momentum = c.number("momentum")});
  if (kind == "AirbenchLookahead") {
    return std::make_unique<optim::Lookahead<P>>(
        std::move(sgd), optim::airbench_lookahead(c.integer("total")), std::vector{statistics});
  }
  REQUIRE(kind == "Lookahead");
  return std::make_unique<optim::Lookahead<P>>(
      std::move(sgd), optim::LookaheadOptions{.k = c.integer("k"), .alpha = c.number("alpha")},
      std::vector{statistics});
}

template <class P>
void check_rule(const Case& c) {
  const auto kind = c.text("optimizer");
  const bool is_muon = kind == "Muon" || kind == "RecordMuon",
             looks_ahead = c.has("k") || c.has("total");
  std::vector<Parameter<P>> parameters;
  ParameterList<P> list;
  for (const std::string name : {"weight", "bias", "tall", "conv"}) {
    if (!c.file.contains(c.name + "." + name)) continue;
    const auto start = Case::channels_last(c.file.read<P>("start." + name));
    const auto role = name == "bias" ? ParameterKind::bias : ParameterKind::weight;
    parameters.push_back(Parameter<P>(start.shape(), role, {}));
    parameters.back().state()->name = name;
    parameters.back().set(start);
    list.append(parameters.back().state());
  }
  REQUIRE(list.size() == (is_muon ? 3 : 2));
  const auto statistics_before = c.file.read<P>("statistics");
  auto statistics = Tensor<P>::zeros({3});
  const auto optimizer = make(c, list, statistics);
  const auto lr = c.read<double>("lr");
  for (std::int64_t step = 0; step < lr.size(); ++step) {
    CAPTURE(step);
    for (const auto& parameter : list) {
      const auto gradient =
          Case::channels_last(at_step(c.file.read<P>("gradient." + parameter->name), step));
      std::copy(gradient.span().begin(), gradient.span().end(), parameter->gradient.data());
      parameter->has_gradient = true;
    }
    const auto seen = at_step(statistics_before, step);
    std::copy(seen.span().begin(), seen.span().end(), statistics.data());
    optimizer->step(lr(step));
    const auto after = [&](const std::string& name) {
      return Case::channels_last(at_step(c.read<double>(name), step));
    };
    for (const auto& parameter : list) {
      check_near(c.name + "." + parameter->name, parameter->value, after(parameter->name),
                 ten_steps_bound<P>);
    }
    if (looks_ahead) check_near("statistics", statistics, after("statistics"), ten_steps_bound<P>);
  }
}

/// One of each, for what all of them must do.
template <class P>
std::map<std::string, AnyOptimizer<P>> one_of_each(const ParameterList<P>& list) {
  ParameterList<P> matrices;
  for (const auto& state : list) {
    if (state->value.shape().axes() == 2) matrices.append(state);
  }
  std::map<std::string, AnyOptimizer<P>> all;
  all["Adam"] = std::make_unique<optim::Adam<P>>(list);
  all["RmsProp"] = std::make_unique<optim::RmsProp<P>>(
      list, optim::RmsPropOptions{.momentum = 0.9, .centered = true});
  all["Lion"] = std::make_unique<optim::Lion<P>>(list, optim::LionOptions{.weight_decay = 0.1});
  all["Muon"] =
      std::make_unique<optim::Muon<P>>(matrices, optim::MuonOptions{.normalize_weights = true});
  all["Lookahead"] =
      std::make_unique<optim::Lookahead<P>>(optim::Adam<P>(list), optim::LookaheadOptions{.k = 2});
  return all;
}

using Saved = std::map<std::string, std::vector<double>>;

template <class P>
Saved save(const optim::Optimizer<P>& optimizer) {
  Saved saved;
  optimizer.visit_state([&](const std::string& name, const auto& tensor) {
    CHECK(saved.count(name) == 0);
    saved[name].assign(tensor.span().begin(), tensor.span().end());
  });
  return saved;
}

template <class P>
void restore(const optim::Optimizer<P>& optimizer, const Saved& saved) {
  optimizer.visit_state([&](const std::string& name, auto tensor) {
    const auto& values = saved.at(name);
    for (std::size_t i = 0; i < values.size(); ++i) {
      tensor.data()[i] = static_cast<std::decay_t<decltype(*tensor.data())>>(values[i]);
    }
  });
}

template <class P>
void train(Model<P>& model, optim::Optimizer<P>& optimizer, int from, int to) {
  for (int step = from; step < to; ++step) {
    model.give_gradients(step);
    optimizer.step(0.01);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("ten steps of each rule", P, double, float) {
  for_each_case("optim_rules.safetensors", [](const Case& c) {
    check_rule<P>(c);
    c.check_all_used();
  });
}

TEST_CASE("the state restores each optimizer, bit for bit") {
  for (const std::string name : {"Adam", "RmsProp", "Lion", "Muon", "Lookahead"}) {
    CAPTURE(name);
    Model<float> unbroken, first, second;
    const auto a = std::move(one_of_each(unbroken.list())[name]);
    const auto b = std::move(one_of_each(first.list())[name]);
    train(unbroken, *a, 0, 7);
    train(first, *b, 0, 3);
    for (std::size_t i = 0; i < 5; ++i) second.parameters[i].set(first.parameters[i].value());
    const auto c = std::move(one_of_each(second.list())[name]);
    restore(*c, save(*b));
    CHECK(c->steps() == 3);
    train(second, *c, 3, 7);
    CHECK(second.values() == unbroken.values());
    CHECK(save(*c) == save(*a));
  }
}

TEST_CASE("names of the state are PyTorch's") {
  Model<double> model;
  const auto has = [](const auto& optimizer, const char* name) {
    return save<double>(optimizer).count(name) == 1;
  };
  CHECK(has(optim::Adam(model.list()), "exp_avg_sq.fc.bias"));
  CHECK(has(optim::Lion(model.list()), "exp_avg.fc.bias"));
  const optim::RmsProp plain(model.list());
  CHECK(has(plain, "square_avg.fc.bias"));
  CHECK_FALSE(has(plain, "momentum_buffer.fc.bias"));
  CHECK_FALSE(has(plain, "grad_avg.fc.bias"));
  const optim::Lookahead lookahead(optim::Sgd(model.list(), {.lr = 0.1, .momentum = 0.9}));
  CHECK(has(lookahead, "slow.conv1.weight"));
  CHECK(has(lookahead, "momentum_buffer.conv1.weight"));
}

TEST_CASE("the same bits with one thread and with two") {
  const int before = num_threads();
  const auto run = [](int threads, const std::string& name) {
    set_num_threads(threads);
    Model<float> model(20011);
    const auto optimizer = std::move(one_of_each(model.list())[name]);
    train(model, *optimizer, 0, 3);
    return model.values();
  };
  for (const std::string name : {"Adam", "RmsProp", "Lion", "Muon", "Lookahead"}) {
    CAPTURE(name);
    CHECK(run(1, name) == run(2, name));
  }
  set_num_threads(before);
}

TEST_CASE("a schedule's momentum takes the place of beta1 and of momentum") {
  const auto same = [](auto make, auto given) {
    Model<double> one, other;
    auto a = make(one.list());
    auto b = given(other.list());
    for (int step = 0; step < 3; ++step) {
      one.give_gradients(step);
      other.give_gradients(step);
      a.step(0.01);
      b.step({.lr = 0.01, .momentum = 0.7});
    }
    CHECK(one.values() == other.values());
  };
  using List = ParameterList<double>;
  same([](const List& list) { return optim::Adam(list, {.beta1 = 0.7}); },
       [](const List& list) { return optim::Adam(list); });
  same([](const List& list) { return optim::Lion(list, {.beta1 = 0.7}); },
       [](const List& list) { return optim::Lion(list); });
  same([](const List& list) { return optim::RmsProp(list, {.momentum = 0.7}); },
       [](const List& list) { return optim::RmsProp(list, {.momentum = 0.1}); });
}

TEST_CASE("RmsProp, centered: gradients that are all alike give no NaN") {
  Model<float> model;
  optim::RmsProp rmsprop(model.list(), {.alpha = 0.5, .centered = true});
  for (int step = 0; step < 60; ++step) {
    model.give_gradients(0);
    rmsprop.step();
  }
  for (const auto& values : model.values()) {
    for (const double x : values) CHECK(std::isfinite(x));
  }
}

TEST_CASE("Lion: a gradient of zero moves nothing, NaN is not hidden") {
  Model<float> model;
  optim::Lion lion(model.list());
  const auto before = model.values();
  model.give_gradients(0);
  model[0].gradient.data()[0] = 0;
  model[0].gradient.data()[1] = std::numeric_limits<float>::quiet_NaN();
  lion.step(0.5);
  const auto after = model.values();
  CHECK(after[0][0] == before[0][0]);
  CHECK(std::isnan(after[0][1]));
  CHECK(std::abs(after[0][2] - before[0][2]) == doctest::Approx(0.5));
}

TEST_CASE("Lookahead: slow weights begin at the first step and can be asked for") {
  Model<double> model, plain;
  optim::Lookahead lookahead(optim::Sgd(model.list(), {.lr = 0.1}), {.k = 2, .alpha = 0.25});
  lookahead.use_slow_weights();  // nothing yet
  CHECK(model.values() == plain.values());
  for (auto& parameter : model.parameters) {  // a file that was loaded meanwhile, say
    parameter.set(Tensor<double>::full(parameter.shape(), 5));
  }
  const auto version_before = model[0].version;
  train(model, lookahead, 0, 1);
  CHECK(model[0].value.data()[0] != 5);
  lookahead.use_slow_weights();
  CHECK(model[0].version == version_before + 2);
  for (const auto& values : model.values()) {
    for (const double x : values) CHECK(x == 5);
  }
  CHECK(lookahead.steps() == 1);
  CHECK(lookahead.inner().steps() == 1);
  CHECK(&lookahead.parameters() == &lookahead.inner().parameters());
}

TEST_CASE("Lookahead: slow weights outlive a step that broke the others") {
  Model<double> model, plain;
  optim::Lookahead lookahead(optim::Sgd(model.list(), {.lr = 0.1}), {.k = 2});
  train(model, lookahead, 0, 1);
  model.parameters[0].set(
      Tensor<double>::full(model.parameters[0].shape(), std::numeric_limits<double>::infinity()));
  lookahead.use_slow_weights();
  CHECK(model.values() == plain.values());
}

TEST_CASE("what the optimizers refuse") {
  Model<float> model;
  const auto list = model.list();
  const auto starts = [](const auto& f, const char* text) {
    CHECK(message_of<StateError>(f).find(text) == 0);
  };
  starts([&] { optim::Adam(list, {.beta1 = 1}); }, "[Adam] beta1");
  starts([&] { optim::Adam(list, {.beta2 = -1}); }, "[Adam] beta2");
  starts([&] { optim::Adam(list, {.eps = -1}); }, "[Adam] eps");
  starts([&] { optim::Adam(list, {.weight_decay = -1}); }, "[Adam] weight_decay");
  starts([&] { optim::Lion(list, {.beta1 = -0.1}); }, "[Lion] beta1");
  starts([&] { optim::Lion(list, {.beta2 = 1}); }, "[Lion] beta2");
  starts([&] { optim::RmsProp(list, {.alpha = 1}); }, "[RmsProp] alpha");
  starts([&] { optim::RmsProp(list, {.eps = -1}); }, "[RmsProp] eps");
  starts([&] { optim::RmsProp(list, {.momentum = 1}); }, "[RmsProp] momentum");
  starts([&] { optim::Lookahead(optim::Adam(list), {.k = 0}); }, "[Lookahead] k");
  starts([&] { optim::airbench_lookahead(0); }, "[airbench_lookahead] total_steps");
  CHECK(message_of<StateError>([&] { optim::Lookahead(optim::Adam(list), {.alpha = 2}); }) ==
        "[Lookahead] alpha is out of range\n  expected  0 to 1\n  came    2");

  optim::RmsProp rmsprop(list);
  model.give_gradients(0);
  CHECK(message_of<StateError>([&] { rmsprop.step({.lr = 1, .momentum = 0.9}); }) ==
        "[RmsProp] a step asks for momentum, but there was none at the start\n  came    0.9\n"
        "  hint: set RmsPropOptions::momentum, or cycle_momentum = false in the schedule");
  Model<float> other;
  optim::Lookahead without(optim::Sgd(other.list()), {});
  CHECK(message_of<StateError>([&] { without.step(); }) ==
        "[Lookahead] there is no learning rate\n"
        "  hint: set lr in the options, or give one to each step: step(lr)");
  CHECK(message_of<StateError>([&] { without.step(0.1); }) ==
        "[Sgd] no parameter has a gradient\n  hint: call loss.backward() before each step");
}
