#pragma once

#include <optional>
#include <utility>
#include <vector>

#include <tinynet/report/run.hpp>

#include "grid.hpp"

/// The files that a training run leaves in its --out folder.
namespace tinynet::examples {

/// Time of a forward pass of one image, in milliseconds: the median and the 95th percentile.
struct Latency {
  double p50 = 0, p95 = 0;
};

/// Of times in milliseconds.
Latency latency_of(std::vector<double> times);

template <Scalar T, class Model>
Latency measure_latency(Model& model, const Shape& image) {
  const Variable<T> x(Tensor<T>::zeros(image));
  std::vector<double> times;
  for (int i = 0; i < 110; ++i) {
    auto ctx = Context::evaluation();
    const double start = seconds_now();
    model(x, ctx);
    if (i >= 10) times.push_back((seconds_now() - start) * 1e3);
  }
  return latency_of(std::move(times));
}

/// What a model must come to. Each goal is printed, and stands in result.json.
struct Goals {
  double accuracy = 0;      // of the test images, a fraction
  double megabytes = 0;     // of stored parameters
  double milliseconds = 0;  // for one image
};

/// What a run came to.
struct Outcome {
  train::Predictions test;  // of the model that was selected
  const train::History& history;
  train::Selection selection = train::Selection::last;
  std::optional<train::Evaluation> tta = {};  // with test-time augmentation
  std::optional<Goals> goals = {};
  std::optional<Latency> latency = {};     // none: that of the model as it is
  std::vector<std::string> warnings = {};  // for the reader of the report
  bool trained = true;                     // an epoch or more, in this process
};

/// Images seen and seconds of the steps of all epochs.
struct Totals {
  double images = 0, seconds = 0;

  double images_per_second() const { return seconds > 0 ? images / seconds : 0; }
};
Totals totals(const train::History& history);

/// What the result files say of model and data beside the predictions.
struct ModelFacts {
  Latency latency;
  nn::Summary layers;
  train::Evaluation clean;  // on training images as they are
  const data::Dataset &train_set, &test_set;
  const data::LoaderOptions& loading;      // of the training images
  std::int64_t parameters = 0, bytes = 0;  // write_results counts them
};

extern const char* const git_revision;  // of the source tree; cmake/revision.cmake writes it

/// What a run that goes on has behind it.
struct Resumed {
  train::Position at;
  train::History history, unfinished;  // what an epoch that was broken off had come to
};

/// What an epoch comes to, batch after batch; goes on from what it had come to when it was broken off.
class EpochMeter {
 public:
  EpochMeter(std::int64_t epoch, const train::History& unfinished);

  void add(double loss, double accuracy, std::int64_t images);
  double loss() const { return loss_.value(); }
  double accuracy() const { return accuracy_.value(); }
  /// `seconds` since the epoch went on.
  train::EpochResult result(std::optional<double> lr, double seconds) const;

 private:
  std::int64_t epoch_, images_ = 0;
  double seconds_ = 0;  // before it was broken off
  train::Mean loss_, accuracy_;
};

/// Tells the checkpoint what must not differ from the run that began, and goes on with it where
/// --resume asks for that. `scheduled`: learning rates depend on --epochs.
Resumed resume(const Program& program, train::Checkpoint& checkpoint, bool scheduled = true);

/// Writes the checkpoint into --out: after the epochs of `history` and so many batches of the next.
void save_checkpoint(const Program& program, const train::Checkpoint& checkpoint,
                     const train::History& history, std::int64_t batches = 0,
                     const train::History& unfinished = {});

/// Writes preview.png into --out where --preview asks for it: a row for each of eight training images,
/// first as it is, then seven times as augmentation changes it. Throws StateError where stb is missing.
void write_preview(const Program& program, const data::Dataset& train_set,
                   const data::LoaderOptions& loading);

/// Says that Ctrl-C has ended a run in that epoch, counted from 1; the exit status for it.
int stopped(std::int64_t epoch);

/// The exit status of a run that is whole: 0, or where Ctrl-C ends the series that it is a part of,
/// that of an interrupt.
int finished(const Program& program, const train::Interrupt& interrupt);

/// Writes a file whole or not at all.
void write_text(const std::string& path, const std::string& text);

/// Writes result.json (docs/architecture.md explains its keys).
void write_result(const Program& program, const ModelFacts& model, const Outcome& outcome);

/// Writes report.html, the page to look at first.
void write_report(const Program& program, const ModelFacts& model, const Outcome& outcome);

/// The tile of the accuracy with test-time augmentation in a report.
report::Fact tta_fact(const train::Evaluation& tta);

/// Writes both, model.safetensors and history.csv, and says where the report is.
void write_results(const Program& program, const nn::Members& model, ModelFacts facts,
                   const Outcome& outcome);

/// Whether files of a run that had ended before --resume stay, and says so: memory, revision and command
/// of a test alone would take the place of the training's. Files of another training do not stay.
bool keeps_results(const Program& program, const Outcome& outcome);

/// Up to 10,000 images, drawn at random.
data::Dataset some_of(const data::Dataset& dataset, std::uint64_t seed);

/// The same for a model and the loaders that it was trained and tested with. The gap to the training
/// images is measured on some of them, not augmented.
template <Scalar T, class Model>
void write_results(const Program& program, Model& model, const data::Loader<T>& training,
                   const data::Loader<T>& tests, const Outcome& outcome) {
  if (keeps_results(program, outcome)) return;
  const auto size = training.dataset().image_shape();
  const Shape image{1, size[0], size[1], size[2]};
  const data::Loader<T> clean(some_of(training.dataset(), program.seed), tests.options());
  write_results(program, model,
                {.latency = outcome.latency ? *outcome.latency : measure_latency<T>(model, image),
                 .layers = nn::summary<T>(model, image),
                 .clean = train::evaluate(model, clean),
                 .train_set = training.dataset(),
                 .test_set = tests.dataset(),
                 .loading = training.options()},
                outcome);
}

}  // namespace tinynet::examples
