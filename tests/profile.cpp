// The profile of training steps: times that add up, work and floors, memory, the trace, both loops.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <string>

#include <tinynet/io/json_parser.hpp>
#include <tinynet/io/read_file.hpp>
#include <tinynet/nn.hpp>
#include <tinynet/ops.hpp>
#include <tinynet/optim.hpp>
#include <tinynet/train.hpp>
#include <tinynet/train/profile.hpp>

#include "messages.hpp"

using namespace tinynet;
using doctest::Approx;

namespace {

/// A clock that moves on by a second whenever it is read: an event lasts a second, and so does what
/// the profile does itself.
struct Ticking {
  double now = 0;
  std::function<double()> reader() {
    return [this] { return now += 1; };
  }
};

nn::Sequential<float> small_net() {
  return nn::Sequential<float>(nn::Conv2d<float>({.in = 2, .out = 4, .padding = 1}),
                               nn::Relu<float>(), nn::Flatten<float>(),
                               nn::Linear<float>({.in = 4 * 36, .out = 3}));
}

struct Steps {
  nn::Sequential<float> model = small_net();
  Steps() { nn::initialize(model, 1); }

  void run(train::Profile& profile, int steps) {
    optim::Sgd<float> sgd(nn::parameters(model), {.lr = 0.1});
    const auto images = Tensor<float>::normal({5, 6, 6, 2}, random::Key{1});
    const auto labels = Tensor<std::int32_t>::from({5}, {0, 1, 2, 0, 1});
    for (int i = 0; i < steps; ++i) {
      profile.lap("load");
      Tape tape;
      auto ctx = Context::training(tape);
      ctx.observer = profile.observer();
      ops::cross_entropy(model(images, ctx), labels, {}, ctx).backward();
      sgd.step();
      profile.lap("update");
      profile.end_step();
    }
  }
};

const train::ProfileRow& row_of(const train::Profile& profile, const std::string& path,
                                const std::string& op) {
  for (const auto& row : profile.rows()) {
    if (row.path == path && row.op == op) return row;
  }
  throw std::runtime_error("no row " + path + " " + op);
}

}  // namespace

TEST_CASE("times add up to the step, and the first steps are left out") {
  Ticking clock;
  train::Profile profile({.warm_up = 2, .seconds = clock.reader()});
  Steps().run(profile, 5);
  CHECK(profile.steps() == 3);
  double total = 0;
  for (const auto& row : profile.rows()) {
    CHECK(row.forward.seconds == Approx(double(row.forward.calls)));
    CHECK(row.backward.seconds == Approx(double(row.backward.calls)));
    total += row.forward.seconds + row.backward.seconds;
  }
  CHECK(total / 3 == Approx(profile.step_seconds()));
  // 5 ops forward and backward (reshape is one), load, update, the gaps before backward and after.
  CHECK(profile.step_seconds() == Approx(5 + 5 + 1 + 1 + 2));
  CHECK(row_of(profile, "0", "conv2d").forward.calls == 3);
  CHECK(row_of(profile, "0", "conv2d").backward.calls == 3);
  CHECK(row_of(profile, "", "load").forward.calls == 3);
}

TEST_CASE("work and floors of an op follow from its shapes") {
  Ticking clock;
  const train::MachinePeaks peaks{.float_operations = 1000, .half_operations = 1e30, .bytes = 100};
  train::Profile profile({.peaks = peaks, .warm_up = 0, .seconds = clock.reader()});
  Steps().run(profile, 2);
  const auto& conv = row_of(profile, "0", "conv2d");
  const double operations = 2.0 * 5 * 36 * 4 * 9 * 2;
  const double x = 4.0 * 5 * 36 * 2, w = 4.0 * 4 * 9 * 2, b = 4.0 * 4, y = 4.0 * 5 * 36 * 4;
  CHECK(conv.forward.operations == Approx(2 * operations));
  CHECK(conv.forward.bytes == Approx(2 * (x + w + b + y)));
  // Nobody wants the gradient of the images.
  CHECK(conv.backward.operations == Approx(2 * operations));
  CHECK(conv.backward.bytes == Approx(2 * (y + x + 2 * w + 2 * b)));
  CHECK(conv.forward.floor == Approx(conv.forward.operations / 1000 + conv.forward.bytes / 100));
  const auto& linear = row_of(profile, "3", "linear");
  CHECK(linear.backward.operations == Approx(2 * linear.forward.operations));
  double floors = 0;
  for (const auto& row : profile.rows()) floors += row.forward.floor + row.backward.floor;
  CHECK(profile.floor_seconds() == Approx(floors / 2));
}

