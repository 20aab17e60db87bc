#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>

#include <tinynet/core/buffer.hpp>
#include <tinynet/core/list.hpp>

namespace tinynet::inline TINYNET_ABI {

/// Elements of a type that one kernel alone knows. A std::span would do, but for each type of element
/// its constraints take the compiler as long as a small function.
template <class U>
struct Slice {
  U* first_element = nullptr;
  std::size_t count = 0;

  U* data() const { return first_element; }
  std::size_t size() const { return count; }
  bool empty() const { return count == 0; }
  U* begin() const { return first_element; }
  U* end() const { return first_element + count; }
  U& operator[](std::size_t i) const { return first_element[i]; }
  Slice first(std::size_t n) const { return {first_element, n}; }
  Slice subspan(std::size_t begin, std::size_t n) const { return {first_element + begin, n}; }
  operator Slice<const U>() const { return {first_element, count}; }
};

/// Short-lived memory for a kernel, from an arena of its thread that grows once and is then reused.
/// What was taken is given back when the object goes; objects nest.
///
///     Scratch scratch;
///     const auto padded = scratch.take<float>(g.padded_size());
class Scratch {
 public:
  // Not inlined: kernels of all types have one.
  [[gnu::noinline]] Scratch() : arena_(arena()), chunk_(arena_.chunk), used_(arena_.used) {}
  [[gnu::noinline]] ~Scratch() {
    arena_.give_back(chunk_, used_);
    if (chunk_ == 0 && used_ == 0 && arena_.chunks.size() > 1) arena_.merge();
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  /// `count` elements, not initialised, aligned to 64 bytes, followed by 64 bytes that may be
  /// read and overwritten.
  template <class U>
  std::span<U> take(std::int64_t count) {
    const auto n = static_cast<std::size_t>(count);
    return {static_cast<U*>(bytes(n * sizeof(U))), n};
  }
  /// The same as a Slice.
  template <class U>
  Slice<U> list(std::int64_t count) {
    const auto n = static_cast<std::size_t>(count);
    return {static_cast<U*>(bytes(n * sizeof(U))), n};
  }

 private:
  struct Arena {
    List<Buffer> chunks;
    std::size_t chunk = 0;  // the one being filled
    std::size_t used = 0;   // bytes of it

    [[gnu::noinline]] std::byte* take(std::size_t wanted) {
      const auto bytes = (wanted + 63) / 64 * 64 + 64 + (detail::poisons ? 128 : 0);
      while (chunk < chunks.size() && used + bytes > chunks[chunk].capacity()) {
        ++chunk;
        used = 0;
      }
      if (chunk == chunks.size()) add_chunk(std::max(bytes, std::size_t{1} << 16));
      auto* memory = chunks[chunk].data() + used;
      used += bytes;
      detail::poison_behind(memory, wanted + 64, bytes);
      return memory;
    }
    /// Back to `used_before` bytes of chunk `before`: nobody may touch what lies behind.
    void give_back(std::size_t before, std::size_t used_before) {
      for (auto i = before; detail::poisons && i <= chunk && i < chunks.size(); ++i) {
        const auto first = i == before ? used_before : 0;
        const auto end = i == chunk ? used : chunks[i].capacity();
        if (first < end) detail::poison_behind(chunks[i].data() + first, 0, end - first);
      }
      chunk = before;
      used = used_before;
    }
    void add_chunk(std::size_t size) {
      chunks.push_back(Buffer(size));
      detail::poison_behind(chunks.back().data(), 0, chunks.back().capacity());
    }
    /// One chunk for what needed several, so that the next call finds all of it in one piece. Where
    /// memory runs out there is none, and `take` says so.
    [[gnu::noinline]] void merge() {
      std::size_t total = 0;
      for (const auto& c : chunks) total += c.capacity();
      chunks.clear();
      try {
        add_chunk(total);
      } catch (const std::bad_alloc&) {
      }
    }
  };
  void* bytes(std::size_t count) { return arena_.take(count); }

  [[gnu::noinline]] static Arena& arena() {
    thread_local Arena arena;
    return arena;
  }

  Arena& arena_;
  std::size_t chunk_, used_;
};

}  // namespace tinynet::inline TINYNET_ABI
