#pragma once

#include <optional>
#include <vector>

#include "grid.hpp"

namespace tinynet::examples {

/// What networks that are tested together came to.
struct EnsembleOutcome {
  std::vector<Part> members;
  train::Predictions test;
  std::optional<train::Evaluation> tta = {};  // with test-time augmentation
  data::Dataset test_set;
};

/// Writes result.json and report.html into --out: the settings of the first member, the accuracy of all
/// together, and what all of them take.
void write_ensemble(const Program& program, const EnsembleOutcome& ensemble);

}  // namespace tinynet::examples
