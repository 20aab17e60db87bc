#pragma once

#include <ctime>

#include <tinynet/core/config.hpp>

namespace tinynet::inline TINYNET_ABI {

/// Seconds on a clock that does not jump. Not <chrono>, which costs every program a third of a second
/// to compile.
inline double seconds_now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace tinynet::inline TINYNET_ABI
