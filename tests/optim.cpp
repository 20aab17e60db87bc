// Optimizers against their formulas, groups, the flat layout, clipping, schedules, and what they
// refuse. That the numbers are PyTorch's is tests/pytorch.cpp's matter.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numbers>
#include <string>
#include <vector>

#include <tinynet/ops/linear.hpp>
#include <tinynet/optim/adamw.hpp>
#include <tinynet/optim/clip.hpp>
#include <tinynet/optim/decay.hpp>
#include <tinynet/optim/one_cycle.hpp>
#include <tinynet/optim/schedule.hpp>
#include <tinynet/optim/sgd.hpp>

#include "messages.hpp"
#include "small_model.hpp"

using namespace tinynet;
using tests::message_of;
using tests::Model;
using doctest::Approx;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// PyTorch's documentation of SGD, one element at a time.
struct PlainSgd {
  optim::SgdOptions o;
  double m = 0;
  int t = 0;
  double operator()(double x, double gradient, double lr) {
    double g = gradient + o.weight_decay * x;
    if (o.momentum != 0) {
      m = ++t == 1 ? g : o.momentum * m + (1 - o.dampening) * g;
      g = o.nesterov ? g + o.momentum * m : m;
    }
    return x - lr * g;
  }
};

/// The same of AdamW.
struct PlainAdamW {
  optim::AdamWOptions o;
  double m = 0, v = 0;
  int t = 0;
  double operator()(double x, double gradient, double lr) {
    ++t;
    x -= lr * o.weight_decay * x;
    m = o.beta1 * m + (1 - o.beta1) * gradient;
    v = o.beta2 * v + (1 - o.beta2) * gradient * gradient;
    const double m_hat = m / (1 - std::pow(o.beta1, t)), v_hat = v / (1 - std::pow(o.beta2, t));
    return x - lr * m_hat / (std::sqrt(v_hat) + o.eps);
  }
};

/// Ten steps of an optimizer beside the plain formula; returns the largest difference of a value.
template <class P, class Plain, class Optimizer>
double difference_after_ten_steps(Model<P>& model, Optimizer& optimizer, const Plain& plain) {
  auto expected = model.values();
  std::vector<std::vector<Plain>> rules;
  for (const auto& values : expected) rules.emplace_back(values.size(), plain);
  for (int step = 0; step < 10; ++step) {
    const double lr = 0.1 / (1 + step);
    model.give_gradients(step);
    for (std::size_t p = 0; p < expected.size(); ++p) {
      for (std::size_t i = 0; i < expected[p].size(); ++i) {
        const double gradient = model[p].gradient.data()[i];
        expected[p][i] = rules[p][i](expected[p][i], gradient, lr);
      }
    }
    optimizer.step(lr);
  }
  double largest = 0;
  const auto values = model.values();
  for (std::size_t p = 0; p < expected.size(); ++p) {
    for (std::size_t i = 0; i < expected[p].size(); ++i) {
      largest = std::max(largest, std::abs(values[p][i] - expected[p][i]));
    }
  }
  return largest;
}

void check_values(const optim::Schedule& schedule, const std::vector<double>& lr) {
  for (std::size_t i = 0; i < lr.size(); ++i) {
    CAPTURE(i);
    CHECK(schedule(std::int64_t(i)).lr == Approx(lr[i]).epsilon(1e-12));
  }
}

}  // namespace

TEST_CASE("Sgd follows its formula") {
  const auto settings = std::vector<optim::SgdOptions>{
      {},
      {.weight_decay = 0.05},
      {.momentum = 0.9},
      {.momentum = 0.9, .weight_decay = 0.05},
      {.momentum = 0.9, .dampening = 0.3},
      {.momentum = 0.9, .weight_decay = 0.05, .nesterov = true},
  };
  for (const auto& options : settings) {
    CAPTURE(options.momentum);
    CAPTURE(options.weight_decay);
    Model<double> model;
    optim::Sgd sgd(model.list(), options);
    CHECK(difference_after_ten_steps(model, sgd, PlainSgd{options}) < 1e-13);
    Model<float> single;
    optim::Sgd single_sgd(single.list(), options);
    CHECK(difference_after_ten_steps(single, single_sgd, PlainSgd{options}) < 1e-5);
  }
}

