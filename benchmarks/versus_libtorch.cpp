// Training steps of tinynet and of libtorch (forward, loss, backward, update), and forward passes,
// in turn in one run on the same number of threads, each side in its fastest setting. A forward pass is
// that of a model as it is served: ours with batch normalisation folded and weights packed, libtorch's in eval(),
// which has no folding of its own.
// Run: ./versus_libtorch [--only TEXT] [--precision best|fp32|bf16] [--threads N] [--pairs N]
//                        [--profile] [--json FILE]
#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <tinynet/core/cpu.hpp>
#include <tinynet/core/error.hpp>
#include <tinynet/core/parallel.hpp>
#include <tinynet/io/atomic_file.hpp>

#include "libtorch_steps.hpp"
#include "pairs.hpp"
#include "peak_memory.hpp"
#include "peaks.hpp"
#include "tinynet_steps.hpp"

using namespace tinynet;
using namespace tinynet::benchmarks;

namespace {

struct Row {
  std::string name;
  Task task;
  std::string precision = "best";  // or the one in which both sides have to run
};

const std::vector<Row> rows = {
    {"V7, batch 256", {Network::v7, 256}},
    {"V7, batch 256, fp32", {Network::v7, 256}, "fp32"},
    {"ResNet-18, batch 128", {Network::resnet18, 128}},
    {"depthwise, batch 128", {Network::depthwise, 128}},
    {"toy CNN, batch 128", {Network::toy, 128}},
    {"toy CNN, batch 128, fp32", {Network::toy, 128}, "fp32"},
    {"toy CNN, batch 4", {Network::toy, 4}},
    {"toy CNN, batch 4, fp32", {Network::toy, 4}, "fp32"},
    {"airbench94, batch 1000", {Network::airbench94, 1000}},
    {"V7, forward, batch 1", {Network::v7, 1, false}},
    {"V7, forward, batch 256", {Network::v7, 256, false}},
    {"depthwise, forward, batch 1", {Network::depthwise, 1, false}},
};

struct Options {
  std::string only, precision = "best", json;
  int threads = num_threads(), pairs = 9;
  bool profile = false;
  std::vector<std::string> memory_of;  // row, side, variant: what a process of its own measures
};

Options parse(int argc, char** argv) {
  Options options;
  CLI::App app("Training steps and forward passes of tinynet and of libtorch, in turn.");
  app.add_option("--only", options.only, "the row of this name, or those whose name contains it");
  app.add_option("--precision", options.precision, "of both sides, in rows that leave it open")
      ->capture_default_str()
      ->check(CLI::IsMember({"best", "fp32", "bf16"}));
  app.add_option("--threads", options.threads, "of each side")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--pairs", options.pairs, "how often each side is timed")
      ->capture_default_str()
      ->check(CLI::Range(3, 1000));
  app.add_flag("--profile", options.profile, "say where the time of our steps goes");
  app.add_option("--json", options.json, "file for the results");
  app.add_option("--memory-of", options.memory_of)->group("")->expected(3);  // by ourselves
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  return options;
}

std::vector<Variant> variants_of(const std::string& side, const Task& task) {
  return side == "tinynet" ? benchmarks::variants(task) : libtorch::variants(task);
}

/// The variant that a short look finds the fastest.
Variant fastest_variant(const std::string& side, const Row& row, const std::string& precision) {
  Variant best;
  double least = 0;
  for (const auto& each : variants_of(side, row.task)) {
    if (precision != "best" && each.name.rfind(precision, 0) != 0) continue;
    const auto step = each.make();
    step.run();
    const double seconds = quick_seconds(step.run);
    if (best.make && seconds >= least) continue;
    best = each;
    least = seconds;
  }
  return best;
}

/// Bytes by which a process that does nothing but this grows at most; asks one.
double memory_of(const Options& options, const Row& row, const char* side, const Variant& variant) {
  return ask_own_process(
      {"--threads", std::to_string(options.threads), "--memory-of", row.name, side, variant.name});
}

/// Is that process.
int report_memory(const Options& options) {
  const auto &name = options.memory_of[0], &side = options.memory_of[1];
  for (const auto& row : rows) {
    if (row.name != name) continue;
    for (const auto& variant : variants_of(side, row.task)) {
      if (variant.name != options.memory_of[2]) continue;
      const double before = static_cast<double>(resident_memory().now);
      const auto step = variant.make();
      for (int i = 0; i < 3; ++i) step.run();
      std::printf("%.0f\n", static_cast<double>(resident_memory().peak) - before);
      return 0;
    }
  }
  return 2;
}

void require_same_network(const Row& row, const Step& ours, const Step& theirs) {
  if (ours.parameters == theirs.parameters) return;
  throw StateError(
      Message("versus_libtorch", "the two networks have different numbers of parameters")
          .fact("row", row.name)
          .fact("tinynet", ours.parameters)
          .fact("libtorch", theirs.parameters));
}

nlohmann::json run(const Options& options, const Row& row) {
  const auto& precision = row.precision == "best" ? options.precision : row.precision;
  const auto our_variant = fastest_variant("tinynet", row, precision);
  const auto their_variant = fastest_variant("libtorch", row, precision);
  const auto ours = our_variant.make(), theirs = their_variant.make();
  require_same_network(row, ours, theirs);
  const auto times = compare(ours.run, theirs.run, options.pairs);
  const auto images = static_cast<double>(row.task.batch);
  const bool half = our_variant.bfloat16();
  const double peak = half ? peaks().half_operations() : peaks().single_operations();
  const double share = ours.operations / times.ours / peak;
  const double our_memory = memory_of(options, row, "tinynet", our_variant);
  const double their_memory = memory_of(options, row, "libtorch", their_variant);

  std::printf("%-28s %-5s %-27s %9.3f %9.3f %8.0f %8.0f %6.2f %6.2f-%-6.2f %5.1f%% %7.0f %7.0f\n",
              row.name.c_str(), our_variant.name.c_str(), their_variant.name.c_str(),
              times.ours * 1e3, times.theirs * 1e3, images / times.ours, images / times.theirs,
              times.ratio, times.lower_quartile, times.upper_quartile, 100 * share,
              our_memory * 1e-6, their_memory * 1e-6);
  std::fflush(stdout);
  if (options.profile && ours.profile) std::printf("%s\n", ours.profile().c_str());
  std::fflush(stdout);
  return {
      {"row", row.name},
      {"batch_size", row.task.batch},
      {"training", row.task.training},
      {"parameters", ours.parameters},
      {"operations", ours.operations},
      {"peak_operations_per_second", peak},
      {"share_of_peak", share},
      {"ratio", times.ratio},
      {"ratio_quartiles", {times.lower_quartile, times.upper_quartile}},
      {"tinynet",
       {{"setting", our_variant.name}, {"seconds", times.ours}, {"peak_memory_bytes", our_memory}}},
      {"libtorch",
       {{"setting", their_variant.name},
        {"seconds", times.theirs},
        {"peak_memory_bytes", their_memory}}}};
}

void write(const std::string& path, const nlohmann::json& results) {
  const auto text = results.dump(2) + "\n";
  io::write_file(path, std::as_bytes(std::span(text)));
}

int compare_all(const Options& options) {
  std::printf("%s\nlibtorch's BLAS: %s\n", cpu_report().c_str(), libtorch::blas().c_str());
  std::printf("peaks: float %.3f TFLOP/s, bfloat16 %.3f, copying %.1f GB/s; %d threads\n\n",
              peaks().float_operations * 1e-12, peaks().half_operations() * 1e-12,
              peaks().copy_bytes * 1e-9, options.threads);
  trim_memory();
  std::printf("%-28s %-5s %-27s %9s %9s %8s %8s %6s %13s %6s %7s %7s\n", "", "ours", "libtorch",
              "ours ms", "lib. ms", "ours i/s", "lib. i/s", "ratio", "quartiles", "peak", "ours MB",
              "lib. MB");
  nlohmann::json results = {{"cpu", cpu_report()}, {"threads", options.threads}};
  std::vector<double> ratios;
  const bool one = std::any_of(rows.begin(), rows.end(),
                               [&](const Row& row) { return row.name == options.only; });
  for (const auto& row : rows) {
    if (one ? row.name != options.only : row.name.find(options.only) == std::string::npos) continue;
    results["rows"].push_back(run(options, row));
    ratios.push_back(results["rows"].back()["ratio"]);
    if (!options.json.empty()) write(options.json, results);
  }
  if (ratios.empty()) {
    throw StateError(Message("--only", "no row is called that").fact("came", options.only));
  }
  std::printf("geomean ratio %.2f\n", geometric_mean(ratios));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = parse(argc, argv);
  set_num_threads(options.threads);
  libtorch::set_num_threads(options.threads);
  try {
    return options.memory_of.empty() ? compare_all(options) : report_memory(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
