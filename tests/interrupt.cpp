// Runs that are killed, or asked to end, lose nothing that was in their checkpoint.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>

#include <doctest/doctest.h>

#include <tinynet/train/interrupt.hpp>
#include <tinynet/train/loop.hpp>

#include "small_run.hpp"

using namespace tinynet;
using tests::Run;
using tests::same_bits;

namespace {

constexpr std::int64_t epochs = Run::total_epochs;

/// Trains from the checkpoint, if there is one, to the end, and writes one after each epoch.
void train_to_the_end(const std::filesystem::path& file) {
  Run run;
  auto at = std::filesystem::exists(file) ? run.checkpoint.load(file) : train::Position{};
  for (; at.epochs < epochs; ++at.epochs) {
    run.train(at.epochs, at.epochs + 1);
    run.checkpoint.save(file, {.epochs = at.epochs + 1});
  }
}

/// A process that runs `f`. Threads of the parent do not live on in it: one thread on both sides.
template <class F>
pid_t start(F f) {
  const auto child = ::fork();
  if (child == 0) {
    for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, SIG_DFL);  // not the tests' own
    ::_exit(f());
  }
  return child;
}

int wait_for(pid_t child) {
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return status;
}

}  // namespace

TEST_CASE("a run that is killed again and again ends with the bits of one that is not") {
  set_num_threads(1);
  const tests::TemporaryFolder folder;
  const auto file = folder.path / "checkpoint.safetensors";
  Run unbroken;
  unbroken.train(0, epochs);
  const auto begin = std::chrono::steady_clock::now();
  train_to_the_end(file);
  const auto whole = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - begin);
  const auto longest = static_cast<std::uint32_t>(whole.count());
  int killed = 0, restarts = 0;
  for (std::uint64_t round = 0; round < 20; ++round) {
    std::filesystem::remove(file);
    std::int64_t saved = 0;
    for (bool ended = false; !ended; ++restarts) {
      const auto child = start([&] { return train_to_the_end(file), 0; });
      ::usleep(random::below({round}, static_cast<std::uint64_t>(restarts), longest));
      ::kill(child, SIGKILL);
      const int status = wait_for(child);
      ended = WIFEXITED(status);
      killed += WIFSIGNALED(status);
      if (!std::filesystem::exists(file)) continue;
      Run restored;
      const auto epoch = restored.checkpoint.load(file).epochs;  // whole, whenever the end came
      CHECK(epoch >= saved);
      saved = epoch;
    }
    Run last;
    REQUIRE(last.checkpoint.load(file).epochs == epochs);
    CHECK(same_bits(last, unbroken));
  }
  CHECK(killed >= 10);
}

TEST_CASE("a signal lets the step end; the run goes on from there") {
  set_num_threads(1);
  for (const int signal : {SIGINT, SIGTERM}) {
    const tests::TemporaryFolder folder;
    const auto file = folder.path / "checkpoint.safetensors";
    Run unbroken, first, second;
    unbroken.train(0, 3);
    {
      const train::Interrupt interrupt;
      CHECK(!interrupt.requested());
      train::Position at;
      first.train(0, 3, 0, [&](auto epoch, auto batch) {
        if (epoch == 1 && batch == 2) ::raise(signal);
        at = {.epochs = epoch, .batches = batch + 1};
        return !interrupt.requested();
      });
      CHECK(interrupt.requested());
      CHECK(at.epochs == 1);
      CHECK(at.batches == 3);
      first.checkpoint.save(file, at);
    }
    CHECK(!train::Interrupt().requested());
    const auto at = second.checkpoint.load(file);
    second.train(at.epochs, 3, at.batches, [](auto, auto) { return true; });
    CHECK(same_bits(second, unbroken));
  }
}

TEST_CASE("the second signal ends the process, and so does one after the end of Interrupt") {
  const auto child = start([] {
    const train::Interrupt interrupt;
    ::raise(SIGINT);
    if (!interrupt.requested()) return 1;
    ::raise(SIGINT);
    return 2;
  });
  const int status = wait_for(child);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGINT);
  const auto other = start([] {
    { const train::Interrupt interrupt; }
    ::raise(SIGTERM);
    return 1;
  });
  CHECK(WTERMSIG(wait_for(other)) == SIGTERM);
}

TEST_CASE("fit ends where on_step says so, and goes on there") {
  set_num_threads(1);
  const train::ProgressOutput quiet;
  Run unbroken, run;
  train::fit(unbroken.model, unbroken.optimizer, unbroken.loader,
             {.epochs = 2, .schedule = optim::constant(0.05), .progress = quiet});
  train::FitOptions<float> options{
      .epochs = 2,
      .schedule = optim::constant(0.05),
      .on_step = [](const train::StepResult& at) { return at.epoch < 1 || at.batch < 1; },
      .progress = quiet};
  CHECK(train::fit(run.model, run.optimizer, run.loader, options).size() == 1);
  CHECK(run.optimizer.steps() == 6);
  options.on_step = {};
  options.first_epoch = 1;
  options.first_batch = 2;
  train::fit(run.model, run.optimizer, run.loader, options);
  CHECK(same_bits(run, unbroken));

  // Stopped after the last batch of an epoch: nothing of that epoch is left.
  options.epochs = 3;
  options.first_batch = run.loader.batches();
  const auto history = train::fit(run.model, run.optimizer, run.loader, options);
  REQUIRE(history.size() == 1);
  CHECK(history[0].epoch == 2);
}
