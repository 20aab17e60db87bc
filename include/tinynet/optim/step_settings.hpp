#pragma once

#include <optional>

#include <tinynet/core/require_setting.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

/// What a schedule decides about one step of an optimizer.
struct StepSettings {
  double lr = 0;
  std::optional<double> momentum = {};  // none: the optimizer's own. AdamW reads it as beta1
};

}  // namespace tinynet::inline TINYNET_ABI::optim
