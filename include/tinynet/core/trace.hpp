#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>

#include <tinynet/core/error.hpp>
#include <tinynet/core/list.hpp>

namespace tinynet::inline TINYNET_ABI {

/// True where the environment has TINYNET_TRACE=1: choosers then say which kernel ran and why not a
/// faster one.
inline bool tracing() {
  static const bool on = [] {
    const char* value = std::getenv("TINYNET_TRACE");
    return value && *value && std::string_view(value) != "0";
  }();
  return on;
}

/// Prints a line to standard error, each distinct line once: a choice is made thousands of times.
inline void trace(const Text& text) {
  static std::mutex mutex;
  static List<std::string> seen;
  const std::string line = text.string();
  const std::lock_guard lock(mutex);
  if (std::find(seen.begin(), seen.end(), line) != seen.end()) return;
  seen.push_back(line);
  std::fprintf(stderr, "tinynet: %s\n", line.c_str());
}

}  // namespace tinynet::inline TINYNET_ABI
