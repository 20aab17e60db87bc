#pragma once

#include <tinynet/core/error.hpp>

namespace tinynet::inline TINYNET_ABI {

/// Throws StateError unless `ok`; write `ok` such that it is false for NaN.
[[gnu::noinline]] inline void require_setting(bool ok, const char* who, const Text& setting,
                                              double came, const char* expected) {
  if (ok) return;
  throw StateError(Message(who, {setting.string(), " is out of range"})
                       .fact("expected", expected)
                       .fact("came", came));
}

}  // namespace tinynet::inline TINYNET_ABI
