// Weights apart from their model: running averages, means over files, the best of a training.
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <unistd.h>

#include <tinynet/data/loader.hpp>
#include <tinynet/nn.hpp>
#include <tinynet/ops/loss.hpp>
#include <tinynet/optim/lookahead.hpp>
#include <tinynet/optim/sgd.hpp>
#include <tinynet/train/average.hpp>
#include <tinynet/train/checkpoint.hpp>
#include <tinynet/train/early_stopping.hpp>
#include <tinynet/train/ema.hpp>
#include <tinynet/train/evaluate.hpp>

#include "messages.hpp"

using namespace tinynet;
using doctest::Approx;
using tests::contains;
using tests::message_of;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// Three classes that differ in which row of the image is bright: learnt in a few steps.
data::Dataset stripes() {
  Tensor<std::uint8_t> images({96, 6, 6, 1});
  Tensor<std::int32_t> labels({96});
  for (std::int64_t n = 0; n < 96; ++n) {
    labels(n) = static_cast<std::int32_t>(n % 3);
    for (std::int64_t i = 0; i < 36; ++i) {
      const auto noise = random::bits({1}, static_cast<std::uint64_t>(n * 36 + i)) % 60;
      const bool bright = i / 6 == 1 + 2 * (n % 3) - (n % 3 == 2 ? 1 : 0);
      images.data()[n * 36 + i] = static_cast<std::uint8_t>(noise + (bright ? 150 : 20));
    }
  }
  return data::Dataset("stripes", images, labels, {"a", "b", "c"});
}

template <class T = float>
nn::Sequential<T> network(int width = 8) {
  return nn::Sequential<T>(nn::Conv2d<T>({.in = 1, .out = width, .padding = 1, .bias = false}),
                           nn::BatchNorm2d<T>({.channels = width}), nn::Relu<T>(), nn::Flatten<T>(),
                           nn::Linear<T>({.in = 36 * width, .out = 3}));
}

template <class T = float>
nn::Sequential<T> initialized(std::uint64_t seed = 1) {
  auto model = network<T>();
  nn::initialize(model, seed);
  return model;
}

struct Run {
  nn::Sequential<float> model = initialized();
  optim::Sgd<float> optimizer{nn::parameters(model), {.lr = 0.02, .momentum = 0.9}};
  data::Loader<float> loader{stripes(), {.batch_size = 16}};

  template <class AfterStep>
  void train(std::int64_t first, std::int64_t last, AfterStep after_step) {
    for (auto epoch = first; epoch < last; ++epoch) {
      for (const auto& batch : loader.epoch(epoch)) {
        Tape tape;
        auto ctx = Context::training(tape);
        ops::cross_entropy(model(batch.images, ctx), batch.labels, {}, ctx).backward();
        optimizer.step();
        after_step();
      }
    }
  }
  /// The model and the optimizer's state, as a checkpoint has them.
  void take(Run& other) {
    nn::copy_values(other.model, model);
    std::map<std::string, std::vector<std::byte>> state;
    other.optimizer.visit_state([&](const std::string& name, auto tensor) {
      const auto bytes = std::as_bytes(tensor.span());
      state[name].assign(bytes.begin(), bytes.end());
    });
    optimizer.visit_state([&](const std::string& name, auto tensor) {
      const auto& bytes = state.at(name);
      std::copy(bytes.begin(), bytes.end(), std::as_writable_bytes(tensor.span()).data());
    });
  }
  double accuracy() { return train::evaluate(model, loader).accuracy; }
};

using Values = std::map<std::string, std::vector<double>>;

Values values_of(const nn::Members& model) {
  Values values;
  model.for_parameters([&](const std::string& name, auto& p) {
    values[name].assign(p.value().span().begin(), p.value().span().end());
  });
  model.for_buffers([&](const std::string& name, auto& t) {
    values[name].assign(t.span().begin(), t.span().end());
  });
  return values;
}