TEST_CASE("AdamW follows its formula") {
  const auto settings = std::vector<optim::AdamWOptions>{
      {.weight_decay = 0},
      {},
      {.beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.1},
  };
  for (const auto& options : settings) {
    Model<double> model;
    optim::AdamW adamw(model.list(), options);
    CHECK(difference_after_ten_steps(model, adamw, PlainAdamW{options}) < 1e-13);
    Model<float> single;
    optim::AdamW single_adamw(single.list(), options);
    CHECK(difference_after_ten_steps(single, single_adamw, PlainAdamW{options}) < 1e-5);
  }
}

TEST_CASE("a step takes lr and momentum from the options or from its argument") {
  Model<double> model, same;
  optim::Sgd sgd(model.list(), {.lr = 0.1, .momentum = 0.9});
  optim::Sgd given(same.list(), {.lr = 5, .momentum = 0.5});
  for (int step = 0; step < 3; ++step) {
    model.give_gradients(step);
    same.give_gradients(step);
    sgd.step();
    given.step({.lr = 0.1, .momentum = 0.9});
  }
  CHECK(model.values() == same.values());
  CHECK(sgd.steps() == 3);
  CHECK(sgd.options().momentum == 0.9);

  Model<double> adam, beta;
  optim::AdamW adamw(adam.list(), {.lr = 0.1, .beta1 = 0.7});
  optim::AdamW with_beta(beta.list());
  for (int step = 0; step < 3; ++step) {
    adam.give_gradients(step);
    beta.give_gradients(step);
    adamw.step();
    with_beta.step({.lr = 0.1, .momentum = 0.7});  // one-cycle turns beta1
  }
  CHECK(adam.values() == beta.values());
}

TEST_CASE("values and gradients are flat, in the order of the groups") {
  Model<float> model;
  optim::Sgd sgd(model.list(), {.lr = 0.1, .weight_decay = 0.5,
                                .groups = {{.where = optim::by_name("fc.*"), .lr_scale = 10},
                                           optim::no_weight_decay_for_norm_and_bias()}});
  const std::vector<std::string> order{"fc.weight", "fc.bias", "bn1.weight", "bn1.bias",
                                       "conv1.weight"};
  const auto& list = sgd.parameters();
  REQUIRE(list.size() == order.size());
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    CHECK(list[i]->name == order[i]);
    CHECK(list[i]->value.data() == list[0]->value.data() + offset);
    CHECK(list[i]->gradient.data() == list[0]->gradient.data() + offset);
    offset += list[i]->value.size();
  }
  int runs = 0;
  model.give_gradients(0);
  optim::for_each_run(list, [](std::size_t) { return true; }, [&](const auto& run) {
    ++runs;
    CHECK(run.first == 0);
    CHECK(run.last == 5);
    CHECK(std::ssize(run.values) == offset);
  });
  CHECK(runs == 1);
}

TEST_CASE("groups have their own weight decay and learning rate") {
  Model<double> model;
  const auto before = model.values();
  optim::Sgd sgd(model.list(),
                 {.lr = 0.1, .weight_decay = 0.5,
                  .groups = {{.where = optim::by_name("fc.*"), .lr_scale = 10},
                             {.where = optim::by_kind({ParameterKind::norm_scale}),
                              .lr_scale = 0, .weight_decay = 3},
                             {.where = optim::Filter{"vectors",
                                                     [](const auto& p) {
                                                       return p.shape.axes() == 1;
                                                     }},
                              .weight_decay = 0}}});
  model.give_gradients(0);
  sgd.step();
  const auto after = model.values();
  const std::array<double, 5> lr{0.1, 0, 0.1, 1, 1}, decay{0.5, 3, 0, 0.5, 0.5};
  for (std::size_t p = 0; p < 5; ++p) {
    for (std::size_t i = 0; i < before[p].size(); ++i) {
      const double gradient = model[p].gradient.data()[i];
      CHECK(after[p][i] ==
            Approx(before[p][i] - lr[p] * (gradient + decay[p] * before[p][i])).epsilon(1e-13));
    }
  }
}

