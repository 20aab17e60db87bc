#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <tinynet/core/buffer.hpp>

namespace tinynet::inline TINYNET_ABI {

/// What the whole process has of the machine's memory, in bytes, with code, stacks and what other
/// libraries hold. Zero where the system does not say (it is not Linux).
struct ResidentMemory {
  std::size_t now = 0;
  std::size_t peak = 0;
};

template <class = void>
ResidentMemory resident_memory() {
  ResidentMemory memory;
  if (std::FILE* status = std::fopen("/proc/self/status", "r")) {
    char line[128];
    const auto read = [&](const char* key, std::size_t& bytes) {
      const auto length = std::strlen(key);
      if (std::strncmp(line, key, length) != 0) return;
      bytes = std::strtoull(line + length, nullptr, 10) * 1024;
    };
    while (std::fgets(line, sizeof line, status)) {
      read("VmRSS:", memory.now);
      read("VmHWM:", memory.peak);
    }
    std::fclose(status);
  }
  return memory;
}

/// Begins a new `resident_memory().peak` at what is resident now, where the system can (Linux).
template <class = void>
void reset_resident_peak() {
  if (std::FILE* refs = std::fopen("/proc/self/clear_refs", "w")) {
    std::fputs("5", refs);
    std::fclose(refs);
  }
}

/// A few lines for people: what tensors, scratch memory and packed weights use, what lies ready to
/// be used again, the high-water mark since the start or `reset_memory_peak`, what the system gave,
/// and what the process has of the machine, with its peak since `reset_resident_peak`. Megabytes are
/// 10^6 bytes.
template <class = void>
std::string memory_report() {
  const auto pool = memory_statistics();
  const auto process = resident_memory();
  std::string report;
  const auto line = [&](const char* name, std::size_t bytes, const char* meaning) {
    char text[128];
    std::snprintf(text, sizeof text, "%-11s %9.1f MB  %s\n", name,
                  static_cast<double>(bytes) * 1e-6, meaning);
    report += text;
  };
  char calls[64];
  std::snprintf(calls, sizeof calls, "asked for in %zu calls", pool.system_allocations);
  line("in use", pool.bytes_in_use, "");
  line("pooled", pool.bytes_pooled(), "ready to be used again");
  line("high water", pool.peak_bytes_in_use, "the most that was in use at a time");
  line("from system", pool.bytes_from_system, calls);
  if (process.now) line("resident", process.now, "of the whole process");
  if (process.peak) line("at most", process.peak, "of the whole process");
  return report;
}

}  // namespace tinynet::inline TINYNET_ABI
