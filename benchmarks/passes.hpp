#pragma once

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include <tinynet/tensor/tensor.hpp>

#include "benchmark.hpp"

/// What the passes between the products share: operands, and rows that say how near to the speed of
/// memory a pass comes.
namespace tinynet::benchmarks {

/// Activations of a batch: 33.5 million elements, 67 MB of bfloat16, which no cache of these machines
/// keeps from one call to the next.
inline constexpr std::int64_t images = 512, side = 32, channels = 64;

/// Random values in (low, high). A few thousand, again and again: drawing each would take longer than
/// the pass that reads them.
template <class T>
Tensor<T> filled(const Shape& shape, float low = -2, float high = 2) {
  constexpr std::int64_t period = 8209;  // a prime: rows and images differ
  const auto drawn = Tensor<float>::uniform({period}, {17}, low, high);
  Tensor<T> tensor(shape);
  parallel_ranges(tensor.size(), 64 * period, [&](Range range) {
    for (auto i = range.begin; i < range.end; ++i) {
      tensor.data()[i] = static_cast<T>(drawn.data()[i % period]);
    }
  });
  return tensor;
}

/// Bytes of all operands, each once.
template <class... Tensors>
double bytes_of(const Tensors&... tensors) {
  return (static_cast<double>(tensors.size() * static_cast<std::int64_t>(sizeof *tensors.data())) +
          ...);
}

/// Seconds of a call.
template <class F>
double seconds_of_call(F&& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Copies 64 MB to another place, as `measure_memory` (peaks.hpp) does; returns the seconds.
inline double copy_seconds() {
  constexpr std::int64_t size = 16 << 20, grain = 1 << 18;
  static const auto from = Tensor<float>::ones({size});
  static auto to = Tensor<float>::zeros({size});
  return seconds_of_call([] {
    parallel_ranges(size, grain, [](Range range) {
      std::copy_n(from.data() + range.begin, range.size(), to.data() + range.begin);
    });
  });
}

/// Times `f`, which has to move `bytes`, and a copy after each call, in turn: memory is shared with
/// other machines and its speed changes by half within a minute. `of_copy` is the rate of `f` over
/// the rate of these copies, read and written bytes counted: 1 is the speed of memory, and what only
/// reads, or writes over what it reads, can be above.
template <class F>
void measure_pass(benchmark::State& state, double bytes, F&& f) {
  constexpr double copied = 2 * 4.0 * (16 << 20);
  f();
  double seconds = 0, copying = 0;
  for (auto _ : state) {
    const double once = seconds_of_call(f);
    copying += copy_seconds();
    seconds += once;
    state.SetIterationTime(once);
  }
  const auto calls = static_cast<double>(state.iterations());
  state.counters["MB"] = bytes * 1e-6;
  state.counters["GB/s"] = bytes * calls / seconds * 1e-9;
  state.counters["of_copy"] = bytes / seconds * copying / copied;
}

/// A row `memory/name/T/shape`, timed by `f(state)`.
template <class T, class F>
void add_pass(const std::string& name, const Shape& shape, F f) {
  std::string sizes;
  for (const auto size : shape) sizes += (sizes.empty() ? "" : "x") + std::to_string(size);
  const auto row = "memory/" + name + "/" + type_name<T>() + "/" + sizes;
  benchmark::RegisterBenchmark(row.c_str(), std::move(f))
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond)
      ->MinTime(0.15);
}

inline const Shape image{images, side, side, channels};

/// What a pass over x [image] to y reads and writes, both known from here on.
template <Scalar T>
struct Activations {
  const Tensor<T> x = filled<T>(image);
  Tensor<T> y = Tensor<T>(image);
};

}  // namespace tinynet::benchmarks