TEST_CASE("by_name: a star stands for any characters") {
  const Shape shape{1};
  const auto matches = [&](const char* pattern, const char* name) {
    return optim::by_name(pattern).matches({name, ParameterKind::weight, shape});
  };
  CHECK(matches("layer4.*", "layer4.0.conv1.weight"));
  CHECK(matches("*.bias", "layer4.0.bn1.bias"));
  CHECK(matches("*conv*weight", "layer4.0.conv1.weight"));
  CHECK(matches("fc", "fc"));
  CHECK(matches("*", ""));
  CHECK_FALSE(matches("layer4.*", "layer40.conv1.weight"));
  CHECK_FALSE(matches("fc", "fc.weight"));
  CHECK_FALSE(matches("fc.weight", "fc"));
  CHECK_FALSE(matches("", "fc"));
}

TEST_CASE("a parameter without gradient is left alone, its momentum too") {
  Model<double> model, whole;
  const optim::SgdOptions options{.lr = 0.1, .momentum = 0.9, .dampening = 0.5,
                                  .weight_decay = 0.1};
  optim::Sgd sgd(model.list(), options), reference(whole.list(), options);
  const auto before = model.values();
  for (std::size_t i : {0, 1, 3, 4}) model.give_gradient(i, 0);
  sgd.step();
  CHECK(model.values()[2] == before[2]);
  CHECK(model.values()[1] != before[1]);
  CHECK(model[2].version == 1);
  CHECK(model[1].version == 2);

  // Its first gradient is the first one of its momentum: not dampened, one step later than others'.
  model.give_gradients(1);
  sgd.step();
  whole.give_gradients(1);
  reference.step();
  CHECK(model.values()[2] == whole.values()[2]);
  CHECK(model.values()[1] != whole.values()[1]);

  Model<double> adam, adam_whole;
  optim::AdamW adamw(adam.list()), adam_reference(adam_whole.list());
  adam.give_gradient(0, 0);
  adamw.step();
  adam.give_gradients(1);
  adamw.step();
  adam_whole.give_gradients(1);
  adam_reference.step();
  CHECK(adam.values()[2] == adam_whole.values()[2]);  // bias correction counts its own updates
}

TEST_CASE("frozen parameters are left out, and thawed ones stay out") {
  Model<double> model;
  model[0].trainable = false;
  optim::Sgd sgd(model.list(), {.lr = 0.1});
  CHECK(sgd.parameters().size() == 4);
  const auto before = model.values();
  model.give_gradients(0);
  model[3].trainable = false;  // frozen later: passed over
  sgd.step();
  CHECK(model.values()[0] == before[0]);
  CHECK(model.values()[3] == before[3]);
  CHECK(model.values()[4] != before[4]);
}

TEST_CASE("a step uses the gradients up; backward passes before it add up") {
  Parameter<double> w({1, 2}, ParameterKind::weight, {});
  w.set(Tensor<double>::from({1, 2}, {1, 2}));
  ParameterList<double> list;
  list.append(w.state());
  optim::Sgd sgd(list, {.lr = 1});
  const auto backward = [&](double a, double b) {
    Tape tape;
    auto ctx = Context::training(tape);
    ops::linear<double>(Tensor<double>::from({1, 2}, {a, b}), w, {}, ctx).backward();
  };
  backward(0.5, 0);
  backward(0.25, 1);
  sgd.step();
  CHECK(w.value()(0, 0) == 0.25);
  CHECK(w.value()(0, 1) == 1);
  CHECK(w.gradient()(0, 0) == 0.75);  // still there to be looked at
  backward(1, 0);
  sgd.step();
  CHECK(w.value()(0, 0) == -0.75);
  CHECK(w.value()(0, 1) == 1);
  backward(7, 7);
  sgd.zero_grad();
  backward(0, 1);
  sgd.step();
  CHECK(w.value()(0, 0) == -0.75);
  CHECK(w.value()(0, 1) == 0);
}

