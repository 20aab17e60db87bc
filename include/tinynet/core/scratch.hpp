#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <tinynet/core/buffer.hpp>

namespace tinynet::inline TINYNET_ABI {

/// Short-lived memory for a kernel, from an arena of its thread that grows once and is then reused.
/// What was taken is given back when the object goes; objects nest.
///
///     Scratch scratch;
///     const auto padded = scratch.take<float>(g.padded_size());
class Scratch {
 public:
  Scratch() : arena_(arena()), chunk_(arena_.chunk), used_(arena_.used) {}
  ~Scratch() {
    arena_.chunk = chunk_;
    arena_.used = used_;
    if (chunk_ == 0 && used_ == 0 && arena_.chunks.size() > 1) arena_.merge();
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  /// `count` elements, not initialised, aligned to 64 bytes, followed by 64 bytes that may be read.
  template <class U>
  std::span<U> take(std::int64_t count) {
    const auto n = static_cast<std::size_t>(count);
    return {reinterpret_cast<U*>(arena_.take((n * sizeof(U) + 63) / 64 * 64 + 64)), n};
  }

 private:
  struct Arena {
    std::vector<Buffer> chunks;
    std::size_t chunk = 0;  // the one being filled
    std::size_t used = 0;   // bytes of it

    std::byte* take(std::size_t bytes) {
      while (chunk < chunks.size() && used + bytes > chunks[chunk].capacity()) {
        ++chunk;
        used = 0;
      }
      if (chunk == chunks.size()) chunks.push_back(Buffer(std::max(bytes, std::size_t{1} << 16)));
      auto* memory = chunks[chunk].data() + used;
      used += bytes;
      return memory;
    }
    /// One chunk for what needed several, so that the next call finds all of it in one piece.
    void merge() {
      std::size_t total = 0;
      for (const auto& c : chunks) total += c.capacity();
      chunks.clear();
      chunks.push_back(Buffer(total));
    }
  };
  static Arena& arena() {
    thread_local Arena arena;
    return arena;
  }

  Arena& arena_;
  std::size_t chunk_, used_;
};

}  // namespace tinynet::inline TINYNET_ABI
