#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>

#include <tinynet/core/list.hpp>

namespace tinynet::inline TINYNET_ABI {

/// True where the environment has TINYNET_TRACE=1: choosers then say which kernel ran and why not a
/// faster one.
inline bool tracing() {
  static const bool on = [] {
    const char* value = std::getenv("TINYNET_TRACE");
    return value && *value && std::string(value) != "0";
  }();
  return on;
}

/// Prints a line to standard error, each distinct line once: a choice is made thousands of times.
inline void trace(const std::string& line) {
  static std::mutex mutex;
  static List<std::string> seen;
  const std::lock_guard lock(mutex);
  if (std::find(seen.begin(), seen.end(), line) != seen.end()) return;
  seen.push_back(line);
  std::fprintf(stderr, "tinynet: %s\n", line.c_str());
}

}  // namespace tinynet::inline TINYNET_ABI
