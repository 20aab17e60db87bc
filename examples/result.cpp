#include "result.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include <tinynet/io/atomic_file.hpp>
#if __has_include(<stb_image_write.h>)
#include <tinynet/io/image.hpp>
#endif

#include "scores.hpp"

namespace tinynet::examples {

Latency latency_of(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times[times.size() * 95 / 100]};
}

void write_preview(const Program& program, [[maybe_unused]] const data::Dataset& train_set,
                   [[maybe_unused]] const data::LoaderOptions& loading) {
  if (!program.preview) return;
#if __has_include(<stb_image_write.h>)
  const auto file = program.file("preview.png");
  io::write_png(file, data::preview(train_set, loading.augment, {.seed = loading.seed}));
  std::printf("preview  %s\n", file.c_str());
#else
  throw StateError(Message("--preview", "this program was built without stb, which writes images")
                       .hint("install stb and build again: apt-get install libstb-dev"));
#endif
}

void write_text(const std::string& path, const std::string& text) {
  io::write_file(path, std::as_bytes(std::span(text)));
}

Totals totals(const train::History& history) {
  Totals all;
  for (const auto& epoch : history) {
    all.images += static_cast<double>(epoch.samples);
    all.seconds += epoch.seconds;
  }
  return all;
}

namespace {

/// What a run that was killed while it wrote left behind (io/atomic_file.hpp): up to the size of a checkpoint.
void remove_unfinished_files(const std::string& folder) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const auto name = entry.path().filename().string();
    if (name.find(".safetensors.tmp") != std::string::npos) {
      std::filesystem::remove(entry.path(), error);
    }
  }
}

struct Goal {
  std::string what;
  double came, goal;
  bool met;
};

std::vector<Goal> goals(const ModelFacts& model, const Outcome& outcome) {
  if (!outcome.goals) return {};
  const auto& goal = *outcome.goals;
  const auto accuracy = train::evaluate(outcome.test).accuracy;
  const auto below = [](const char* what, double came, double limit) {
    return Goal{what, came, limit, came < limit};
  };
  return {
      {"test accuracy, at least", accuracy, goal.accuracy, accuracy >= goal.accuracy},
      below("parameters below, megabytes", static_cast<double>(model.bytes) / 1e6, goal.megabytes),
      below("latency p50 below, milliseconds", model.latency.p50, goal.milliseconds),
      below("latency p95 below, milliseconds", model.latency.p95, goal.milliseconds)};
}

}  // namespace

void write_result(const Program& program, const ModelFacts& model, const Outcome& outcome) {
  const auto all = totals(outcome.history);
  nlohmann::ordered_json result = {
      {"command", program.command},
      {"git_revision", git_revision},
      {"cpu", cpu().name},
      {"kernels", kernels::path_name(kernels::path_limit())},
      {"precision", program.precision},
      {"threads", num_threads()},
      {"batch_size", program.batch_size},
      {"seed", program.seed},
      {"parameters", model.parameters},
      {"parameter_bytes", model.bytes},
      {"macs", model.layers.macs},
      {"epochs", outcome.history.size()},  // fewer than were asked for after early stopping
      {"selection", train::to_string(outcome.selection)},
  };
  result.update(test_scores(outcome.test));
  result.update(class_scores(outcome.test, model.test_set.classes()));
  result.update({
      {"train_accuracy", model.clean.accuracy},
      {"train_accuracy_low", model.clean.low},
      {"train_accuracy_high", model.clean.high},
      {"train_seconds", all.seconds},
      {"images_per_second", all.images_per_second()},
      {"latency_ms", {{"p50", model.latency.p50}, {"p95", model.latency.p95}}},
      {"peak_memory_bytes", memory_statistics().peak_bytes_in_use},
      {"peak_resident_bytes", resident_memory().peak},
  });
  if (outcome.tta) result.update(tta_scores(*outcome.tta));
  for (const auto& goal : goals(model, outcome)) {
    result["goals"].push_back(
        {{"what", goal.what}, {"goal", goal.goal}, {"came", goal.came}, {"met", goal.met}});
  }
  write_text(program.file("result.json"), result.dump(2) + "\n");
}

namespace {

/// A line of names, and one an epoch; what is read back lacks the counts of the validation and what was
/// seen on clean images, and has the same losses and accuracies where it was written with 17 digits.
std::string format_history(const train::History& history, int digits = 8) {
  std::string text = "epoch,loss,accuracy,val_loss,val_accuracy,lr,seconds,samples\n";
  for (const auto& e : history) {
    char validation[64] = ",";
    if (e.validation) {
      std::snprintf(validation, sizeof validation, "%.*g,%.*g", digits, e.validation->loss, digits,
                    e.validation->accuracy);
    }
    char line[256];
    std::snprintf(line, sizeof line, "%lld,%.*g,%.*g,%s,%.*g,%.3f,%lld\n",
                  static_cast<long long>(e.epoch + 1), digits, e.loss, digits, e.accuracy,
                  validation, digits, e.lr.value_or(0), e.seconds,
                  static_cast<long long>(e.samples));
    text += line;
  }
  return text;
}

train::History parse_history(const std::string& text) {
  train::History history;
  for (auto begin = text.find('\n'); begin != std::string::npos && begin + 1 < text.size();) {
    const auto end = text.find('\n', ++begin);
    std::vector<std::string> fields(1);
    for (const char letter : text.substr(begin, end - begin)) {
      if (letter == ',') fields.emplace_back();
      else fields.back() += letter;
    }
    begin = end;
    if (fields.size() != 8) continue;
    const auto number = [&](std::size_t i) { return std::strtod(fields[i].c_str(), nullptr); };
    train::EpochResult epoch{.epoch = std::strtoll(fields[0].c_str(), nullptr, 10) - 1,
                             .loss = number(1),
                             .accuracy = number(2),
                             .lr = number(5),
                             .seconds = number(6),
                             .samples = std::strtoll(fields[7].c_str(), nullptr, 10)};
    if (!fields[4].empty()) {
      epoch.validation = train::Evaluation{.loss = number(3), .accuracy = number(4)};
    }
    history.push_back(epoch);
  }
  return history;
}

}  // namespace

