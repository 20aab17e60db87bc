#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <type_traits>
#include <vector>

#include <unistd.h>

#include <tinynet/data/augment.hpp>
#include <tinynet/data/loader.hpp>
#include <tinynet/nn.hpp>
#include <tinynet/ops/loss.hpp>
#include <tinynet/optim/one_cycle.hpp>
#include <tinynet/optim/sgd.hpp>
#include <tinynet/train/checkpoint.hpp>
#include <tinynet/train/ema.hpp>

/// A small training that tests of checkpoints break off and go on with.
namespace tinynet::tests {

inline data::Dataset random_images() {
  Tensor<std::uint8_t> images({60, 8, 8, 1});
  Tensor<std::int32_t> labels({60});
  for (std::int64_t i = 0; i < images.size(); ++i) {
    images.data()[i] = static_cast<std::uint8_t>(random::bits({1}, static_cast<std::uint64_t>(i)));
  }
  for (std::int64_t i = 0; i < 60; ++i) labels(i) = static_cast<std::int32_t>(i % 3);
  return data::Dataset("random", images, labels, {"a", "b", "c"});
}

inline nn::Sequential<float> network(int width = 6) {
  return nn::Sequential<float>(
      nn::Conv2d<float>({.in = 1, .out = width, .padding = 1, .bias = false}),
      nn::BatchNorm2d<float>({.channels = width}), nn::Relu<float>(), nn::Dropout2d<float>{0.2},
      nn::GlobalAveragePool<float>(), nn::Linear<float>({.in = width, .out = 3}));
}

/// A model, its optimizer and its average, trained epoch by epoch with augmentation and dropout.
struct Run {
  static constexpr std::int64_t total_epochs = 4;
  nn::Sequential<float> model = network();
  optim::Sgd<float> optimizer;
  data::Loader<float> loader{random_images(),
                             {.batch_size = 16, .augment = data::HorizontalFlip{}, .seed = 5}};

  train::Ema ema;
  train::Checkpoint checkpoint{model};

  Run()
      : optimizer(initialized(model), {.momentum = 0.9, .weight_decay = 1e-3}),
        ema(model, {.decay = 0.9}) {
    checkpoint.add("optimizer", optimizer).add("ema", ema);
  }
  static ParameterList<float> initialized(nn::Sequential<float>& model) {
    nn::initialize(model, 3);
    return nn::parameters(model);
  }

  /// `after(epoch, batch)` is called after each step; false ends the training.
  template <class After>
  void train(std::int64_t first, std::int64_t last, std::int64_t first_batch, After after) {
    const auto schedule =
        optim::one_cycle({.max_lr = 0.1, .total_steps = total_epochs * loader.batches()});
    for (auto epoch = first; epoch < last; ++epoch) {
      for (const auto& batch : loader.epoch(epoch, epoch == first ? first_batch : 0)) {
        Tape tape;
        const auto step = static_cast<std::uint64_t>(optimizer.steps());
        auto ctx = Context::training(tape, random::Key{7}.fold(step));
        ops::cross_entropy(model(batch.images, ctx), batch.labels, {}, ctx).backward();
        optimizer.step(schedule(optimizer.steps()));
        ema.update(model);
        if (!after(epoch, batch.index)) return;
      }
    }
  }
  void train(std::int64_t first, std::int64_t last) {
    train(first, last, 0, [](auto, auto) { return true; });
  }
};

inline bool same_bits(Run& a, Run& b) {
  bool same = true;
  const nn::Members first(a.model), second(b.model);
  for (std::size_t i = 0; i < first.entries().size(); ++i) {
    const auto compare = [&](const Tensor<float>& x, const Tensor<float>& y) {
      same &= std::equal(x.span().begin(), x.span().end(), y.span().begin());
    };
    const auto &x = first.entries()[i].member, &y = second.entries()[i].member;
    if (const auto* p = std::get_if<Parameter<float>*>(&x)) {
      compare((*p)->value(), std::get<Parameter<float>*>(y)->value());
    } else {
      compare(*std::get<Tensor<float>*>(x), *std::get<Tensor<float>*>(y));
    }
  }
  std::vector<Tensor<float>> averages;
  const auto collect = [&](const std::string&, const auto& tensor) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(tensor)>, Tensor<float>>) {
      averages.push_back(tensor);
    }
  };
  a.ema.visit_state(collect);
  const auto half = averages.size();
  b.ema.visit_state(collect);
  for (std::size_t i = 0; i < half; ++i) {
    const auto x = averages[i].span(), y = averages[half + i].span();
    same &= std::equal(x.begin(), x.end(), y.begin(), y.end());
  }
  return same && half > 0;
}

struct TemporaryFolder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("tinynet_checkpoint_" + std::to_string(::getpid()));
  TemporaryFolder() { std::filesystem::create_directories(path); }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
};

}  // namespace tinynet::tests