/// Every value of a model, other ones for each seed.
void scramble(const nn::Members& model, std::uint64_t seed) {
  const auto fill = [&](const std::string& name, auto span) {
    std::uint64_t i = 0;
    for (auto& x : span) x = random::normal(random::Key{seed}.fold(name), i++);
  };
  model.for_parameters([&](const std::string& name, auto& p) {
    auto value = p.value().clone();
    fill(name, value.span());
    p.set(value);
  });
  model.for_buffers([&](const std::string& name, auto& t) { fill(name, t.span()); });
}

struct TemporaryFile {
  std::filesystem::path path;
  explicit TemporaryFile(const std::string& name)
      : path(std::filesystem::temp_directory_path() /
             ("tinynet_averaging_" + name + std::to_string(::getpid()))) {}
  ~TemporaryFile() { std::filesystem::remove(path); }
};

}  // namespace

TEST_CASE_TEMPLATE("Ema follows its formula, batch norm's statistics too", T, double, float) {
  for (const bool warm_up : {true, false}) {
    auto model = initialized<T>();
    train::Ema ema(model, {.decay = 0.5, .warm_up = warm_up});
    Values expected;
    for (int t = 0; t < 14; ++t) {
      scramble(model, static_cast<std::uint64_t>(t));
      const auto values = values_of(model);
      const double decay = t == 0 ? 0 : warm_up ? std::min(0.5, (1.0 + t) / (10.0 + t)) : 0.5;
      CHECK(ema.decay() == Approx(decay));
      if (t == 0) expected = values;
      for (auto& [name, average] : expected) {
        const auto& next = values.at(name);
        for (std::size_t i = 0; i < next.size(); ++i) {
          average[i] = decay * average[i] + (1 - decay) * next[i];
        }
      }
      ema.update(model);
    }
    CHECK(ema.updates() == 14);
    const auto came = values_of(ema);
    CHECK(came.size() == 7);
    CHECK(came.count("1.running_var") == 1);
    for (const auto& [name, average] : expected) {
      for (std::size_t i = 0; i < average.size(); ++i) {
        CHECK(std::abs(came.at(name)[i] - average[i]) < (sizeof(T) == 8 ? 1e-13 : 1e-5));
      }
    }
  }
}

TEST_CASE("Ema: after a short training the average scores like the model, in its own statistics") {
  Run run;
  train::Ema ema(run.model, {.decay = 0.95});
  const double before = run.accuracy();
  run.train(0, 8, [&] { ema.update(run.model); });
  const double raw = run.accuracy();
  CHECK(before < 0.7);
  CHECK(raw > 0.95);
  const auto values = values_of(run.model);
  {
    const auto averaged = ema.swap_into(run.model);
    CHECK(values_of(run.model) != values);
    CHECK(run.accuracy() > raw - 0.02);

    // The mistake that this is about: averaged weights, but the statistics of an untrained model.
    auto mistaken = nn::clone(run.model);
    nn::Members(mistaken).for_buffers([](const std::string& name, auto& buffer) {
      for (auto& x : buffer.span()) x = contains(name, "mean") ? 0 : 1;
    });
    CHECK(train::evaluate(mistaken, run.loader).loss >
          100 * train::evaluate(run.model, run.loader).loss);
  }
  CHECK(values_of(run.model) == values);
  CHECK(run.accuracy() == raw);
}

TEST_CASE("Ema: what is saved goes on, bit for bit") {
  Run unbroken, first, second;
  train::Ema a(unbroken.model), b(first.model), c(second.model);
  unbroken.train(0, 4, [&] { a.update(unbroken.model); });
  first.train(0, 2, [&] { b.update(first.model); });

  const TemporaryFile file("state");
  io::SafetensorsWriter writer;
  b.visit_state([&](const std::string& name, const auto& tensor) { writer.add(name, tensor); });
  writer.write(file.path);
  const auto saved = io::Safetensors::open(file.path);
  c.visit_state([&](const std::string& name, auto tensor) { saved.read(name, tensor.span()); });
  CHECK(c.updates() == b.updates());
  CHECK(values_of(c) == values_of(b));

  second.take(first);
  second.train(2, 4, [&] { c.update(second.model); });
  CHECK(values_of(second.model) == values_of(unbroken.model));
  CHECK(values_of(c) == values_of(a));
}

