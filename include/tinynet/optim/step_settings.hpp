#pragma once

#include <optional>
#include <string>

#include <tinynet/core/error.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

/// What a schedule decides about one step of an optimizer.
struct StepSettings {
  double lr = 0;
  std::optional<double> momentum = {};  // none: the optimizer's own. AdamW reads it as beta1
};

/// Throws StateError unless `ok`; write `ok` such that it is false for NaN.
inline void require_setting(bool ok, const std::string& who, const std::string& setting,
                            double came, const std::string& expected) {
  if (ok) return;
  throw StateError(Message(who, setting + " is out of range")
                       .fact("expected", expected)
                       .fact("came", came));
}

}  // namespace tinynet::inline TINYNET_ABI::optim
