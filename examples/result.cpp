#include "result.hpp"

#include <cstdio>
#include <string>

#include <nlohmann/json.hpp>

#include <tinynet/io/atomic_file.hpp>

namespace tinynet::examples {

extern const char* const git_revision;  // of the source tree; cmake/revision.cmake writes it

namespace {
void write_file(const std::filesystem::path& path, const std::string& text) {
  io::AtomicFile file(path);
  file.write(std::as_bytes(std::span(text)));
  file.commit();
}
}  // namespace

void write_result(const Program& program, const ModelFacts& model, const Outcome& outcome) {
  double images = 0, steps_seconds = 0;
  for (const auto& epoch : outcome.history) {
    images += static_cast<double>(epoch.samples);
    steps_seconds += epoch.seconds;
  }
  const auto test = train::evaluate(outcome.test);
  nlohmann::ordered_json result = {
      {"command", program.command},
      {"git_revision", git_revision},
      {"cpu", cpu().name},
      {"kernels", kernels::path_name(kernels::path_limit())},
      {"precision", program.precision},
      {"threads", num_threads()},
      {"batch_size", program.batch_size},
      {"seed", program.seed},
      {"parameters", model.parameters},
      {"parameter_bytes", model.bytes},
      {"epochs", program.epochs},
      {"selection", train::to_string(outcome.selection)},
      {"test_accuracy", test.accuracy},
      {"test_accuracy_low", test.low},
      {"test_accuracy_high", test.high},
      {"test_loss", test.loss},
      {"train_seconds", outcome.seconds},
      {"images_per_second", steps_seconds > 0 ? images / steps_seconds : 0},
      {"latency_ms", {{"p50", model.latency.p50}, {"p95", model.latency.p95}}},
      {"peak_memory_bytes", memory_statistics().peak_bytes_in_use},
  };
  if (outcome.tta) result["test_accuracy_tta"] = outcome.tta->accuracy;
  write_file(program.out / "result.json", result.dump(2) + "\n");
}

void write_history(const Program& program, const train::History& history) {
  std::string text = "epoch,loss,accuracy,val_loss,val_accuracy,lr,seconds\n";
  for (const auto& e : history) {
    char line[160];
    const auto validation = e.validation.value_or(train::Evaluation{});
    std::snprintf(line, sizeof line, "%lld,%.6f,%.6f,%.6f,%.6f,%.8g,%.3f\n",
                  static_cast<long long>(e.epoch + 1), e.loss, e.accuracy, validation.loss,
                  validation.accuracy, e.lr.value_or(0), e.seconds);
    text += line;
  }
  write_file(program.out / "history.csv", text);
}

void write_results(const Program& program, const ModelFacts& model, const Outcome& outcome) {
  write_history(program, outcome.history);
  write_result(program, model, outcome);
  write_report(program, model, outcome);
  std::printf("report: %s\n", (program.out / "report.html").c_str());
}

}  // namespace tinynet::examples
