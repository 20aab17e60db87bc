// What training holds on to: gradients written in place, nothing kept that no derivative reads, a
// process that does not grow, and the report.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include <tinynet/core/memory_report.hpp>
#include <tinynet/data/augment.hpp>
#include <tinynet/data/loader.hpp>
#include <tinynet/nn.hpp>
#include <tinynet/ops.hpp>
#include <tinynet/optim/sgd.hpp>
#include <tinynet/train/loop.hpp>

#include "messages.hpp"
#include "sanitized.hpp"

using namespace tinynet;
using tests::contains;

namespace {

std::size_t in_use() { return memory_statistics().bytes_in_use; }

const Shape image{8, 16, 16, 32};
const std::size_t image_bytes = Buffer(static_cast<std::size_t>(image.elements()) * 4).capacity();

/// Bytes at the high-water mark of a backward pass through one op, its output's gradient included,
/// above what stood there before it; x is a leaf that others hold.
template <class F>
std::size_t backward_peak(F op) {
  Tape tape;
  auto ctx = Context::training(tape, {1});
  const auto x = Variable<float>::leaf(Tensor<float>::normal(image, {2}), tape);
  const auto y = op(x, ctx);
  const auto seed = Tensor<float>::ones(y.shape());
  const auto before = in_use();
  reset_memory_peak();
  y.backward(seed);
  return memory_statistics().peak_bytes_in_use - before;
}

/// Bytes that the tape keeps for an op, its output not counted.
template <class F>
std::size_t kept(F op) {
  Tape tape;
  auto ctx = Context::training(tape, {1});
  auto x = Variable<float>::leaf(Tensor<float>::normal(image, {2}), tape);
  const auto before = in_use();
  auto y = op(std::move(x), ctx);
  x = {};
  y = Variable<float>({}, y.node());
  return in_use() + image_bytes - before;  // x itself was there before
}

data::Dataset noise(std::int64_t count) {
  Tensor<std::uint8_t> images({count, 12, 12, 1});
  Tensor<std::int32_t> labels({count});
  for (std::int64_t i = 0; i < images.size(); ++i) {
    images.data()[i] = static_cast<std::uint8_t>(random::bits({1}, std::uint64_t(i)));
  }
  for (std::int64_t i = 0; i < count; ++i) labels(i) = static_cast<std::int32_t>(i % 3);
  return data::Dataset("noise", images, labels, {"a", "b", "c"});
}

}  // namespace

TEST_CASE("gradients of elementwise ops are written over what they come from") {
  const auto small = image_bytes / 4;  // sums, masks of channels
  nn::BatchNorm2d<float> norm({.channels = 32});
  nn::initialize(norm, 1);
  const auto gate = Tensor<float>::ones({8, 32});
  const auto other = Tensor<float>::ones(image);
  const auto in_place = [&](auto op) { return backward_peak(op) < image_bytes + small; };
  CHECK(in_place([](auto& x, Context& c) { return ops::relu(x, c); }));
  CHECK(in_place([](auto& x, Context& c) { return ops::silu(x, c); }));
  CHECK(in_place([](auto& x, Context& c) { return ops::scale(x, 2, c); }));
  CHECK(in_place([](auto& x, Context& c) { return ops::dropout(x, 0.5, c); }));
  CHECK(in_place([](auto& x, Context& c) { return ops::dropout2d(x, 0.5, c); }));
  CHECK(in_place([&](auto& x, Context& c) { return ops::multiply<float>(x, other, c); }));
  CHECK(in_place([&](auto& x, Context& c) { return ops::scale_channels<float>(x, gate, c); }));
  CHECK(in_place([&](auto& x, Context& c) { return norm(x, c); }));
  CHECK(in_place(
      [&](auto& x, Context& c) { return nn::norm_act<float>(norm, x, {}, {}, ops::Relu{}, c); }));
  CHECK(in_place([](auto& x, Context& c) { return ops::flatten(x, c); }));
}

TEST_CASE("an op keeps what its derivative reads, and no more") {
  const auto small = image_bytes / 4;
  const auto nothing = [&](std::size_t bytes) { return bytes < small; };
  const auto one = [&](std::size_t b) { return b >= image_bytes && b < image_bytes + small; };
  CHECK(nothing(kept([](auto x, Context& c) { return ops::scale(x, 2, c); })));
  CHECK(nothing(kept([](auto x, Context& c) { return ops::dropout(x, 0.5, c); })));
  CHECK(nothing(kept([](auto x, Context& c) { return ops::avg_pool2d(x, {}, c); })));
  CHECK(nothing(kept([](auto x, Context& c) { return ops::pad(x, {1, 1, 1, 1}, c); })));
  CHECK(nothing(kept([](auto x, Context& c) { return ops::add(x, x, c); })));
  CHECK(one(kept([](auto x, Context& c) { return ops::relu(std::move(x), c); })));
  CHECK(one(kept([](auto x, Context& c) { return ops::silu(std::move(x), c); })));
  CHECK(one(kept([](auto x, Context& c) { return ops::multiply(x, x, c); })));
}