TEST_CASE("parameters that somebody moved are still updated rightly") {
  Model<double> model, same;
  const optim::SgdOptions options{.lr = 0.1, .momentum = 0.9,
                                  .groups = {optim::no_weight_decay_for_norm_and_bias()}};
  optim::Sgd sgd(model.list(), options), reference(same.list(), options);
  for (int step = 0; step < 3; ++step) {
    model.list().flatten();  // in the model's order, not in the optimizer's
    model.give_gradients(step);
    same.give_gradients(step);
    sgd.step();
    reference.step();
  }
  CHECK(model.values() == same.values());
}

TEST_CASE("the state is reachable by name, and restores an optimizer") {
  const auto go = [](auto& optimizer, Model<float>& model, int from, int to) {
    for (int step = from; step < to; ++step) {
      for (std::size_t i = step == 0 ? 1 : 0; i < 5; ++i) model.give_gradient(i, step);
      optimizer.step(0.01);
    }
  };
  Model<float> model, resumed;
  optim::AdamW adamw(model.list(), {.groups = {optim::no_weight_decay_for_norm_and_bias()}});
  go(adamw, model, 0, 3);

  std::map<std::string, std::vector<double>> saved;
  std::map<std::string, Shape> shapes;
  adamw.visit_state([&](const std::string& name, const auto& tensor) {
    saved[name].assign(tensor.span().begin(), tensor.span().end());
    shapes[name] = tensor.shape();
  });
  CHECK(saved.size() == 1 + 3 * 5);
  CHECK(saved.at("steps") == std::vector<double>{3});
  CHECK(saved.at("updates.conv1.weight") == std::vector<double>{2});
  CHECK(saved.at("updates.fc.bias") == std::vector<double>{3});
  CHECK(shapes.at("exp_avg.conv1.weight") == Shape{3, 7});
  CHECK(shapes.at("exp_avg_sq.fc.bias") == Shape{2});

  for (std::size_t i = 0; i < 5; ++i) resumed.parameters[i].set(model.parameters[i].value());
  optim::AdamW other(resumed.list(), {.groups = {optim::no_weight_decay_for_norm_and_bias()}});
  other.visit_state([&](const std::string& name, auto tensor) {
    const auto& values = saved.at(name);
    for (std::size_t i = 0; i < values.size(); ++i) {
      tensor.data()[i] = static_cast<std::decay_t<decltype(*tensor.data())>>(values[i]);
    }
  });
  CHECK(other.steps() == 3);
  go(adamw, model, 3, 6);
  go(other, resumed, 3, 6);
  CHECK(model.values() == resumed.values());

  Model<float> plain;
  int count = 0;
  const optim::Sgd sgd(plain.list(), {.lr = 1});
  sgd.visit_state([&](const std::string&, const auto&) { ++count; });
  CHECK(count == 1 + 5);
}

TEST_CASE("the same bits with one thread and with two") {
  const int before = num_threads();
  const auto train = [](int threads) {
    set_num_threads(threads);
    Model<float> model(30011);
    optim::Sgd sgd(model.list(), {.momentum = 0.9, .weight_decay = 5e-4, .nesterov = true});
    optim::AdamW adamw(model.list(), {.groups = {optim::no_weight_decay_for_norm_and_bias()}});
    double norm = 0;
    for (int step = 0; step < 4; ++step) {
      model.give_gradients(step);
      norm += optim::clip_grad_norm(model.list(), 1.0);
      if (step % 2) sgd.step(0.1);
      else adamw.step();
    }
    return std::pair{norm, model.values()};
  };
  CHECK(train(1) == train(2));
  set_num_threads(before);
}

