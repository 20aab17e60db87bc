#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <optional>
#include <tuple>
#include <utility>

#include "result.hpp"

/// The training that the example programs share: quickstart.cpp's loop with everything that a longer
/// run wants. A program brings its data, its network, its optimizer and a Recipe.
namespace tinynet::examples {

/// How a network is trained and tested. What stands at zero or is absent is left out.
struct Recipe {
  Required<data::Dataset> train_set, test_set;  // the first as Program::limited gives it
  data::LoaderOptions loading = {};  // of training images; batch size and seed are the program's
  /// The first epochs see smaller images, which cost less (Howard, fast.ai's DAWNBench entry, 2018).
  std::int64_t small_epochs = 0;
  data::ImageSize small = {};
  ops::CrossEntropyOptions loss = {};
  /// Made for a number of steps; none: the optimizer's own learning rate.
  std::function<optim::Schedule(std::int64_t)> schedule = {};
  double clip_norm = 0;  // of all gradients together
  double ema_decay = 0;
  std::int64_t patience = 0;  // epochs of full size without improvement after which training ends
  std::optional<train::TestTimeAugmentation> tta = {};
  std::optional<Goals> goals = {};
};

/// What a training came to.
struct Trained {
  int status = 0;           // the exit status of a program that does nothing else
  train::Predictions test;  // of the model that was selected; empty where the training was stopped
  std::optional<train::Predictions> tta = {};  // with Recipe::tta
};

/// The latency of a model as it would be served: batch normalisation folded, weights packed once.
template <Scalar T, class Model>
Latency served_latency(const Model& trained, const Shape& image) {
  auto model = nn::clone(trained);
  nn::fold_batch_norm<T>(model, image);
  nn::freeze<T>(model, {image});
  return measure_latency<T>(model, image);
}

/// Trains on images of T, tests, and writes what a program leaves in --out. Ctrl-C ends the step and
/// writes a checkpoint that --resume goes on with, bit for bit.
template <Scalar T, class Model>
Trained train_and_test(const Program& program, Model& model,
                       optim::Optimizer<param_t<T>>& optimizer, const Recipe& recipe) {
  if (recipe.small_epochs >= program.epochs) {
    throw StateError(Message("--small-epochs", "the last epoch must see images of full size")
                         .fact("expected", {"0 to ", program.epochs - 1})
                         .fact("came", recipe.small_epochs)
                         .hint("give --epochs more, or leave it out"));
  }
  begin_memory_peaks();  // those of other runs of this process are not this one's
  auto selection = train::selection_of(program.select);
  if (recipe.patience > 0 && selection == train::Selection::last) {
    selection = train::Selection::validation;  // what else would show an improvement
  }
  data::Dataset train_set = recipe.train_set, held_out = recipe.test_set;
  if (selection == train::Selection::validation) {
    // A twelfth: 5,000 of FashionMNIST's 60,000.
    std::tie(held_out, train_set) = train_set.split(1.0 / 12, random::Key{program.seed});
  }
  auto loading = recipe.loading;
  loading.batch_size = program.batch_size;
  loading.seed = program.seed;
  const data::Loader<T> batches(train_set, loading);
  auto smaller = loading;
  if (recipe.small_epochs > 0) smaller.size = recipe.small;
  const data::Loader<T> small_batches(train_set, smaller);
  const data::LoaderOptions in_order{
      .batch_size = 500, .shuffle = false, .normalize = loading.normalize};
  const data::Loader<T> tests(recipe.test_set, in_order), judges(held_out, in_order);

  const auto total_steps = program.epochs * batches.batches();
  const auto schedule =
      recipe.schedule ? recipe.schedule(total_steps) : optim::constant(optimizer.lr().value());
  optim::GradScaler scaler({.enabled = program.precision == "float16"});
  std::optional<train::Ema> ema;
  if (recipe.ema_decay > 0) ema.emplace(model, train::EmaOptions{.decay = recipe.ema_decay});
  std::optional<train::EarlyStopping> best;
  if (selection != train::Selection::last) {
    best.emplace(model, train::EarlyStoppingOptions{
                            .patience = recipe.patience > 0 ? recipe.patience : program.epochs,
                            .goal = optim::Goal::maximize});
  }
  train::Checkpoint checkpoint(model);
  checkpoint.add("optimizer", optimizer).add("scaler", scaler);
  if (ema) checkpoint.add("ema", *ema);
  if (best) checkpoint.add("best", *best);
  auto [at, history, unfinished] = resume(program, checkpoint, bool(recipe.schedule));
  write_preview(program, train_set, loading);

  const random::Key key = random::Key{program.seed}.fold("train");
  const train::Interrupt interrupt;
  train::Progress progress(program.epochs, batches.batches());
  const auto profile = make_profile(program);
  const bool ended = best && best->time_to_stop();  // before it was started again
  // The model without the average that replaces it, and with it, on the same images.
  std::optional<train::Evaluation> plain, replacing;
  for (auto epoch = at.epochs; epoch < program.epochs && !ended; ++epoch) {
    EpochMeter meter(epoch, std::exchange(unfinished, {}));
    const auto so_far = [&] {
      const auto last_step = std::max<std::int64_t>(optimizer.steps() - 1, 0);
      return meter.result(schedule(last_step).lr, progress.seconds());
    };
    const auto first_batch = std::exchange(at.batches, 0);
    progress.begin(epoch, first_batch);
    profile->restart();
    const bool small = epoch < recipe.small_epochs;
    for (const auto& batch : (small ? small_batches : batches).epoch(epoch, first_batch)) {
      profile->lap("load");
      const auto step = optimizer.steps();
      const auto step_key = key.fold(static_cast<std::uint64_t>(step));
      Tape tape;
      auto ctx = Context::training(tape, step_key);
      ctx.observer = profile->observer();
      const auto logits = model(Variable<T>(batch.images), ctx);
      const auto loss = train::cross_entropy(logits, batch, recipe.loss, ctx);
      if (!std::isfinite(loss.item())) {
        train::throw_non_finite(
            loss.item(), step, epoch, batch.index,
            train::find_non_finite(model, optimizer.parameters(), batch.images, step_key));
      }
      scaler.backward(loss);
      scaler.unscale(optimizer);
      if (recipe.clip_norm > 0) optim::clip_grad_norm(optimizer.parameters(), recipe.clip_norm);
      scaler.step(optimizer, schedule(step));
      if (ema) ema->update(model);
      profile->lap("update");

      meter.add(loss.item(), train::accuracy(logits, batch), batch.size());
      progress.step({{"loss", meter.loss()}, {"acc", meter.accuracy()}});
      profile->end_step();
      if (interrupt.requested() && batch.index + 1 < batches.batches()) {
        save_checkpoint(program, checkpoint, history, batch.index + 1, {so_far()});
        return {stopped(epoch + 1), {}};
      }
    }
    auto result = so_far();
    bool stop = interrupt.requested();
    if (best) {
      std::optional<train::Evaluation> raw;
      std::optional<train::Ema::Swap> averaged;
      if (ema) {
        raw = train::evaluate(model, judges);
        averaged.emplace(*ema, model);
      }
      result.validation = train::evaluate(model, judges);
      if (!small) {  // what small images taught is no measure of what others will
        stop |= best->update(result.validation->accuracy, model);
        if (best->improved()) {
          plain = raw, replacing = result.validation;
          nn::save(model, program.file("model.safetensors"));
        }
      }
    }
    std::vector<train::Metric> seen{{"loss", result.loss}, {"acc", result.accuracy}};
    if (result.validation) seen.push_back({"val_acc", result.validation->accuracy});
    progress.finish(seen);
    history.push_back(result);
    save_checkpoint(program, checkpoint, history);
    if (stop) break;
  }
  if (interrupt.requested() && std::ssize(history) < program.epochs) {
    return {stopped(std::ssize(history)), {}};
  }

  if (best) {
    best->restore_best(model);
  } else if (ema) {
    plain = train::evaluate(model, tests);
    ema->copy_to(model);
  }
  const auto predictions = train::predict(model, tests);
  const auto test = train::evaluate(predictions);
  if (plain && !best) replacing = test;
  const auto worst = train::ConfusionMatrix(predictions).worst_class();
  std::printf("test accuracy %s; worst class %s %.2f %% (%.2f to %.2f)\n", to_string(test).c_str(),
              tests.dataset().classes().at(static_cast<std::size_t>(worst.label)).c_str(),
              100 * worst.accuracy(), 100 * worst.low, 100 * worst.high);
  Outcome outcome{.test = predictions,
                  .history = history,
                  .selection = selection,
                  .goals = recipe.goals,
                  .trained = std::ssize(history) > at.epochs};
  const auto warn = [&](const std::string& text) {
    if (text.empty()) return;
    std::printf("%s\n", text.c_str());
    outcome.warnings.push_back(text);
  };
  warn(train::selection_note(selection));
  if (plain) warn(train::warn_if_worse("the average of the weights", *plain, *replacing));
  std::optional<train::Predictions> of_views;
  if (recipe.tta) {
    of_views = train::predict(model, tests, *recipe.tta);
    outcome.tta = train::evaluate(*of_views);
    std::printf("with test-time augmentation %s\n", to_string(*outcome.tta).c_str());
    warn(train::warn_if_worse("test-time augmentation", test, *outcome.tta));
  }
  const auto image = train_set.image_shape();
  outcome.latency = served_latency<T>(model, {1, image[0], image[1], image[2]});
  show_profile(program, *profile);
  write_results(program, model, batches, tests, outcome);
  return {finished(program, interrupt), predictions, of_views};
}

}  // namespace tinynet::examples
