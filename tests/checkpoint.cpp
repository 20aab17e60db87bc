// Checkpoints: a run that was broken off goes on with the bits of one that was not.
#include <sys/resource.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include <tinynet/train/early_stopping.hpp>

#include "messages.hpp"
#include "small_run.hpp"

using namespace tinynet;
using tests::contains;
using tests::message_of;
using tests::Run;
using tests::same_bits;

TEST_CASE("two epochs and two more are four, bit for bit, on one thread and on two") {
  const tests::TemporaryFolder folder;
  const auto file = folder.path / "checkpoint.safetensors";
  Run unbroken;
  set_num_threads(2);
  unbroken.train(0, 4);
  for (const int threads : {1, 2}) {
    CAPTURE(threads);
    set_num_threads(threads);
    Run first;
    first.train(0, 2);
    CHECK(!same_bits(first, unbroken));
    first.checkpoint.save(file, {.epochs = 2, .best = 0.1, .notes = {{"note", "half"}}});
    Run second;
    const auto position = second.checkpoint.load(file);
    CHECK(position.epochs == 2);
    CHECK(position.batches == 0);
    CHECK(position.best == 0.1);
    CHECK(position.notes.at("note") == "half");
    CHECK(same_bits(first, second));
    second.train(2, 4);
    CHECK(same_bits(second, unbroken));
  }
}

TEST_CASE("a run goes on in the middle of an epoch") {
  const tests::TemporaryFolder folder;
  const auto file = folder.path / "checkpoint.safetensors";
  Run unbroken, first, second;
  unbroken.train(0, 3);
  first.train(0, 3, 0, [](auto epoch, auto batch) { return epoch < 1 || batch < 1; });
  first.checkpoint.save(file, {.epochs = 1, .batches = 2});
  const auto at = second.checkpoint.load(file);
  CHECK(at.best < -1e300);
  second.train(at.epochs, 3, at.batches, [](auto, auto) { return true; });
  CHECK(same_bits(second, unbroken));
}

TEST_CASE("a file with a model alone is no checkpoint") {
  const tests::TemporaryFolder folder;
  const auto file = folder.path / "model.safetensors";
  Run run;
  nn::save(run.model, file);
  const auto text = message_of<DataError>([&] { run.checkpoint.load(file); });
  CHECK(contains(text, "[Checkpoint::load] the file is not a checkpoint"));
  CHECK(contains(text, file.string()));
  CHECK(contains(text, "hint: for a file with a model alone use nn::load"));
}

TEST_CASE("a checkpoint of another run says all that differs and changes nothing") {
  const tests::TemporaryFolder folder;
  const auto file = folder.path / "checkpoint.safetensors";
  auto wider = tests::network(8);
  wider.add("extra", nn::Linear<float>({.in = 3, .out = 3, .bias = false}));
  nn::initialize(wider, 1);
  const optim::Sgd<float> optimizer(nn::parameters(wider), {.lr = 0.1});
  train::Checkpoint(wider)
      .add("optimizer", optimizer)
      .add("other", optimizer)
      .require("batch_size", "16")
      .require("precision", "float")
      .save(file, {.epochs = 1});
  Run run, untouched;
  run.checkpoint.require("batch_size", "32").require("precision", "float").require("seed", "1");
  const auto text = message_of<StateError>([&] { run.checkpoint.load(file); });
  CHECK(contains(text, "[Checkpoint::load] the checkpoint is of another run"));
  CHECK(contains(text, "\n    batch_size: file 16, now 32\n    seed: file not said, now 1\n"));
  CHECK(!contains(text, "precision"));
  CHECK(contains(text, "\n  missing \n    optimizer.momentum_buffer.0.weight\n"));
  CHECK(contains(text, "\n    optimizer.momentum_buffer.5.bias\n    ema.updates\n"));
  CHECK(contains(text, "\n    model.extra.weight"));
  CHECK(contains(text, "\n    ema.5.bias\n  unexpected"));
  CHECK(contains(text, "\n    other.steps"));
  CHECK(contains(text, "model.0.weight: expected [6, 1, 3, 3], file [8, 1, 3, 3]\n"));
  CHECK(contains(text, "model.5.weight: expected [3, 6], file [3, 8]\n"));
  CHECK(contains(text, "hint: give the options that the run began with"));
  CHECK(same_bits(run, untouched));

  Run settings_alone;
  settings_alone.checkpoint.save(file, {});
  settings_alone.checkpoint.require("seed", "2");
  CHECK(contains(message_of<StateError>([&] { settings_alone.checkpoint.load(file); }),
                 "seed: file not said, now 2"));

  Run younger_setting;
  younger_setting.checkpoint.require("views", "1", "1");
  CHECK_NOTHROW(younger_setting.checkpoint.load(file));
  younger_setting.checkpoint.require("views", "4", "1");
  CHECK(contains(message_of<StateError>([&] { younger_setting.checkpoint.load(file); }),
                 "views: file 1, now 4"));
}

TEST_CASE("counts in the metadata that are none are refused") {
  const tests::TemporaryFolder folder;
  const auto file = folder.path / "checkpoint.safetensors";
  for (const auto* value : {"", "-1", "12x", "99999999999999999999"}) {
    io::SafetensorsWriter writer;
    writer.metadata("epochs", value);
    writer.write(file);
    Run run;
    CHECK(contains(message_of<DataError>([&] { run.checkpoint.load(file); }),
                   "epochs in the metadata is no count"));
  }
}