TEST_CASE("Ema is a model to files and to copies") {
  auto model = initialized();
  train::Ema ema(model);
  ema.update(model);
  const auto averages = values_of(model);
  const TemporaryFile file("model");
  nn::save(ema, file.path);
  scramble(model, 5);
  nn::load(model, file.path);
  CHECK(values_of(model) == averages);
  scramble(model, 6);
  ema.copy_to(model);
  CHECK(values_of(model) == averages);
  auto other = network();
  nn::copy_values(ema, other);
  CHECK(values_of(other) == averages);
}

TEST_CASE("Ema: what is swapped in is used, and nothing else happens meanwhile") {
  auto model = initialized();
  const auto x = Tensor<float>::normal({2, 6, 6, 1}, {3});
  const auto output = [&] {
    auto ctx = Context::evaluation();
    return model(x, ctx).value()(0, 0);
  };
  train::Ema ema(model);
  ema.update(model);
  const float averaged = output();
  scramble(model, 2);
  for (auto& v : nn::buffers(model)) kernels::scale<float>(v.span(), 0.0f);
  const float raw = output();
  {
    const auto swap = ema.swap_into(model);
    CHECK(output() == averaged);  // also of weights that a kernel had packed
    const char* hint = "\n  hint: let what swap_into returned go out of scope first";
    CHECK(message_of<StateError>([&] { ema.update(model); }) ==
          std::string("[Ema] the averages are in the model\n  call    update") + hint);
    CHECK(contains(message_of<StateError>([&] { ema.copy_to(model); }), "copy_to"));
    CHECK(
        contains(message_of<StateError>([&] { auto twice = ema.swap_into(model); }), "swap_into"));
    CHECK(contains(
        message_of<StateError>([&] { ema.visit_state([](const std::string&, const auto&) {}); }),
        "visit_state"));
    CHECK(contains(message_of<StateError>([&] { nn::copy_values(ema, model); }), "members"));
  }
  CHECK(output() == raw);
  ema.update(model);

  auto wider = network(9);
  nn::initialize(wider, 1);
  CHECK(message_of<StateError>([&] { ema.update(wider); }) ==
        "[Weights] the shapes differ\n  member  0.weight");
  CHECK(message_of<StateError>([&] { train::Ema(model, {.decay = 1}); }) ==
        "[Ema] decay is out of range\n  expected  at least 0 and below 1\n  came    1");
  auto empty = network();
  CHECK(contains(message_of<StateError>([&] { train::Ema ema_of_nothing(empty); }),
                 "[Weights] a parameter has no values yet"));
}

TEST_CASE("a model that differs in its last layer is refused before anything is exchanged") {
  auto model = initialized();
  auto other =
      nn::Sequential<float>(nn::Conv2d<float>({.in = 1, .out = 8, .padding = 1, .bias = false}),
                            nn::BatchNorm2d<float>({.channels = 8}), nn::Relu<float>(),
                            nn::Flatten<float>(), nn::Linear<float>({.in = 36 * 8, .out = 4}));
  nn::initialize(other, 2);
  train::Ema ema(model);
  ema.update(model);
  scramble(other, 3);
  const auto averages = values_of(ema), values = values_of(other);
  const std::string says = "the shapes differ\n  member  4.weight";
  CHECK(message_of<StateError>([&] { const auto swap = ema.swap_into(other); }) ==
        "[Weights] " + says);
  CHECK(values_of(other) == values);
  CHECK(values_of(ema) == averages);
  CHECK(message_of<StateError>([&] { ema.copy_to(other); }) == "[Weights] " + says);
  CHECK(values_of(other) == values);
  CHECK(message_of<StateError>([&] { ema.update(other); }) == "[Weights] " + says);
  CHECK(values_of(ema) == averages);
  CHECK(ema.updates() == 1);
  CHECK(message_of<StateError>([&] { nn::copy_values(model, other); }) == "[copy_values] " + says);
  CHECK(values_of(other) == values);
  const auto swap = ema.swap_into(model);  // a refused one has left nothing behind

  other.add("more", nn::Linear<float>({.in = 4, .out = 4}));
  CHECK(contains(message_of<StateError>([&] { train::WeightAverage(model).add(other); }),
                 "[Weights] the models have different numbers of members"));
}

