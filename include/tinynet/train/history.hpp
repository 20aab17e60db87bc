#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <tinynet/train/evaluate.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// What one epoch came to.
struct EpochResult {
  std::int64_t epoch = 0;                     // counted from 0
  double loss = 0, accuracy = 0;              // on the training batches, while the model changed
  std::optional<Evaluation> validation = {};  // afterwards
  std::optional<Evaluation> clean = {};       // afterwards, on training images as they are
  std::optional<double> lr = {};              // of the last step, where a schedule gave it
  double seconds = 0;                         // of the steps
  std::int64_t samples = 0;                   // trained on
};

using History = std::vector<EpochResult>;

}  // namespace tinynet::inline TINYNET_ABI::train