TEST_CASE("images whose weights are frozen are not kept") {
  nn::Sequential<float> model(nn::Conv2d<float>({.in = 32, .out = 32, .padding = 1}),
                              nn::DepthwiseConv2d<float>({.channels = 32}), nn::Flatten<float>(),
                              nn::Linear<float>({.in = 256 * 32, .out = 4}));
  nn::initialize(model, 1);
  const auto run = [&](bool trainable) {
    nn::Members(model).for_parameters([&](const std::string& name, auto& p) {
      p.state()->trainable = trainable || !contains(name, "weight");
    });
    return kept([&](auto x, Context& c) { return model(std::move(x), c); });
  };
  run(true);  // packs weights
  CHECK(run(true) >= 3 * image_bytes);
  CHECK(run(false) < image_bytes / 4);
}

TEST_CASE("a process that trains does not grow from epoch to epoch") {
  // Everything that a run does: reading ahead, augmentation, evaluation, a short last batch.
  const data::Loader<float> training(
      noise(300), {.batch_size = 64, .augment = data::HorizontalFlip{}, .prefetch = 2});
  const data::Loader<float> tests(noise(100), {.batch_size = 64, .shuffle = false});
  nn::Sequential<float> model(
      nn::Conv2d<float>({.in = 1, .out = 16, .padding = 1, .bias = false}),
      nn::BatchNorm2d<float>({.channels = 16}), nn::Relu<float>(), nn::MaxPool2d<float>(),
      nn::Checkpoint<float>(nn::Sequential<float>(
          nn::Conv2d<float>({.in = 16, .out = 16, .padding = 1}), nn::Dropout2d<float>{0.1})),
      nn::GlobalAveragePool<float>(), nn::Linear<float>({.in = 16, .out = 3}));
  nn::initialize(model, 1);
  optim::Sgd<float> sgd(nn::parameters(model), {.lr = 0.01, .momentum = 0.9});
  std::vector<ResidentMemory> resident;
  std::vector<MemoryStatistics> pool;
  train::fit(model, sgd, training,
             {.epochs = 8,
              .validation = &tests,
              .clean_training = &tests,
              .on_epoch =
                  [&](const train::EpochResult&) {
                    resident.push_back(resident_memory());
                    pool.push_back(memory_statistics());
                    return true;
                  },
              .progress = {}});
  REQUIRE(pool.size() == 8);
  for (std::size_t epoch = 2; epoch < pool.size(); ++epoch) {
    CHECK(pool[epoch].bytes_in_use == pool[1].bytes_in_use);
    CHECK(pool[epoch].peak_bytes_in_use == pool[1].peak_bytes_in_use);
    CHECK(pool[epoch].system_allocations == pool[1].system_allocations);
  }
  if (resident[1].now == 0) return;  // the system does not say
  // One image of the 64 by 12 by 12 by 16 floats kept in every step would be 3 MB an epoch.
  CHECK(resident.back().now <= resident[1].now + (1 << 20));
  CHECK(resident.back().peak <= resident[1].peak + (1 << 20));
}

TEST_CASE("resident memory follows what is touched") {
  const auto before = resident_memory();
  if (before.now == 0) return;
  constexpr std::size_t bytes = 64 << 20;
  {
    trim_memory();
    const Buffer buffer(bytes);
    std::memset(buffer.data(), 1, bytes);
    CHECK(resident_memory().now >= before.now + bytes / 10 * 9);
  }
  CHECK(resident_memory().peak >= before.now + bytes / 10 * 9);
  trim_memory();
  if (!tests::sanitized) CHECK(resident_memory().now <= before.now + bytes / 10);
}

TEST_CASE("storage of whole huge pages takes no page more") {
  trim_memory();
  const auto before = resident_memory();
  if (before.now == 0 || tests::sanitized) return;
  constexpr std::size_t bytes = 13 << 19;  // 6.5 MiB, a size class: three huge pages and a quarter
  std::vector<Buffer> buffers;
  for (int i = 0; i < 8; ++i) {
    buffers.emplace_back(bytes);
    std::memset(buffers.back().data(), 1, bytes);
  }
  CHECK(resident_memory().now <= before.now + 8 * bytes + (2 << 20));
}

TEST_CASE("an optimizer that lays parameters flat leaves no second copy of them") {
  nn::Linear<float> layer({.in = 1000, .out = 1000});
  nn::initialize(layer, 1);
  const optim::Sgd<float> sgd(nn::parameters(layer), {.lr = 0.1});
  CHECK(memory_statistics().bytes_pooled() < std::size_t{1} << 20);
}

TEST_CASE("the report says what is in use, pooled and at most in use") {
  trim_memory();
  reset_memory_peak();
  {
    const Buffer big(50 << 20);
    reset_memory_peak();
  }
  const auto statistics = memory_statistics();
  CHECK(statistics.bytes_pooled() >= std::size_t{50} << 20);
  CHECK(statistics.bytes_pooled() + statistics.bytes_in_use == statistics.bytes_from_system);
  const auto report = memory_report();
  CAPTURE(report);
  char line[96];
  std::snprintf(line, sizeof line, "pooled      %9.1f MB  ready to be used again\n",
                static_cast<double>(statistics.bytes_pooled()) * 1e-6);
  CHECK(contains(report, line));
  std::snprintf(line, sizeof line, "high water  %9.1f MB  the most that was in use at a time\n",
                static_cast<double>(statistics.peak_bytes_in_use) * 1e-6);
  CHECK(contains(report, line));
  CHECK(contains(report, "MB  asked for in " + std::to_string(statistics.system_allocations)));
  CHECK(contains(report, "MB  of the whole process\n"));
}