TEST_CASE("an optimizer may be moved and used through its common type") {
  Model<float> model;
  optim::Sgd first(model.list(), {.lr = 0.1, .momentum = 0.9});
  optim::Sgd sgd = std::move(first);
  optim::Optimizer<float>& any = sgd;
  const auto before = model.values();
  model.give_gradients(0);
  any.step(optim::constant(0.1)(any.steps()));
  CHECK(model.values() != before);
  CHECK(any.steps() == 1);
}

TEST_CASE("clip_grad_norm") {
  Model<double> model;
  const auto list = model.list();
  for (std::size_t i : {0, 1, 3}) model.give_gradient(i, 0);
  double squares = 0;
  for (std::size_t i : {0, 1, 3}) {
    for (const double g : model[i].gradient.span()) squares += g * g;
  }
  const double norm = std::sqrt(squares), first = model[0].gradient.data()[0];

  CHECK(optim::clip_grad_norm(list, infinity) == Approx(norm).epsilon(1e-14));
  CHECK(optim::clip_grad_norm(list, norm + 1) == Approx(norm).epsilon(1e-14));
  CHECK(model[0].gradient.data()[0] == first);  // untouched
  CHECK(optim::clip_grad_norm(list, 0.5) == Approx(norm).epsilon(1e-14));
  CHECK(model[0].gradient.data()[0] == Approx(first * 0.5 / (norm + 1e-6)).epsilon(1e-14));
  CHECK(optim::clip_grad_norm(list, 0.5) == Approx(0.5).epsilon(1e-6));

  model[1].gradient.data()[0] = not_a_number;
  CHECK(std::isnan(optim::clip_grad_norm(list, infinity)));
  CHECK_FALSE(std::isnan(model[0].gradient.data()[0]));
  CHECK(std::isnan(optim::clip_grad_norm(list, 1)));
  CHECK(std::isnan(model[0].gradient.data()[0]));

  list.zero_grad();
  CHECK(optim::clip_grad_norm(list, 1) == 0);
  CHECK(message_of<StateError>([&] { optim::clip_grad_norm(list, -1); }) ==
        "[clip_grad_norm] max_norm is out of range\n  expected  0 or more\n  came    -1");
}

TEST_CASE("constant and linear") {
  check_values(optim::constant(0.3), {0.3, 0.3, 0.3});
  check_values(optim::linear({.lr = 2, .steps = 4}), {2, 1.5, 1, 0.5, 0, 0, 0});
  check_values(optim::linear({.lr = 2, .steps = 2, .start_factor = 0.25, .end_factor = 1}),
               {0.5, 1.25, 2, 2});
  check_values(optim::linear({.lr = 1, .steps = 1}), {1, 0, 0});
}

TEST_CASE("cosine") {
  check_values(optim::cosine({.lr = 1, .steps = 4}),
               {1, (1 + std::sqrt(0.5)) / 2, 0.5, (1 - std::sqrt(0.5)) / 2, 0,
                (1 - std::sqrt(0.5)) / 2, 0.5, (1 + std::sqrt(0.5)) / 2, 1});
  check_values(optim::cosine({.lr = 3, .steps = 2, .final_lr = 1}), {3, 2, 1});
  CHECK(optim::cosine({.lr = 0.1, .steps = 20})(20).lr == 0);
}

TEST_CASE("step_decay and multi_step_decay") {
  check_values(optim::step_decay({.lr = 1, .step_size = 2}), {1, 1, 0.1, 0.1, 0.01, 0.01});
  check_values(optim::step_decay({.lr = 8, .step_size = 1, .gamma = 0.5}), {8, 4, 2, 1});
  check_values(optim::multi_step_decay({.lr = 1, .milestones = {{4, 1}}, .gamma = 0.5}),
               {1, 0.5, 0.5, 0.5, 0.25, 0.25});
  check_values(optim::multi_step_decay({.lr = 1, .milestones = {{2, 2}}}), {1, 1, 0.01});
}

