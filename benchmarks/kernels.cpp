// Kernels at the shapes of training, and every case of the tests' list, timed the Google
// Benchmark way: FLOP/s, GB/s, and shares of the peaks that this run measured at its start.
// Run: ./kernels --benchmark_filter=conv2d
#include <cstdio>
#include <string>

#include <tinynet/core/config.hpp>

#include "benchmark.hpp"

int main(int argc, char** argv) {
  using namespace tinynet;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const auto& peaks = benchmarks::peaks();
  const auto giga = [](double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", value * 1e-9);
    return std::string(text);
  };
  benchmark::AddCustomContext("cpu", cpu().name);
  benchmark::AddCustomContext("build", abi);
  benchmark::AddCustomContext("threads", std::to_string(num_threads()));
  benchmark::AddCustomContext("peak GFLOP/s, fp32 (%fp32)", giga(peaks.float_operations));
  benchmark::AddCustomContext("peak GFLOP/s, bf16 tiles (%amx)", giga(peaks.bfloat16_operations));
  benchmark::AddCustomContext("peak GB/s, copied (%copy)", giga(peaks.copy_bytes));
  benchmark::AddCustomContext("peak GB/s, read", giga(peaks.read_bytes));
  benchmarks::add_products();
  benchmarks::add_elementwise_passes();
  benchmarks::add_norm_passes();
  benchmarks::add_pool_passes();
  benchmarks::add_layout_passes();
  benchmarks::add_window_passes();
  benchmarks::add_updates();
  benchmarks::add_case_list();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
