// Checkpoints: a run that was broken off goes on with the bits of one that was not.
#include <sys/resource.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <string>

#include <doctest/doctest.h>

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
  CHECK(contains(text, "[load_checkpoint] the file is not a checkpoint"));
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
      .add("ema", optimizer)
      .require("batch_size", "16")
      .require("precision", "float")
      .save(file, {.epochs = 1});
  Run run, untouched;
  run.checkpoint.require("batch_size", "32").require("precision", "float").require("seed", "1");
  const auto text = message_of<StateError>([&] { run.checkpoint.load(file); });
  CHECK(contains(text, "[load_checkpoint] the checkpoint is of another run"));
  CHECK(contains(text, "\n    batch_size: file 16, now 32\n    seed: file not said, now 1\n"));
  CHECK(!contains(text, "precision"));
  CHECK(contains(text, "\n  missing \n    optimizer.momentum_buffer.0.weight\n"));
  CHECK(contains(text, "\n    optimizer.momentum_buffer.5.bias\n  unexpected"));
  CHECK(contains(text, "\n    model.extra.weight"));
  CHECK(contains(text, "\n    ema.steps"));
  CHECK(contains(text, "model.0.weight: expected [6, 1, 3, 3], file [8, 1, 3, 3]\n"));
  CHECK(contains(text, "model.5.weight: expected [3, 6], file [3, 8]\n"));
  CHECK(contains(text, "hint: give the options that the run began with"));
  CHECK(same_bits(run, untouched));

  Run settings_alone;
  settings_alone.checkpoint.save(file, {});
  settings_alone.checkpoint.require("seed", "2");
  CHECK(contains(message_of<StateError>([&] { settings_alone.checkpoint.load(file); }),
                 "seed: file not said, now 2"));
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
