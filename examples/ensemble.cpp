#include "ensemble.hpp"

#include <cmath>
#include <cstdio>

#include <nlohmann/json.hpp>

#include <tinynet/report/page.hpp>

#include "result.hpp"
#include "scores.hpp"

namespace tinynet::examples {

namespace {

using Json = nlohmann::ordered_json;

double sum(const std::vector<Json>& members, const char* key) {
  double total = 0;
  for (const auto& member : members) total += number_at(member, key);
  return total;
}

/// The first member's, without what is said of one network alone.
Json result_of(const Program& program, const EnsembleOutcome& ensemble,
               const std::vector<Json>& members) {
  auto result = members.at(0);
  for (const char* of_one : {"train_accuracy", "train_accuracy_low", "train_accuracy_high",
                             "images_per_second", "latency_ms", "goals", "test_accuracy_tta",
                             "test_accuracy_tta_low", "test_accuracy_tta_high"}) {
    result.erase(of_one);
  }
  result["command"] = program.command;
  result["git_revision"] = git_revision;
  result["ensemble"] = members.size();
  result.update(test_scores(ensemble.test));
  result.update(class_scores(ensemble.test, ensemble.test_set.classes()));
  if (ensemble.tta) result.update(tta_scores(*ensemble.tta));
  result["train_seconds"] = sum(members, "train_seconds");
  for (const char* whole : {"parameters", "parameter_bytes", "macs"}) {
    result[whole] = std::llround(sum(members, whole));
  }
  return result;
}

report::Run report_of(const Program& program, const EnsembleOutcome& ensemble,
                      const std::vector<Json>& members, const Json& result) {
  const auto count = std::to_string(members.size());
  const auto accuracy = sum(members, "test_accuracy") / static_cast<double>(members.size());
  report::Run run{
      .title = program.name,
      .subtitle = count + " networks tested together: the mean of their probabilities."};
  run.headline = {{"mean of the members", report::percent(accuracy, 2), "each tested alone"}};
  if (ensemble.tta) run.headline.push_back(tta_fact(*ensemble.tta));
  run.headline.push_back({"training time",
                          train::Progress::duration(number_at(result, "train_seconds")),
                          "of all together"});
  run.headline.push_back({"parameters",
                          report::grouped(result.at("parameters").get<std::int64_t>()),
                          report::bytes(result.at("parameter_bytes").get<std::int64_t>())});
  run.facts = {{"command", program.command},
               {"git revision", git_revision},
               {"data set", ensemble.test_set.name()}};
  for (std::size_t i = 0; i < members.size(); ++i) {
    run.facts.push_back({ensemble.members[i].program.out,
                         report::percent(number_at(members[i], "test_accuracy"), 2),
                         "its own report.html lies there"});
  }
  const auto selected = train::selection_note(train::selection_of(program.select));
  if (!selected.empty()) run.warnings.push_back(selected);
  run.test = ensemble.test;
  run.test_set = ensemble.test_set;
  return run;
}

}  // namespace

void write_ensemble(const Program& program, const EnsembleOutcome& ensemble) {
  std::vector<Json> members;
  for (const auto& member : ensemble.members) {
    members.push_back(read_json(member.program.file("result.json")));
  }
  const auto result = result_of(program, ensemble, members);
  write_text(program.file("result.json"), result.dump(2) + "\n");
  report::write(report_of(program, ensemble, members, result), program.file("report.html"));
  std::printf("report: %s\n", program.file("report.html").c_str());
}

}  // namespace tinynet::examples