TEST_CASE("warm_up and sequential") {
  const auto down = optim::linear({.lr = 2, .steps = 2});
  check_values(optim::warm_up({.steps = 2, .start_factor = 0.5}, down), {1, 1.5, 2, 1, 0, 0});
  check_values(optim::warm_up({.steps = 4, .start_factor = 0}, optim::constant(1)),
               {0, 0.25, 0.5, 0.75, 1, 1});
  check_values(optim::sequential({{.schedule = optim::constant(1), .steps = 2},
                                  {.schedule = down, .steps = 3},
                                  {.schedule = [](std::int64_t step) { return 10 + step; }}}),
               {1, 1, 2, 1, 0, 10, 11, 12});

  // Momentum passes through.
  const auto warm = optim::warm_up({.steps = 2}, optim::one_cycle({.max_lr = 1, .total_steps = 9}));
  CHECK(warm(0).momentum == 0.95);
  CHECK(warm(0).lr == Approx(0.1 / 25));
  CHECK_FALSE(optim::constant(1)(0).momentum.has_value());
}

TEST_CASE("one_cycle, linear: corners by hand") {
  // The rise ends at step 0.3 * 20 - 1 = 5.
  const auto schedule = optim::one_cycle({.max_lr = 1, .total_steps = 20,
                                          .anneal = optim::Anneal::linear, .div_factor = 10,
                                          .final_div_factor = 100});
  CHECK(schedule(0).lr == Approx(0.1).epsilon(1e-12));
  CHECK(schedule(1).lr == Approx(0.28).epsilon(1e-12));
  CHECK(schedule(5).lr == Approx(1).epsilon(1e-12));
  CHECK(schedule(12).lr == Approx(0.5005).epsilon(1e-12));
  CHECK(schedule(19).lr == Approx(0.001).epsilon(1e-12));
  CHECK(*schedule(0).momentum == Approx(0.95).epsilon(1e-12));
  CHECK(*schedule(1).momentum == Approx(0.93).epsilon(1e-12));
  CHECK(*schedule(5).momentum == Approx(0.85).epsilon(1e-12));
  CHECK(*schedule(12).momentum == Approx(0.9).epsilon(1e-12));
  CHECK(*schedule(19).momentum == Approx(0.95).epsilon(1e-12));
}

TEST_CASE("one_cycle, cosine, three phases, and the edges of pct_start") {
  // Phases end at steps 5, 10 and 19; cos(pi / 3) = 0.5.
  const auto three = optim::one_cycle({.max_lr = 1, .total_steps = 20, .div_factor = 10,
                                       .final_div_factor = 100, .three_phase = true});
  const double half_way = (1 + std::cos(std::numbers::pi / 5)) / 2;
  CHECK(three(1).lr == Approx(1 - 0.9 * half_way).epsilon(1e-12));
  CHECK(three(5).lr == Approx(1).epsilon(1e-12));
  CHECK(three(6).lr == Approx(0.1 + 0.9 * half_way).epsilon(1e-12));
  CHECK(three(10).lr == Approx(0.1).epsilon(1e-12));
  CHECK(three(13).lr == Approx(0.001 + 0.099 * 0.75).epsilon(1e-12));
  CHECK(three(19).lr == Approx(0.001).epsilon(1e-12));
  CHECK(*three(10).momentum == Approx(0.95).epsilon(1e-12));
  CHECK(*three(13).momentum == Approx(0.95).epsilon(1e-12));

  // PyTorch's first phase then ends before step 0.
  const auto fall = optim::one_cycle({.max_lr = 1, .total_steps = 4, .pct_start = 0,
                                      .anneal = optim::Anneal::linear, .final_div_factor = 0.04});
  CHECK(fall(0).lr == Approx(1).epsilon(1e-12));  // div_factor * 0.04 = 1: flat
  const auto rise = optim::one_cycle({.max_lr = 1, .total_steps = 5, .pct_start = 1,
                                      .anneal = optim::Anneal::linear, .cycle_momentum = false});
  CHECK(rise(4).lr == Approx(1).epsilon(1e-12));
  CHECK_FALSE(rise(4).momentum.has_value());
  CHECK(optim::one_cycle({.max_lr = 1, .total_steps = 1, .pct_start = 1})(0).lr == 1);
}

