#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <tinynet/core/cpu.hpp>
#include <tinynet/core/function.hpp>
#include <tinynet/core/trace.hpp>
#include <tinynet/optim/grad_scaler.hpp>
#include <tinynet/optim/optimizer.hpp>
#include <tinynet/optim/schedule.hpp>
#include <tinynet/train/batch.hpp>
#include <tinynet/train/diagnosis.hpp>
#include <tinynet/train/evaluate.hpp>
#include <tinynet/train/history.hpp>
#include <tinynet/train/non_finite.hpp>
#include <tinynet/train/progress.hpp>
#include <tinynet/train/step_observer.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// What one step came to, and where the training stands after it.
struct StepResult {
  std::int64_t epoch = 0, batch = 0;  // counted from 0; a run that ends here goes on with the next
  double loss = 0;
};

template <Scalar T>
struct FitOptions {
  std::int64_t epochs = 10;
  std::int64_t first_epoch = 0;  // where a run goes on: what Checkpoint::load returned
  std::int64_t first_batch = 0;  // of that epoch; behind its last one, fit begins with the next
  std::optional<optim::Schedule> schedule = {};  // of the step; none: the optimizer's own lr
  ops::CrossEntropyOptions loss = {};
  optim::GradScaler* scaler = nullptr;  // of the loss; none: one of its own for images in float16
  const data::Loader<T>* validation = nullptr;
  /// The training images without augmentation: evaluated after each epoch, for the accuracy on batches
  /// that were augmented, by a model that changed, says little. The gap is named at the end.
  const data::Loader<T>* clean_training = nullptr;
  std::uint64_t seed = 1;                          // of dropout and what else a forward pass draws
  bool check_nan = true;                           // a NaN loss names the layer it comes from
  Function<bool(const StepResult&)> on_step = {};  // after an update; false ends the training
  Function<bool(const EpochResult&)> on_epoch = {};  // false ends the training
  StepObserver* watch = nullptr;                     // a train::Profile, say
  ProgressOutput progress = ProgressOutput::to(stdout);
};

/// Says once what makes a 16-bit network slower than it might be.
template <Scalar T>
void note_slow_precision() {
  if constexpr (is_any_of<T, bfloat16, float16>) {
    if (cpu().amx_bf16) return;
    const bool dots = is_any_of<T, bfloat16> && cpu().fast_bf16_dots;
    trace({type_name<T>(), " without AMX (", cpu().amx_refusal, "): products run in ",
           dots ? "AVX512-BF16, at up to twice the speed of float"
                : "fp32, do not expect more speed than from float"});
  }
}

/// The training loop in one function: cross-entropy, one optimizer step a batch, an evaluation
/// after each epoch where there is a validation loader.
///
///     train::fit(model, optimizer, loader, {.epochs = 5, .validation = &test_loader});
///
/// It is these lines and no more, so write them out where you want them different:
///
///     for (const auto& batch : loader.epoch(e)) {
///       Tape tape;
///       auto ctx = Context::training(tape, key.fold(optimizer.steps()));
///       const auto loss = train::cross_entropy(model(batch.images, ctx), batch, {}, ctx);
///       loss.backward();
///       optimizer.step(schedule(optimizer.steps()));
///     }
///
/// The loss of a float16 network is scaled, as by optim::GradScaler: scaler.backward(loss) and
/// scaler.step(optimizer, ...) there. One that takes images in float, as models::Airbench<float16>,
/// wants options.scaler.
///
/// Throws StateError, before the step, if a loss is not finite.
template <class Model, class P, Scalar T>
History fit(Model& model, optim::Optimizer<P>& optimizer, const data::Loader<T>& loader,
            const FitOptions<T>& options = {}) {
  note_slow_precision<T>();
  std::optional<optim::GradScaler> own_scaler;
  auto* scaler = options.scaler;
  if (std::is_same_v<T, float16> && !scaler) scaler = &own_scaler.emplace();
  const auto update = [&](const auto&... settings) {
    if (scaler) scaler->step(optimizer, settings...);
    else optimizer.step(settings...);
  };
  Progress progress(options.epochs, loader.batches(), options.progress);
  History history;
  for (auto epoch = options.first_epoch; epoch < options.epochs; ++epoch) {
    EpochResult result;
    result.epoch = epoch;
    Mean loss, accuracy;
    const auto first_batch = epoch == options.first_epoch ? options.first_batch : 0;
    if (first_batch > 0 && first_batch == loader.batches()) continue;  // it had ended
    progress.begin(epoch, first_batch);
    if (options.watch) options.watch->restart();
    for (const auto& batch : loader.epoch(epoch, first_batch)) {
      if (options.watch) options.watch->lap("load");
      const auto step = optimizer.steps();
      const auto key = random::Key{options.seed}.fold(static_cast<std::uint64_t>(step));
      Tape tape;
      auto ctx = Context::training(tape, key);
      if (options.watch) ctx.observer = options.watch->observer();
      const auto logits = model(Variable<T>(batch.images), ctx);
      const auto mean = cross_entropy(logits, batch, options.loss, ctx);
      const double value = mean.item();
      if (!std::isfinite(value)) {
        std::optional<NonFinite> found;
        if (options.check_nan) {
          found = find_non_finite(model, optimizer.parameters(), batch.images, key);
        }
        throw_non_finite(value, step, epoch, batch.index, found);
      }
      if (scaler) scaler->backward(mean);
      else mean.backward();
      if (options.schedule) {
        const auto settings = (*options.schedule)(step);
        update(settings);
        result.lr = settings.lr;
      } else {
        update();
      }
      if (options.watch) options.watch->lap("update");
      loss.add(value, static_cast<double>(batch.size()));
      accuracy.add(train::accuracy(logits, batch), static_cast<double>(batch.size()));
      result.samples += batch.size();
      progress.step({{"loss", loss.value()}, {"acc", accuracy.value()}});
      if (options.watch) options.watch->end_step();
      if (options.on_step && !options.on_step({epoch, batch.index, value})) return history;
    }
    result.loss = loss.value();
    result.accuracy = accuracy.value();
    result.seconds = progress.seconds();
    Metric seen[4] = {{"loss", result.loss}, {"acc", result.accuracy}};
    std::size_t metrics = 2;
    if (options.clean_training) {
      result.clean = evaluate(model, *options.clean_training);
      seen[metrics++] = {"clean_acc", result.clean->accuracy};
    }
    if (options.validation) {
      result.validation = evaluate(model, *options.validation);
      seen[metrics++] = {"val_acc", result.validation->accuracy};
    }
    progress.finish(Metrics(seen, metrics));
    history.push_back(result);
    if (options.on_epoch && !options.on_epoch(result)) break;
  }
  if (options.progress.write && !history.empty()) {
    const auto& last = history.back();
    if (last.clean && last.validation) {
      options.progress.write(Text({describe_gap(*last.clean, *last.validation), "\n"}).string());
    }
  }
  return history;
}

}  // namespace tinynet::inline TINYNET_ABI::train
