#pragma once

#include <chrono>
#include <string>
#include <utility>

#include <benchmark/benchmark.h>

#include "peaks.hpp"

namespace tinynet::benchmarks {

/// What one call has to do at least: operations, and bytes if each operand crosses the memory bus
/// once. Benchmarks that do nearly no arithmetic leave `operations` at 0.
struct Work {
  double operations = 0;
  double bytes = 0;
  bool bfloat16 = false;  // tiles could form the products
};

/// Times `f` and says what it amounts to, as rates and as shares of the peaks of this run.
template <class F>
void measure(benchmark::State& state, const Work& work, F&& f) {
  using clock = std::chrono::steady_clock;
  f();  // buffers, page faults, packed weights
  const auto start = clock::now();
  for (auto _ : state) f();
  const double seconds = std::chrono::duration<double>(clock::now() - start).count() /
                         static_cast<double>(state.iterations());
  const auto show = [&](const char* name, double value) { state.counters[name] = value; };
  if (work.operations > 0) {
    show("FLOP/s", work.operations / seconds);
    show("%fp32", 100 * work.operations / seconds / peaks().float_operations);
    if (work.bfloat16 && peaks().bfloat16_operations > 0) {
      show("%amx", 100 * work.operations / seconds / peaks().bfloat16_operations);
    }
  }
  if (work.bytes > 0) {
    show("GB/s", work.bytes / seconds * 1e-9);
    show("%copy", 100 * work.bytes / seconds / peaks().copy_bytes);
  }
}

template <class F>
benchmark::internal::Benchmark* add(const std::string& name, F f) {
  return benchmark::RegisterBenchmark(name.c_str(), std::move(f))
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

void add_products();   // convolutions, matrix products: kernels by themselves, each pass
// What lies between the products, against the speed of memory: each kernel by itself.
void add_elementwise_passes();
void add_norm_passes();
void add_pool_passes();
void add_layout_passes();
void add_window_passes();
void add_updates();    // the optimizers
void add_case_list();  // every case of tests/cases.hpp, forward and backward

}  // namespace tinynet::benchmarks