TEST_CASE("16-bit operands are measured by their own peak") {
  train::Profile profile({.peaks = {.float_operations = 1, .half_operations = 100}, .warm_up = 0});
  const auto w = Tensor<float>::zeros({4, 8});
  auto ctx = Context::evaluation();
  ctx.observer = profile.observer();
  ops::linear<bfloat16>(Tensor<bfloat16>::zeros({2, 8}), Variable<float>(w), {}, ctx);
  CHECK(row_of(profile, "", "linear").forward.floor == Approx(2.0 * 2 * 8 * 4 / 100));
}

TEST_CASE("the table has a line for every op, one for the step and one for memory") {
  Ticking clock;
  reset_memory_peak();
  train::Profile profile(
      {.peaks = {.float_operations = 1e6}, .warm_up = 0, .seconds = clock.reader()});
  Steps().run(profile, 1);
  const auto table = to_string(profile);
  CAPTURE(table);
  CHECK(std::count(table.begin(), table.end(), '\n') == 1 + 5 + 3 + 1 + 1 + 1);
  CHECK(tests::contains(table, "conv2d                  1   1000.000   0.00 TF/s   1000.000"));
  CHECK(tests::contains(table, "relu                    1   1000.000    0.0 GB/s"));
  CHECK(tests::contains(table, "step, mean of 1: 14000.000 ms; its floor: "));
  // conv2d and linear take 4 of the 14 seconds
  CHECK(tests::contains(table, "\noutside convolutions and products: 10000.000 ms, 71.4%\n"));
  CHECK(tests::contains(table, "\nmost memory in use: "));
}

TEST_CASE("the high-water mark has a place, unless it stood higher before") {
  /// Takes much memory forward or backward, and gives it back.
  const auto run = [](bool backward) {
    nn::Sequential<float> model = small_net();
    nn::initialize(model, 1);
    model.add("hungry", [backward](const Variable<float>& x, Context& ctx) {
      if (!backward) Buffer(50 << 20);
      return record(ctx, {"eat"}, x.value(), inputs(x), [backward](const auto& dy, auto dx) {
        if (backward) Buffer(50 << 20);
        dx.pass(dy);
      });
    });
    train::Profile profile;
    Tape tape;
    auto ctx = Context::training(tape);
    ctx.observer = profile.observer();
    model(Tensor<float>::normal({5, 6, 6, 2}, random::Key{1}), ctx)
        .backward(Tensor<float>::ones({5, 3}));
    profile.end_step();
    return profile.peak();
  };
  for (const bool backward : {false, true}) {
    reset_memory_peak();
    const auto peak = run(backward);
    CHECK(peak.bytes >= std::size_t{50} << 20);
    CHECK(peak.bytes == memory_statistics().peak_bytes_in_use);
    CHECK(peak.path == "hungry");
    CHECK(peak.op == "eat");
    CHECK(peak.backward == backward);
  }
  CHECK(run(true).bytes == 0);
}

