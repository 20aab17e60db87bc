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
  try {
    const auto bytes = io::read_file(file);
    return nlohmann::ordered_json::parse(bytes.begin(), bytes.end());
  } catch (const std::exception&) {
    return {};
  }
}

double number_at(const nlohmann::ordered_json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number() ? found->get<double>() : 0;
}

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// What stands at a key; nothing where there is none, or, in a file of somebody else's, other things.
std::string text_at(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}
Json part_at(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() ? *found : Json();
}

struct Finished {
  std::string name;  // of the folder, seen from the table's
  Json result;
  std::string compared;

  double number(const char* key) const { return number_at(result, key); }
};

bool is_result(const Json& json) {
  const auto found = json.find("test_accuracy");
  return found != json.end() && found->is_number();
}

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
      all.push_back({name + "/" + run, result, text_at(result, "compared_with")});
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
    for (const auto& goal : part_at(run.result, "goals")) {
      if (text_at(goal, "what").starts_with("test accuracy"))
        goals[name] = 100 * number_at(goal, "goal");
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
    const auto worst = part_at(run.result, "worst_class");
    const auto latency = part_at(run.result, "latency_ms");
    table.row({run.name, number(run.number("parameters")), percent(run.number("train_accuracy")),
               percent(run.number("test_accuracy")),
               percent(run.number("test_accuracy_low")) + " to " +
                   percent(run.number("test_accuracy_high")),
               run.compared, number(run.number("test_loss"), 4),
               text_at(worst, "name") + " " + number(100 * number_at(worst, "accuracy"), 2),
               number(epochs), number(run.number("train_seconds") / std::max(epochs, 1.0), 1),
               number(number_at(latency, "p50"), 2), number(number_at(latency, "p95"), 2),
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
    const bool anew = one.resume && !one.resumes();
    std::printf("%s%s\n", one.out.c_str(), anew ? ": has no checkpoint, begins" : "");
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
