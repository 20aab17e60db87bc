#include <tinynet/report/page.hpp>
#include <tinynet/train/compare.hpp>

#include "result.hpp"

namespace tinynet::examples {

report::Fact tta_fact(const train::Evaluation& tta) {
  return {"with test-time augmentation", report::percent(tta.accuracy, 2),
          "the same images from several views; 95 % interval " + report::percent(tta.low, 2) +
              " to " + report::percent(tta.high, 2)};
}

void write_report(const Program& program, const ModelFacts& model, const Outcome& outcome) {
  const auto all = totals(outcome.history);
  const auto milliseconds = [](double value) { return report::fixed(value, 2) + " ms"; };
  report::Run run{.title = program.name, .subtitle = program.claim};
  run.warnings = outcome.warnings;
  if (outcome.tta) run.headline.push_back(tta_fact(*outcome.tta));
  run.headline.push_back(
      {"training time", train::Progress::duration(all.seconds),
       report::grouped(std::llround(all.images_per_second())) + " images a second"});
  run.headline.push_back(
      {"parameters", report::grouped(model.parameters), report::bytes(model.bytes)});
  run.headline.push_back({"latency", milliseconds(model.latency.p50),
                          "one image; 95 % within " + milliseconds(model.latency.p95)});
  run.facts = {{"command", program.command},
               {"git revision", git_revision},
               {"data set", model.train_set.name()},
               {"epochs", std::to_string(outcome.history.size())},
               {"batch size", std::to_string(program.batch_size)},
               {"precision", program.precision},
               {"kernels", kernels::path_name(kernels::path_limit())},
               {"threads", std::to_string(num_threads())},
               {"seed", std::to_string(program.seed)},
               {"tested", std::string("the model of the ") +
                              (outcome.selection == train::Selection::last
                                   ? "last epoch"
                                   : "epoch that was best by " +
                                         std::string(train::to_string(outcome.selection)))}};
  run.history = outcome.history;
  run.clean = model.clean;
  run.test = outcome.test;
  run.train_set = model.train_set;
  run.test_set = model.test_set;
  run.augment = model.loading.augment;
  run.seed = model.loading.seed;
  run.layers = model.layers;
  report::write(run, program.file("report.html"));
}

}  // namespace tinynet::examples