TEST_CASE("schedules refuse what makes no sense") {
  CHECK(message_of<StateError>([] { optim::constant(not_a_number); }) ==
        "[constant] lr is out of range\n  expected  a finite number, 0 or more\n  came    nan");
  CHECK(message_of<StateError>([] { optim::linear({.lr = 1, .steps = 0}); }) ==
        "[linear] steps is out of range\n  expected  1 or more\n  came    0");
  CHECK(message_of<StateError>([] { optim::cosine({.lr = -1, .steps = 3}); }).find("[cosine] lr") == 0);
  CHECK(message_of<StateError>([] { optim::step_decay({.lr = 1, .step_size = 0}); })
            .find("[step_decay] step_size") == 0);
  CHECK(message_of<StateError>([] { optim::multi_step_decay({.lr = 1, .milestones = {{}}, .gamma = -1}); })
            .find("[multi_step_decay] gamma") == 0);
  CHECK(message_of<StateError>([] { optim::warm_up({.steps = -2}, optim::constant(1)); })
            .find("[warm_up] steps") == 0);
  CHECK(message_of<StateError>([] { optim::sequential({}); }) == "[sequential] there is no stage");
  CHECK(message_of<StateError>([] {
          optim::sequential({{.schedule = optim::constant(1)}, {.schedule = optim::constant(2)}});
        }) == "[sequential] steps of stage 0 is out of range\n  expected  1 or more\n  came    0");
  CHECK(message_of<StateError>([] { optim::one_cycle({.max_lr = 1, .total_steps = 9, .pct_start = 1.5}); })
            .find("[one_cycle] pct_start") == 0);
  CHECK(message_of<StateError>([] { optim::one_cycle({.max_lr = 1, .total_steps = 9, .div_factor = 0}); })
            .find("[one_cycle] div_factor") == 0);
  CHECK(message_of<StateError>([] { optim::one_cycle({.max_lr = 1, .total_steps = 20})(20); }) ==
        "[one_cycle] the step is beyond the last\n  expected  0 to 19\n  came    20\n"
        "  hint: set total_steps to epochs * steps per epoch");
  CHECK(message_of<StateError>([] { optim::constant(1)(-1); }) ==
        "[Schedule] the step is negative\n  came    -1");
}

