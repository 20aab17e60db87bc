#include "grid.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>

#include <nlohmann/json.hpp>

#include <tinynet/io/read_file.hpp>
#include <tinynet/train/table.hpp>

#include "result.hpp"
#include "scores.hpp"

namespace tinynet::examples {

nlohmann::ordered_json read_json(const std::string& file) {
  if (!io::exists(file)) return {};
  const auto bytes = io::read_file(file);
  return nlohmann::ordered_json::parse(bytes.begin(), bytes.end(), nullptr, false);
}

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Finished {
  std::string name;  // of the folder, seen from the table's
  Json result;
  std::string compared;

  double number(const char* key) const {
    const auto found = result.find(key);
    return found != result.end() && found->is_number() ? found->get<double>() : 0;
  }
};

bool is_result(const Json& json) { return json.is_object() && json.contains("test_accuracy"); }

/// A folder without a result of its own may have those of several runs.
std::vector<Finished> finished(const std::string& folder, const std::vector<GridRow>& rows) {
  std::vector<Finished> all;
  for (const auto& row : rows) {
    const auto name = fs::path(row.folder).lexically_relative(folder).string();
    if (auto one = read_json(io::join(row.folder, "result.json")); is_result(one)) {
      all.push_back({name, std::move(one), row.compared});
      continue;
    }
    const auto several = read_json(io::join(row.folder, "summary.json"));
    for (const auto& [run, result] : several.items()) {
      if (!is_result(result)) continue;
      all.push_back({name + "/" + run, result, result.value("compared_with", "")});
    }
  }
  return all;
}

std::string number(double value, int digits = 0) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string percent(double share) { return share > 0 ? number(100 * share, 2) : ""; }

/// A name without its "seed-N"; nothing where it has none.
std::string without_seed(const std::string& name) {
  const auto at = name.rfind("seed-");
  if (at == std::string::npos) return "";
  const auto end = std::min(name.find_first_not_of("0123456789", at + 5), name.size());
  const bool dash = at > 0 && name[at - 1] == '-';
  const auto rest = name.substr(0, dash ? at - 1 : at) + name.substr(end);
  return rest.empty() ? "all" : rest;
}

/// A line for each group of names that differ in their seeds alone.
std::string seed_means(const std::vector<Finished>& runs) {
  std::map<std::string, std::vector<double>> groups;
  std::map<std::string, double> goals;  // of the accuracy, where there is one
  for (const auto& run : runs) {
    const auto name = without_seed(run.name);
    if (name.empty()) continue;
    groups[name].push_back(100 * run.number("test_accuracy"));
    for (const auto& goal : run.result.value("goals", Json::array())) {
      if (goal.value("what", "").starts_with("test accuracy"))
        goals[name] = 100 * goal.value("goal", 0.0);
    }
  }
  std::string text;
  for (const auto& [name, values] : groups) {
    if (values.size() < 2) continue;
    const auto count = static_cast<double>(values.size());
    double mean = 0, squares = 0;
    for (const double value : values) mean += value / count;
    for (const double value : values) squares += (value - mean) * (value - mean);
    text += name + ": mean of " + number(count) + " seeds: " + number(mean, 2) +
            " %, standard deviation " + number(std::sqrt(squares / (count - 1)), 2);
    if (const auto goal = goals.find(name); goal != goals.end()) {
      text += "; at least " + number(goal->second, 2) +
              (mean >= goal->second ? " expected: met" : " expected: MISSED");
    }
    text += "\n";
  }
  return text;
}

void print(const std::vector<Finished>& runs) {
  train::Table table({"run", "parameters", "train %", "test %", "95 % interval", "compared", "loss",
                      "worst class", "epochs", "s/epoch", "ms p50", "p95", "batch"});
  for (const auto& run : runs) {
    const double epochs = run.number("epochs");
    const auto worst = run.result.value("worst_class", Json::object());
    const auto latency = run.result.value("latency_ms", Json::object());
    table.row({run.name, number(run.number("parameters")), percent(run.number("train_accuracy")),
               percent(run.number("test_accuracy")),
               percent(run.number("test_accuracy_low")) + " to " +
                   percent(run.number("test_accuracy_high")),
               run.compared, number(run.number("test_loss"), 4),
               worst.value("name", "") + " " + number(100 * worst.value("accuracy", 0.0), 2),
               number(epochs), number(run.number("train_seconds") / std::max(epochs, 1.0), 1),
               number(latency.value("p50", 0.0), 2), number(latency.value("p95", 0.0), 2),
               number(run.number("batch_size"))});
  }
  std::printf("%s%s", table.string().c_str(), seed_means(runs).c_str());
}

}  // namespace