TEST_CASE("the trace holds complete events, in order, of the steps asked for") {
  Ticking clock;
  train::Profile profile({.warm_up = 1, .trace_steps = 2, .seconds = clock.reader()});
  Steps().run(profile, 5);
  const auto path = std::filesystem::temp_directory_path() / "tinynet_trace.json";
  profile.write_trace(path);
  const auto bytes = io::read_file(path);
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::filesystem::remove(path);
  const auto trace = io::parse_json(text);
  const auto& events = *trace.find("traceEvents")->as<io::Json::Array>();
  int steps = 0, slices = 0, counters = 0;
  double end = 0;
  for (const auto& event : events) {
    if (*event.find("ph")->as<std::string>() == "C") {
      ++counters;
      CHECK(event.find("args")->find("bytes in use")->number().value() > 0);
      CHECK(event.find("ts")->number().value() == Approx(end));
    }
    if (*event.find("ph")->as<std::string>() != "X") continue;
    const auto number = [&](const char* key) { return event.find(key)->number().value(); };
    if (*event.find("cat")->as<std::string>() == "step") {
      ++steps;
      continue;
    }
    ++slices;
    CHECK(number("ts") >= end);
    CHECK(number("dur") == Approx(1e6));
    end = number("ts") + number("dur");
  }
  CHECK(steps == 2);
  CHECK(slices == 2 * 14);
  CHECK(tests::contains(text, R"("name":"0 conv2d","cat":"backward","ph":"X")"));
  CHECK(counters == slices);
}

TEST_CASE("a profile that is not enabled reads no clock and watches nothing") {
  Ticking clock;
  train::Profile profile({.enabled = false, .seconds = clock.reader()});
  CHECK(profile.observer() == nullptr);
  Steps().run(profile, 3);
  CHECK(clock.now == 0);
  CHECK(profile.rows().empty());
}

TEST_CASE("watching changes no bits") {
  Steps watched, plain;
  train::Profile on({.warm_up = 0}), off({.enabled = false});
  watched.run(on, 3);
  plain.run(off, 3);
  const auto values = [](Steps& steps) {
    std::vector<float> all;
    for (const auto& state : nn::parameters(steps.model)) {
      all.insert(all.end(), state->value.span().begin(), state->value.span().end());
    }
    return all;
  };
  CHECK(values(watched) == values(plain));
}

TEST_CASE("what a checkpoint computes again is seen as the second call that it is") {
  Ticking clock;
  nn::Sequential<float> block(nn::Conv2d<float>({.in = 2, .out = 4, .padding = 1}),
                              nn::Relu<float>());
  nn::Sequential<float> model(nn::Checkpoint<float>(std::move(block)), nn::Flatten<float>(),
                              nn::Linear<float>({.in = 4 * 36, .out = 3}));
  nn::initialize(model, 1);
  train::Profile profile({.warm_up = 0, .seconds = clock.reader()});
  Tape tape;
  auto ctx = Context::training(tape);
  ctx.observer = profile.observer();
  model(Tensor<float>::normal({5, 6, 6, 2}, random::Key{1}), ctx)
      .backward(Tensor<float>::ones({5, 3}));
  profile.end_step();
  CHECK(row_of(profile, "0.0", "conv2d").forward.calls == 2);
  CHECK(row_of(profile, "0.0", "conv2d").backward.calls == 1);
  CHECK(row_of(profile, "2", "linear").forward.calls == 1);
  CHECK(row_of(profile, "0", "checkpoint").forward.calls == 1);
  CHECK(row_of(profile, "0", "checkpoint").backward.calls == 1);
  // conv2d and relu twice forward, once backward; checkpoint, reshape, linear; two gaps
  CHECK(profile.step_seconds() == Approx(6 + 2 + 4 + 2));
}

TEST_CASE("fit tells its profile of every step") {
  auto images = Tensor<std::uint8_t>::full({12, 6, 6, 2}, 100);
  for (std::int64_t i = 0; i < images.size(); ++i) images.data()[i] = std::uint8_t(i % 251);
  Tensor<std::int32_t> labels({12});
  for (int i = 0; i < 12; ++i) labels(i) = i % 3;
  const data::Dataset set("stripes", images, labels, {"a", "b", "c"});
  const data::Loader<float> loader(set, {.batch_size = 4});
  auto model = small_net();
  nn::initialize(model, 1);
  optim::Sgd<float> sgd(nn::parameters(model), {.lr = 0.01});
  train::Profile profile({.warm_up = 0});
  train::fit(model, sgd, loader, {.epochs = 2, .watch = &profile, .progress = {}});
  CHECK(profile.steps() == 6);
  CHECK(row_of(profile, "", "load").forward.calls == 6);
  CHECK(row_of(profile, "", "update").forward.calls == 6);
  CHECK(row_of(profile, "3", "linear").backward.calls == 6);
}