TEST_CASE("a frozen model keeps its values, whoever has others for it") {
  auto model = initialized();
  train::Ema ema(model);
  train::WeightAverage mean(model);
  train::EarlyStopping stopping(model);
  ema.update(model);
  mean.add(model);
  stopping.update(1, model);
  scramble(model, 2);
  const auto averages = values_of(ema), values = values_of(model);
  nn::freeze(model, {});
  const auto refuses = [&](auto change) {
    CHECK(
        contains(message_of<StateError>(change),
                 "[Parameter] the values of a frozen model do not change\n  parameter  0.weight"));
    CHECK(values_of(model) == values);
    CHECK(values_of(ema) == averages);
  };
  refuses([&] { ema.copy_to(model); });
  refuses([&] { const auto swap = ema.swap_into(model); });
  refuses([&] { mean.copy_to(model); });
  refuses([&] { stopping.restore_best(model); });
  refuses([&] { nn::copy_values(ema, model); });

  // The first layers may change, the last may not: nothing does.
  nn::unfreeze(model);
  nn::Members(model).for_parameters([](const std::string& name, auto& parameter) {
    parameter.state()->frozen = name == "4.bias";
  });
  const TemporaryFile file("frozen");
  nn::save(ema, file.path);
  const auto refuses_all = [&](auto change) {
    CHECK(contains(message_of<StateError>(change), "\n  parameter  4.bias"));
    CHECK(values_of(model) == values);
  };
  refuses_all([&] { ema.copy_to(model); });
  refuses_all([&] { nn::copy_values(ema, model); });
  refuses_all([&] { nn::load(model, file.path); });
  refuses_all([&] { nn::initialize(model, 9); });
  nn::unfreeze(model);
  ema.copy_to(model);
  CHECK(values_of(model) == averages);
}

TEST_CASE("a model does not freeze while it has the averages") {
  auto model = initialized();
  train::Ema ema(model), other(model);
  ema.update(model);
  scramble(model, 2);
  const auto values = values_of(model);
  {
    const auto swap = ema.swap_into(model);
    { const auto twice = other.swap_into(model); }
    const auto averages = values_of(model);
    CHECK(
        message_of<StateError>([&] {
          nn::freeze(model, {{1, 6, 6, 1}});
        }) ==
        "[freeze] the model has values that will be exchanged back\n  parameter  0.weight\n"
        "  hint: let what swap_into returned go out of scope first, or give the model the averages "
        "for good: ema.copy_to(model)");
    CHECK(values_of(model) == averages);
  }
  CHECK(values_of(model) == values);
  nn::freeze(model, {{1, 6, 6, 1}});
}

TEST_CASE("WeightAverage: the mean, weighted where asked") {
  auto model = initialized<double>();
  train::WeightAverage mean(model), weighted(model);
  CHECK(message_of<StateError>([&] { mean.copy_to(model); }) ==
        "[WeightAverage] there is nothing to average\n  hint: call add(model) first");
  Values sum, weighted_sum;
  for (int t = 0; t < 5; ++t) {
    scramble(model, static_cast<std::uint64_t>(t));
    mean.add(model);
    weighted.add(model, t + 1);
    for (const auto& [name, values] : values_of(model)) {
      sum[name].resize(values.size());
      weighted_sum[name].resize(values.size());
      for (std::size_t i = 0; i < values.size(); ++i) {
        sum[name][i] += values[i] / 5;
        weighted_sum[name][i] += values[i] * (t + 1) / 15;
      }
    }
  }
  const auto check = [&](train::WeightAverage& average, const Values& expected) {
    average.copy_to(model);
    for (const auto& [name, values] : values_of(model)) {
      for (std::size_t i = 0; i < values.size(); ++i) {
        CHECK(std::abs(values[i] - expected.at(name)[i]) < 1e-13);
      }
    }
  };
  check(mean, sum);
  check(weighted, weighted_sum);
  CHECK(contains(message_of<StateError>([&] { mean.add(model, 0); }), "[WeightAverage] weight"));
}

