// FashionMNIST with a small convolutional network: data, model, optimizer, loop.
// Claim: at least 91.0 % of the 10,000 test images after 3 epochs, in about a minute on two cores.
// Run: build/release/examples/quickstart
#include <algorithm>
#include <cstdio>
#include <utility>

#include "result.hpp"

using namespace tinynet;
using examples::Program;

struct Images {
  data::Dataset set;
  data::LoaderOptions loading;
};

/// For training and for tests.
std::pair<Images, Images> images(const Program& program) {
  const auto train_set = program.limited(data::fashion_mnist(program.data, data::Split::train));
  const auto normalize = data::channel_statistics(train_set);
  return {{train_set,
           {.batch_size = program.batch_size,
            .augment = data::HorizontalFlip{},
            .normalize = normalize,
            .seed = program.seed}},
          {data::fashion_mnist(program.data, data::Split::test),
           {.batch_size = 500, .shuffle = false, .normalize = normalize}}};
}

template <Scalar T>
int quickstart(const Program& program) {
  examples::begin_memory_peaks();  // of this run alone, where there are several
  const auto [training, testing] = images(program);
  const data::Loader<T> batches(training.set, training.loading);
  const data::Loader<T> tests(testing.set, testing.loading);

  models::Cnn<T> model({.widths = {32, 64, 128}, .batch_norm = true, .hidden = 0});
  nn::initialize(model, program.seed);
  std::printf("%s\n", to_string(nn::summary<T>(model, {1, 28, 28, 1})).c_str());

  optim::Sgd optimizer(nn::parameters(model),
                       {.momentum = 0.9, .weight_decay = 5e-4, .nesterov = true});
  const auto schedule = optim::one_cycle(
      {.max_lr = 0.1, .total_steps = program.epochs * batches.batches(), .cycle_momentum = false});
  const random::Key key = random::Key{program.seed}.fold("train");
  optim::GradScaler scaler({.enabled = program.precision == "float16"});
  train::Checkpoint checkpoint(model);
  checkpoint.add("optimizer", optimizer).add("scaler", scaler);
  auto [at, history, unfinished] = examples::resume(program, checkpoint);
  examples::write_preview(program, training.set, training.loading);
  train::Progress progress(program.epochs, batches.batches());
  const auto profile = examples::make_profile(program);
  const train::Interrupt interrupt;
  for (std::int64_t epoch = at.epochs; epoch < program.epochs; ++epoch) {
    examples::EpochMeter meter(epoch, std::exchange(unfinished, {}));
    const auto so_far = [&] {
      const auto last_step = std::max<std::int64_t>(optimizer.steps() - 1, 0);
      return meter.result(schedule(last_step).lr, progress.seconds());
    };
    const auto first_batch = std::exchange(at.batches, 0);
    progress.begin(epoch, first_batch);
    profile->restart();
    for (const auto& batch : batches.epoch(epoch, first_batch)) {
      profile->lap("load");
      Tape tape;
      auto ctx = Context::training(tape, key.fold(static_cast<std::uint64_t>(optimizer.steps())));
      ctx.observer = profile->observer();
      const auto logits = model(batch.images, ctx);
      const auto loss = ops::cross_entropy(logits, batch.labels, {.label_smoothing = 0.05}, ctx);
      scaler.backward(loss);
      scaler.step(optimizer, schedule(optimizer.steps()));
      profile->lap("update");

      meter.add(loss.item(), train::accuracy(logits, batch), batch.size());
      progress.step({{"loss", meter.loss()}, {"acc", meter.accuracy()}});
      profile->end_step();
      if (interrupt.requested() && batch.index + 1 < batches.batches()) {
        examples::save_checkpoint(program, checkpoint, history, batch.index + 1, {so_far()});
        return examples::stopped(epoch + 1);
      }
    }
    progress.finish({{"loss", meter.loss()}, {"acc", meter.accuracy()}});
    history.push_back(so_far());
    examples::save_checkpoint(program, checkpoint, history);
    if (interrupt.requested() && epoch + 1 < program.epochs) return examples::stopped(epoch + 1);
  }

  const auto predictions = train::predict(model, tests);
  std::printf("test accuracy %s\n", to_string(train::evaluate(predictions)).c_str());
  examples::show_profile(program, *profile);
  examples::write_results(
      program, model, batches, tests,
      {.test = predictions, .history = history, .trained = std::ssize(history) > at.epochs});
  return examples::finished(program, interrupt);
}

int main(int argc, char** argv) {
  const auto program =
      Program::parse(argc, argv,
                     {.claim = "Trains a small convolutional network on FashionMNIST.",
                      .name = "quickstart",
                      .epochs = 3,
                      .select = ""});
  return examples::run(program, []<class T>(const Program& one) { return quickstart<T>(one); });
}