TEST_CASE("the best result so far is a number in any locale, or refused") {
  const tests::TemporaryFolder folder;
  const auto file = folder.path / "checkpoint.safetensors";
  Run run;
  for (const double best : {-std::numeric_limits<double>::infinity(), 0.1, -3e-300}) {
    run.checkpoint.save(file, {.best = best});
    CHECK(run.checkpoint.load(file).best == best);
  }
  for (const auto* value : {"", "0,91", "best", "1e999"}) {
    io::SafetensorsWriter writer;
    writer.metadata("epochs", "1");
    writer.metadata("batches", "0");
    writer.metadata("best", value);
    writer.write(file);
    CHECK(contains(message_of<DataError>([&] { run.checkpoint.load(file); }),
                   "best in the metadata is no number"));
  }
}

TEST_CASE("a count that is none is found before the model changes") {
  const tests::TemporaryFolder folder;
  const auto file = folder.path / "checkpoint.safetensors";
  auto saved = tests::network();
  nn::initialize(saved, 8);  // other values than those of a Run
  Run run, untouched;
  const auto write = [&](const std::string& name, float value) {
    io::SafetensorsWriter writer;
    nn::write_state(writer, saved, "model.");
    run.optimizer.visit_state([&](const std::string& part, const auto& tensor) {
      if (part != name) writer.add("optimizer." + part, tensor);
    });
    writer.add("optimizer." + name, Tensor<float>::full({}, value));
    run.ema.visit_state([&](const std::string& part, const auto& tensor) {
      writer.add("ema." + part, tensor);
    });
    for (const auto* key : {"epochs", "batches", "best"}) writer.metadata(key, "0");
    writer.write(file);
    return message_of<DataError>([&] { run.checkpoint.load(file); });
  };
  CHECK(contains(write("steps", 0.5f), "element 0 of tensor 'optimizer.steps' (F32) does not fit"));
  CHECK(same_bits(run, untouched));
  CHECK(contains(write("updates.5.bias", -1),
                 "[Checkpoint::load] optimizer.updates.5.bias is no "
                 "count\n  file    " +
                     file.string() + "\n  expected  0 or more\n  came    -1"));
  CHECK(same_bits(run, untouched));
  CHECK(run.optimizer.steps() == 0);
  CHECK(write("steps", 7).empty());
  CHECK(run.optimizer.steps() == 7);
  CHECK(!same_bits(run, untouched));
}

TEST_CASE("a frozen model, and all that belongs to its run, stay as they are") {
  const tests::TemporaryFolder folder;
  const auto file = folder.path / "checkpoint.safetensors";
  Run first, second, untouched;
  first.train(0, 1);
  first.checkpoint.save(file, {.epochs = 1});
  nn::freeze(second.model, {});
  CHECK(contains(message_of<StateError>([&] { second.checkpoint.load(file); }),
                 "[Parameter] the values of a frozen model do not change"));
  CHECK(same_bits(second, untouched));
  CHECK(second.optimizer.steps() == 0);
}

TEST_CASE("early stopping without a best update goes through a checkpoint") {
  const tests::TemporaryFolder folder;
  const auto file = folder.path / "checkpoint.safetensors";
  Run run;
  train::EarlyStopping stopping(run.model), other(run.model);
  run.checkpoint.add("stopping", stopping).save(file, {});
  Run resumed;
  other.update(1, run.model);
  resumed.checkpoint.add("stopping", other).load(file);
  CHECK(other.best_update() == -1);

  io::SafetensorsWriter writer;
  const auto saved = io::Safetensors::open(file);
  for (const auto& entry : saved.tensors()) {
    if (entry.name == "stopping.best_update") continue;
    writer.add(entry.name, saved.read<double>(entry.name));
  }
  writer.add("stopping.best_update", Tensor<std::int64_t>::full({}, -2));
  for (const auto& [key, value] : saved.metadata()) writer.metadata(key, value);
  writer.write(file);
  CHECK(contains(message_of<DataError>([&] { resumed.checkpoint.load(file); }),
                 "stopping.best_update is no count\n  file    " + file.string() +
                     "\n  expected  -1 or more\n  came    -2"));
  CHECK(other.best_update() == -1);
}

TEST_CASE("where the disk is full the old checkpoint stays whole") {
  const tests::TemporaryFolder folder;
  const auto file = folder.path / "checkpoint.safetensors";
  Run first, second;
  first.train(0, 1);
  first.checkpoint.save(file, {.epochs = 1});

  rlimit before = {};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);  // write() then fails, as on a full disk
  const rlimit small{1000, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  second.train(0, 2);
  const auto text = message_of<DataError>([&] { second.checkpoint.save(file, {.epochs = 2}); });
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, handler);

  CHECK(contains(text, "[write] cannot write"));
  CHECK(contains(text, "File too large"));
  CHECK(contains(text, "nothing was replaced"));
  Run restored;
  CHECK(restored.checkpoint.load(file).epochs == 1);
  CHECK(same_bits(restored, first));
  const auto files = std::filesystem::directory_iterator(folder.path);
  CHECK(std::distance(begin(files), end(files)) == 1);  // no half of a file is left behind
}