TEST_CASE("WeightAverage: what is saved goes on, bit for bit") {
  const TemporaryFile file("mean");
  auto model = initialized();
  train::WeightAverage whole(model), part(model), rest(model);
  for (int t = 0; t < 4; ++t) {
    scramble(model, static_cast<std::uint64_t>(t));
    whole.add(model);
    auto& now = t < 2 ? part : rest;
    if (t == 2) {
      train::Checkpoint(model).add("mean", part).save(file.path, {});
      train::Checkpoint(model).add("mean", rest).load(file.path);
      scramble(model, 2);
    }
    now.add(model);
  }
  whole.copy_to(model);
  const auto expected = values_of(model);
  rest.copy_to(model);
  CHECK(values_of(model) == expected);
}

TEST_CASE("average_files") {
  const TemporaryFile a("a"), b("b");
  auto model = initialized();
  nn::save(model, a.path);
  const auto first = values_of(model);
  scramble(model, 3);
  const auto second = values_of(model);
  nn::save(model, b.path);
  auto fresh = network();
  train::average_files({a.path, b.path}, fresh);
  for (const auto& [name, values] : values_of(fresh)) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      CHECK(values[i] == Approx((first.at(name)[i] + second.at(name)[i]) / 2).epsilon(1e-6));
    }
  }
  CHECK(message_of<StateError>([&] { train::average_files({}, model); }) ==
        "[average_files] there is no file");
}

TEST_CASE("average_files of the averages in checkpoints") {
  const TemporaryFile a("a"), b("b");
  auto model = initialized();
  train::Ema ema(model);
  train::Checkpoint checkpoint(model);
  checkpoint.add("ema", ema);
  ema.update(model);
  const auto first = values_of(ema);
  scramble(model, 2);
  checkpoint.save(a.path, {});
  ema.update(model);
  const auto second = values_of(ema);
  scramble(model, 3);
  checkpoint.save(b.path, {});
  auto fresh = network();
  nn::read_state(io::Safetensors::open(a.path), fresh, "ema.");
  CHECK(values_of(fresh) == first);
  train::average_files({a.path, b.path}, fresh, "ema.");
  for (const auto& [name, values] : values_of(fresh)) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      CHECK(values[i] == Approx((first.at(name)[i] + second.at(name)[i]) / 2).epsilon(1e-6));
    }
  }
  // A weight whose shape is the same in a file and in memory.
  nn::Conv2d<float> square({.in = 3, .out = 2, .bias = false}), copy(square.options);
  nn::initialize(square, 4);
  train::Ema of_square(square);
  of_square.update(square);
  const TemporaryFile c("c");
  train::Checkpoint(square).add("ema", of_square).save(c.path, {});
  train::average_files({c.path}, copy, "ema.");
  CHECK(values_of(copy) == values_of(square));

  // What else lies behind the prefix is still nobody's.
  io::SafetensorsWriter writer;
  nn::write_state(writer, model, "ema.");
  writer.add("ema.0.updates", Tensor<std::int64_t>::zeros({}));
  writer.write(a.path);
  CHECK(contains(
      message_of<StateError>([&] { nn::read_state(io::Safetensors::open(a.path), fresh, "ema."); }),
      "unexpected  \n    ema.0.updates"));
}