EpochMeter::EpochMeter(std::int64_t epoch, const train::History& unfinished) : epoch_(epoch) {
  for (const auto& part : unfinished) {
    add(part.loss, part.accuracy, part.samples);
    seconds_ += part.seconds;
  }
}

void EpochMeter::add(double loss, double accuracy, std::int64_t images) {
  loss_.add(loss, static_cast<double>(images));
  accuracy_.add(accuracy, static_cast<double>(images));
  images_ += images;
}

train::EpochResult EpochMeter::result(std::optional<double> lr, double seconds) const {
  return {.epoch = epoch_,
          .loss = loss(),
          .accuracy = accuracy(),
          .lr = lr,
          .seconds = seconds_ + seconds,
          .samples = images_};
}

int stopped(std::int64_t epoch) {
  std::printf("\nstopped in epoch %lld; --resume goes on\n", static_cast<long long>(epoch));
  return train::Interrupt::exit_status;
}

int finished(const Program& program, const train::Interrupt& interrupt) {
  if (!program.part || !interrupt.requested()) return 0;
  std::printf("stopped after this run; --resume goes on with the next\n");
  return train::Interrupt::exit_status;
}

Resumed resume(const Program& program, train::Checkpoint& checkpoint, bool scheduled) {
  for (const auto& setting : program.settings()) {
    checkpoint.require(setting.name, setting.value, setting.otherwise);
  }
  if (!program.resumes()) return {};
  remove_unfinished_files(program.out);
  auto at = checkpoint.load(program.checkpoint());
  const auto begun = at.epochs + (at.batches > 0 ? 1 : 0);
  if (begun > program.epochs) {
    throw StateError(Message("--epochs", "the run is further than that")
                         .fact("expected", {begun, " or more"})
                         .fact("came", program.epochs)
                         .fact("file", program.checkpoint()));
  }
  const auto planned = at.notes["planned_epochs"];
  if (scheduled && planned != std::to_string(program.epochs)) {
    std::printf("begun for %s epochs: from here on learning rates are those of %lld\n",
                planned.c_str(), static_cast<long long>(program.epochs));
  }
  return {at, parse_history(at.notes["history"]), parse_history(at.notes["unfinished"])};
}

void save_checkpoint(const Program& program, const train::Checkpoint& checkpoint,
                     const train::History& history, std::int64_t batches,
                     const train::History& unfinished) {
  checkpoint.save(program.checkpoint(),
                  {.epochs = std::ssize(history),
                   .batches = batches,
                   .notes = {{"history", format_history(history, 17)},
                             {"unfinished", format_history(unfinished, 17)},
                             {"planned_epochs", std::to_string(program.epochs)},
                             {"command", program.command},
                             {"git_revision", git_revision}}});
}

bool keeps_results(const Program& program, const Outcome& outcome) {
  if (outcome.trained || !io::exists(program.file("report.html"))) return false;
  auto old = read_json(program.file("result.json"));
  const auto epochs = static_cast<double>(outcome.history.size());
  if (!old.is_object() || number_at(old, "epochs") != epochs) return false;
  // Seconds tell trainings apart; a checkpoint has them to the millisecond an epoch.
  const auto seconds = number_at(old, "train_seconds");
  if (std::abs(seconds - totals(outcome.history).seconds) > 1e-3 * epochs) return false;
  if (outcome.tta) {  // asked for afterwards
    old.update(tta_scores(*outcome.tta));
    write_text(program.file("result.json"), old.dump(2) + "\n");
  }
  std::printf("nothing was left to train: the results in %s stay as they are\n",
              program.out.c_str());
  return true;
}

data::Dataset some_of(const data::Dataset& dataset, std::uint64_t seed) {
  const auto count = std::min<std::int64_t>(dataset.size(), 10'000);
  return dataset.split(count, random::Key{seed}.fold("clean")).first;
}

void write_results(const Program& program, const nn::Members& model, ModelFacts facts,
                   const Outcome& outcome) {
  facts.parameters = nn::count_parameters(model);
  facts.bytes = nn::parameter_bytes(model);
  nn::save(model, program.file("model.safetensors"));
  write_text(program.file("history.csv"), format_history(outcome.history));
  write_result(program, facts, outcome);
  write_report(program, facts, outcome);
  for (const auto& goal : goals(facts, outcome)) {
    std::printf("%-32s %9.4f   %9.4f came   %s\n", goal.what.c_str(), goal.goal, goal.came,
                goal.met ? "met" : "MISSED");
  }
  std::printf("report: %s\n", program.file("report.html").c_str());
}

}  // namespace tinynet::examples
