#pragma once

#include <optional>

#include <tinynet/core/error.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

/// What a schedule decides about one step of an optimizer.
struct StepSettings {
  double lr = 0;
  std::optional<double> momentum = {};  // none: the optimizer's own. AdamW reads it as beta1
};

/// Throws StateError unless `ok`; write `ok` such that it is false for NaN.
inline void require_setting(bool ok, const char* who, const Text& setting, double came,
                            const char* expected) {
  if (ok) return;
  throw StateError(Message(who, {setting.string(), " is out of range"})
                       .fact("expected", expected)
                       .fact("came", came));
}

}  // namespace tinynet::inline TINYNET_ABI::optim