TEST_CASE("EarlyStopping: patience, min_delta, and the best weights back") {
  auto model = initialized();
  train::EarlyStopping stopping(model, {.patience = 3, .min_delta = 0.1});
  CHECK(contains(message_of<StateError>([&] { stopping.restore_best(model); }),
                 "[EarlyStopping] there are no best weights"));
  const std::vector<double> metrics{1, 0.8, 0.75, not_a_number, 0.65, 0.6, 0.9, 0.66};
  const std::vector<bool> stops{0, 0, 0, 0, 0, 0, 0, 1}, improves{1, 1, 0, 0, 1, 0, 0, 0};
  Values best;
  for (std::size_t t = 0; t < metrics.size(); ++t) {
    CAPTURE(t);
    scramble(model, t);
    if (t == 4) best = values_of(model);
    CHECK(stopping.update(metrics[t], model) == stops[t]);
    CHECK(stopping.improved() == improves[t]);
  }
  CHECK(stopping.best() == 0.65);
  CHECK(stopping.best_update() == 4);
  stopping.restore_best(model);
  CHECK(values_of(model) == best);

  train::EarlyStopping up(model, {.patience = 1, .goal = optim::Goal::maximize});
  CHECK_FALSE(up.update(0.5, model));
  CHECK_FALSE(up.update(0.6, model));
  CHECK(up.update(0.6, model));

  CHECK(contains(message_of<StateError>([&] { train::EarlyStopping(model, {.patience = 0}); }),
                 "[EarlyStopping] patience"));
  CHECK(contains(message_of<StateError>([&] { train::EarlyStopping(model, {.min_delta = -1}); }),
                 "[EarlyStopping] min_delta"));
}

TEST_CASE("EarlyStopping: its state goes on") {
  auto model = initialized();
  const train::EarlyStoppingOptions options{.patience = 2};
  train::EarlyStopping stopping(model, options), resumed(model, options);
  scramble(model, 1);
  const auto best = values_of(model);
  stopping.update(1, model);
  scramble(model, 2);
  stopping.update(2, model);
  const TemporaryFile file("stopping");
  io::SafetensorsWriter writer;
  stopping.visit_state([&](const std::string& name, const auto& t) { writer.add(name, t); });
  writer.write(file.path);
  const auto saved = io::Safetensors::open(file.path);
  resumed.visit_state([&](const std::string& name, auto t) { saved.read(name, t.span()); });
  CHECK(resumed.update(3, model));
  resumed.restore_best(model);
  CHECK(values_of(model) == best);
}

TEST_CASE("Lookahead averages batch norm's statistics where it is given them") {
  Run run;
  const auto buffers = nn::buffers(run.model);
  CHECK(buffers.size() == 2);
  optim::Lookahead lookahead(std::move(run.optimizer), {.k = 1000}, buffers);
  const auto before = values_of(run.model);
  for (const auto& batch : run.loader.epoch()) {
    Tape tape;
    auto ctx = Context::training(tape);
    ops::cross_entropy(run.model(batch.images, ctx), batch.labels, {}, ctx).backward();
    lookahead.step();
  }
  const auto after = values_of(run.model);
  CHECK(after.at("1.running_mean") != before.at("1.running_mean"));
  lookahead.use_slow_weights();
  const auto slow = values_of(run.model);
  CHECK(slow.at("0.weight") == before.at("0.weight"));
  CHECK(slow.at("1.running_mean") != after.at("1.running_mean"));
}

TEST_CASE("Lookahead changes nothing of a frozen model") {
  Run run;
  const nn::Members members(run.model);
  optim::Lookahead lookahead(std::move(run.optimizer), {.k = 2}, nn::buffers(run.model));
  const auto backward = [&] {
    for (const auto& batch : run.loader.epoch()) {
      Tape tape;
      auto ctx = Context::training(tape);
      ops::cross_entropy(run.model(batch.images, ctx), batch.labels, {}, ctx).backward();
      break;
    }
  };
  backward();
  lookahead.step();
  nn::freeze(run.model, {});
  const auto values = values_of(run.model);
  const auto says = "[Parameter] the values of a frozen model do not change";
  CHECK(contains(message_of<StateError>([&] { lookahead.use_slow_weights(); }), says));
  CHECK(values_of(run.model) == values);
  nn::unfreeze(run.model);
  backward();
  // One frozen layer: the inner optimizer passes it over, the slow weights would not.
  members.for_parameters([](const std::string& name, auto& parameter) {
    parameter.state()->frozen = name == "0.weight";
  });
  const auto then = values_of(run.model);
  CHECK(contains(message_of<StateError>([&] { lookahead.step(); }), says));
  CHECK(lookahead.steps() == 1);
  CHECK(values_of(run.model) == then);
}
