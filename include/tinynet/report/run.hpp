#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <tinynet/data/augment.hpp>
#include <tinynet/data/dataset.hpp>
#include <tinynet/nn/summary.hpp>
#include <tinynet/train/history.hpp>
#include <tinynet/train/predict.hpp>

namespace tinynet::inline TINYNET_ABI::report {

/// A name and what there is to say of it.
struct Fact {
  std::string name, value;
  std::string note = "";  // smaller, below
};

/// What a report shows of a training run. All of it may be left out: a page has the sections that it
/// was given something for.
struct Run {
  std::string title = "Training run";
  std::string subtitle = "";                    // what was trained on what, in one sentence
  std::vector<Fact> headline = {};              // tiles on top, after the accuracy
  std::vector<Fact> facts = {};                 // a table: how to run it again
  std::string machine = cpu_report();           // lines as they are
  std::vector<std::string> warnings = {};       // sentences above everything else
  train::History history = {};                  // curves
  std::optional<train::Evaluation> clean = {};  // on training images as they are, for the gap
  train::Predictions test = {};                 // of the finished model on `test_set`
  std::optional<data::Dataset> train_set = {};  // class names, distribution
  std::optional<data::Dataset> test_set = {};   // the images of mistakes
  data::Transform augment = {};                 // of the training loader, with
  std::uint64_t seed = 1;                       // its seed: the sheet shows what was trained on
  nn::Summary layers = {};
};

}  // namespace tinynet::inline TINYNET_ABI::report