Program part(const Program& program, const std::string& name) {
  auto one = program;
  one.out = program.file(name);
  one.part = true;
  return one;
}

int train_parts(const std::string& folder, const std::vector<Part>& parts,
                const Function<int(const Program&, std::size_t)>& train) {
  std::vector<GridRow> rows;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto& one = parts[i].program;
    if (!one.out.empty()) prepare_output(one.out);
    std::printf("%s\n", one.out.c_str());
    if (const int status = train(one, i); status != 0) return status;
    rows.push_back({one.out, parts[i].compared});
  }
  summarize(folder, rows);
  return 0;
}

int run_parts(const Program& program, const Function<int(const Program&)>& train) {
  try {
    if (program.threads > 0) set_num_threads(program.threads);
    if (program.batch_sizes.empty() && program.seeds.empty()) {
      if (!program.out.empty()) prepare_output(program.out);
      return train(program);
    }
    const auto batch_sizes =
        program.batch_sizes.empty() ? std::vector{program.batch_size} : program.batch_sizes;
    const auto seeds = program.seeds.empty() ? std::vector{program.seed} : program.seeds;
    std::vector<Part> parts;
    for (const auto batch_size : batch_sizes) {
      for (const auto seed : seeds) {
        auto one =
            part(program, "batch-" + std::to_string(batch_size) + "-seed-" + std::to_string(seed));
        one.batch_size = batch_size;
        one.seed = seed;
        parts.push_back({std::move(one)});
      }
    }
    return train_parts(program.out, parts,
                       [&](const Program& one, std::size_t) { return train(one); });
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

void print_table(const std::string& folder, const std::vector<GridRow>& rows) {
  const auto runs = finished(folder, rows);
  if (runs.size() > 1) print(runs);
}

void summarize(const std::string& folder, const std::vector<GridRow>& rows) {
  const auto runs = finished(folder, rows);
  print(runs);
  auto summary = Json::object();
  for (const auto& run : runs) {
    summary[run.name] = run.result;
    if (!run.compared.empty()) summary[run.name]["compared_with"] = run.compared;
  }
  const auto file = io::join(folder, "summary.json");
  write_text(file, summary.dump(2) + "\n");
  std::printf("summary: %s\n", file.c_str());
}

void write_ensemble(const std::string& folder, const std::vector<Part>& members,
                    const train::Predictions& predictions,
                    const std::optional<train::Evaluation>& tta) {
  std::vector<GridRow> rows;
  for (const auto& member : members) rows.push_back({member.program.out});
  const auto runs = finished(folder, rows);
  auto result = runs.at(0).result;
  result["ensemble"] = runs.size();
  result.update(test_scores(predictions));
  for (const char* of_one :
       {"test_accuracy_tta", "test_accuracy_tta_low", "test_accuracy_tta_high", "train_accuracy",
        "train_accuracy_low", "train_accuracy_high", "worst_class", "class_accuracy",
        "class_accuracy_interval", "images_per_second", "latency_ms", "goals"}) {
    result.erase(of_one);
  }
  if (tta) result.update(tta_scores(*tta));
  double seconds = 0;
  for (const auto& run : runs) seconds += run.number("train_seconds");
  result["train_seconds"] = seconds;
  for (const char* sum : {"parameters", "parameter_bytes", "macs"}) {
    std::int64_t total = 0;
    for (const auto& run : runs) total += std::llround(run.number(sum));
    result[sum] = total;
  }
  write_text(io::join(folder, "result.json"), result.dump(2) + "\n");
}

std::vector<GridRow> runs_in(const std::string& folder) {
  std::error_code error;
  std::vector<GridRow> rows;
  for (const auto& entry : fs::directory_iterator(folder.empty() ? "." : folder, error)) {
    if (entry.is_directory(error)) rows.push_back({entry.path()});
  }
  std::sort(rows.begin(), rows.end(),
            [](const auto& a, const auto& b) { return a.folder < b.folder; });
  return rows;
}

}  // namespace tinynet::examples