TEST_CASE("optimizers refuse what makes no sense") {
  Model<float> model;
  const auto list = model.list();
  const auto sgd_error = [&](const optim::SgdOptions& options) {
    return message_of<StateError>([&] { optim::Sgd(list, options); });
  };
  CHECK(sgd_error({.lr = -0.1}) ==
        "[Sgd] lr is out of range\n  expected  a finite number, 0 or more\n  came    -0.1");
  CHECK(sgd_error({.lr = infinity}).find("[Sgd] lr") == 0);
  CHECK(sgd_error({.lr = 0.1, .momentum = 1}).find("[Sgd] momentum") == 0);
  CHECK(sgd_error({.lr = 0.1, .momentum = not_a_number}).find("[Sgd] momentum") == 0);
  CHECK(sgd_error({.lr = 0.1, .dampening = 2}).find("[Sgd] dampening") == 0);
  CHECK(sgd_error({.lr = 0.1, .weight_decay = -1}).find("[Sgd] weight_decay") == 0);
  CHECK(sgd_error({.lr = 0.1, .nesterov = true}) ==
        "[Sgd] nesterov needs momentum and no dampening\n  momentum  0\n  dampening  0");
  CHECK(sgd_error({.lr = 0.1, .groups = {{.where = optim::by_name("*"), .lr_scale = -1}}})
            .find("[Sgd] lr_scale of a group") == 0);
  CHECK(message_of<StateError>([&] { optim::AdamW(list, {.beta1 = 1}); }).find("[AdamW] beta1") == 0);
  CHECK(message_of<StateError>([&] { optim::AdamW(list, {.beta2 = -1}); }).find("[AdamW] beta2") == 0);
  CHECK(message_of<StateError>([&] { optim::AdamW(list, {.eps = not_a_number}); }).find("[AdamW] eps") == 0);

  CHECK(message_of<StateError>([] { optim::Sgd(ParameterList<float>(), {.lr = 1}); }) ==
        "[Sgd] there is no parameter to train\n  hint: pass nn::parameters(model)");
  Model<float> frozen;
  for (std::size_t i = 0; i < 5; ++i) frozen[i].trainable = false;
  CHECK(message_of<StateError>([&] { optim::Sgd(frozen.list(), {.lr = 1}); }) ==
        "[Sgd] there is no parameter to train\n  came    5 parameters, all frozen\n"
        "  hint: set `trainable` of some, or make the optimizer later");
  auto twice = list;
  twice.append(list[3]);
  CHECK(message_of<StateError>([&] { optim::AdamW(twice, {}); }) ==
        "[AdamW] the same parameter came twice\n  parameter  fc.weight\n"
        "  hint: list each parameter once");
  Model<float> empty;
  empty[1].initialized = false;
  CHECK(message_of<StateError>([&] { optim::Sgd(empty.list(), {.lr = 1}); }) ==
        "[Sgd] a parameter has no values yet\n  parameter  bn1.weight\n"
        "  hint: call nn::initialize(model, seed) or load a file first");
  CHECK(sgd_error({.groups = {optim::no_weight_decay_for_norm_and_bias(),
                              {.where = optim::by_name("head.*")}}}) ==
        "[Sgd] a group has no parameters\n  group   name head.*\n  there is  conv1.weight\n"
        "  there is  bn1.weight\n  there is  bn1.bias\n  there is  2 more\n"
        "  hint: a parameter is in the first group that matches it; frozen ones are in none");
  CHECK(sgd_error({.groups = {{.where = optim::by_name("*")},
                              optim::no_weight_decay_for_norm_and_bias()}})
            .find("kind bias norm_scale norm_shift") != std::string::npos);
}

TEST_CASE("steps refuse what makes no sense, before anything changes") {
  Model<float> model;
  optim::Sgd sgd(model.list());
  CHECK(message_of<StateError>([&] { sgd.step(0.1); }) ==
        "[Sgd] no parameter has a gradient\n  hint: call loss.backward() before each step");
  model.give_gradients(0);
  const auto before = model.values();
  CHECK(message_of<StateError>([&] { sgd.step(); }) ==
        "[Sgd] there is no learning rate\n"
        "  hint: set lr in the options, or give one to each step: step(lr)");
  CHECK(message_of<StateError>([&] { sgd.step(not_a_number); }) ==
        "[Sgd] lr is out of range\n  expected  a finite number, 0 or more\n  came    nan");
  CHECK(message_of<StateError>([&] { sgd.step({.lr = 1, .momentum = 1}); }).find("[Sgd] momentum") == 0);
  CHECK(message_of<StateError>([&] { sgd.step({.lr = 1, .momentum = 0.9}); }) ==
        "[Sgd] a step asks for momentum, but there was none at the start\n  came    0.9\n"
        "  hint: set SgdOptions::momentum, or cycle_momentum = false in the schedule");
  CHECK(model.values() == before);
  CHECK(sgd.steps() == 0);
  sgd.step({.lr = 1, .momentum = 0});
  CHECK(sgd.steps() == 1);
}
