// Checkpoints: a run that was interrupted goes on with the bits of one that was not.
#include <cstdio>
#include <filesystem>
#include <string>

#include <doctest/doctest.h>
#include <unistd.h>

#include <tinynet/data/augment.hpp>
#include <tinynet/data/loader.hpp>
#include <tinynet/nn.hpp>
#include <tinynet/ops/loss.hpp>
#include <tinynet/optim/one_cycle.hpp>
#include <tinynet/optim/sgd.hpp>
#include <tinynet/train/checkpoint.hpp>

#include "messages.hpp"

using namespace tinynet;
using tests::contains;
using tests::message_of;

namespace {

data::Dataset random_images() {
  Tensor<std::uint8_t> images({60, 8, 8, 1});
  Tensor<std::int32_t> labels({60});
  for (std::int64_t i = 0; i < images.size(); ++i) {
    images.data()[i] = static_cast<std::uint8_t>(random::bits({1}, static_cast<std::uint64_t>(i)));
  }
  for (std::int64_t i = 0; i < 60; ++i) labels(i) = static_cast<std::int32_t>(i % 3);
  return data::Dataset("random", images, labels, {"a", "b", "c"});
}

nn::Sequential<float> network(int width = 6) {
  return nn::Sequential<float>(
      nn::Conv2d<float>({.in = 1, .out = width, .padding = 1, .bias = false}),
      nn::BatchNorm2d<float>({.channels = width}), nn::Relu<float>(), nn::Dropout2d<float>{0.2},
      nn::GlobalAveragePool<float>(), nn::Linear<float>({.in = width, .out = 3}));
}

/// A model and its optimizer, trained epoch by epoch with augmentation and dropout.
struct Run {
  nn::Sequential<float> model = network();
  optim::Sgd<float> optimizer;
  data::Loader<float> loader{random_images(),
                             {.batch_size = 16, .augment = data::HorizontalFlip{}, .seed = 5}};

  Run() : optimizer(initialized(model), {.momentum = 0.9, .weight_decay = 1e-3}) {}
  static ParameterList<float> initialized(nn::Sequential<float>& model) {
    nn::initialize(model, 3);
    return nn::parameters(model);
  }

  void train(std::int64_t first, std::int64_t last) {
    const auto schedule =
        optim::one_cycle({.max_lr = 0.1, .total_steps = 4 * loader.batches()});
    for (auto epoch = first; epoch < last; ++epoch) {
      for (const auto& batch : loader.epoch(epoch)) {
        Tape tape;
        const auto step = static_cast<std::uint64_t>(optimizer.steps());
        auto ctx = Context::training(tape, random::Key{7}.fold(step));
        ops::cross_entropy(model(batch.images, ctx), batch.labels, {}, ctx).backward();
        optimizer.step(schedule(optimizer.steps()));
      }
    }
  }
};

bool same_bits(Run& a, Run& b) {
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
  return same;
}

struct TemporaryFile {
  std::filesystem::path path = std::filesystem::temp_directory_path() /
                               ("tinynet_checkpoint_" + std::to_string(::getpid()));
  ~TemporaryFile() { std::filesystem::remove(path); }
};

}  // namespace

TEST_CASE("two epochs and two more are four, bit for bit, on one thread and on two") {
  const TemporaryFile file;
  Run unbroken;
  set_num_threads(2);
  unbroken.train(0, 4);
  for (const int threads : {1, 2}) {
    CAPTURE(threads);
    set_num_threads(threads);
    Run first;
    first.train(0, 2);
    CHECK(!same_bits(first, unbroken));
    train::save_checkpoint(file.path, first.model, first.optimizer, 2, {{"note", "half"}});
    Run second;
    CHECK(train::load_checkpoint(file.path, second.model, second.optimizer) == 2);
    CHECK(same_bits(first, second));
    second.train(2, 4);
    CHECK(same_bits(second, unbroken));
  }
  CHECK(io::Safetensors::open(file.path).metadata().at("note") == "half");
}

TEST_CASE("a file with a model alone is no checkpoint") {
  const TemporaryFile file;
  Run run;
  nn::save(run.model, file.path);
  const auto text = message_of<DataError>(
      [&] { train::load_checkpoint(file.path, run.model, run.optimizer); });
  CHECK(contains(text, "[load_checkpoint] the file is not a checkpoint"));
  CHECK(contains(text, file.path.string()));
  CHECK(contains(text, "hint: for a file with a model alone use nn::load"));
}

TEST_CASE("a checkpoint of another architecture says what differs and changes nothing") {
  const TemporaryFile file;
  auto wider = network(8);
  nn::initialize(wider, 1);
  optim::Sgd<float> optimizer(nn::parameters(wider), {.lr = 0.1});
  train::save_checkpoint(file.path, wider, optimizer, 1);
  Run run, untouched;
  const auto text = message_of<StateError>(
      [&] { train::load_checkpoint(file.path, run.model, run.optimizer); });
  CHECK(contains(text, "0.weight: expected [6, 1, 3, 3], file [8, 1, 3, 3]"));
  CHECK(same_bits(run, untouched));
}
