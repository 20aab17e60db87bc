#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include <tinynet/core/config.hpp>
#include <tinynet/core/poison.hpp>

#if defined(__linux__)
#include <sys/mman.h>
#endif

/// Memory. Storage is asked from the system once and then recycled by size: after the first epoch
/// a training run asks for nothing more.
namespace tinynet::inline TINYNET_ABI {

/// What the pool of buffers has done so far in this process, in bytes and calls.
struct MemoryStatistics {
  std::size_t bytes_in_use = 0;        // by tensors, scratch memory and packed weights
  std::size_t peak_bytes_in_use = 0;   // the most of it at a time: the high-water mark
  std::size_t bytes_from_system = 0;   // in use, or pooled
  std::size_t system_allocations = 0;  // calls

  /// Ready to be used again.
  std::size_t bytes_pooled() const { return bytes_from_system - bytes_in_use; }
};

namespace detail {

/// Describes storage. It lies elsewhere: in front of the storage it would push a tensor of whole huge
/// pages, and those of many images are such, into one page more.
struct alignas(64) BufferHeader {
  std::byte* data = nullptr;
  std::size_t capacity = 0;
  std::atomic<std::int64_t> owners{1};
  BufferHeader* next = nullptr;  // of the same size, while nobody owns it
};

class BufferPool {
 public:
  /// Never destroyed: buffers held by static objects may outlive any order of destruction.
  [[gnu::noinline]] static BufferPool& instance() {
    static auto* pool = new BufferPool;
    return *pool;
  }

  BufferHeader* acquire(std::size_t bytes) {
    const std::size_t capacity = size_class(bytes);
    const std::lock_guard lock(mutex_);
    auto* header = take_free(capacity);
    if (!header) header = from_system(capacity);
    header->owners = 1;
    statistics_.bytes_in_use += header->capacity;
    statistics_.peak_bytes_in_use =
        std::max(statistics_.peak_bytes_in_use, statistics_.bytes_in_use);
    poison_behind(header->data, bytes, header->capacity);
    return header;
  }

  void release(BufferHeader* header) {
    poison_behind(header->data, 0, header->capacity);
    const std::lock_guard lock(mutex_);
    statistics_.bytes_in_use -= header->capacity;
    header->next = std::exchange(free_[class_index(header->capacity)], header);
  }

  MemoryStatistics statistics() {
    const std::lock_guard lock(mutex_);
    return statistics_;
  }

  void reset_peak() {
    const std::lock_guard lock(mutex_);
    statistics_.peak_bytes_in_use = statistics_.bytes_in_use;
  }

  void trim() {
    const std::lock_guard lock(mutex_);
    for (auto& free : free_) {
      while (free) {
        auto* header = std::exchange(free, free->next);
        statistics_.bytes_from_system -= header->capacity;
        std::free(header->data);
        delete header;
      }
    }
  }

  /// Steps of an eighth of a power of two waste at most 12.5 % and let near sizes share storage.
  static std::size_t size_class(std::size_t bytes) {
    if (bytes > (std::size_t{1} << 62)) throw std::bad_alloc();
    if (bytes <= 512) return (std::max<std::size_t>(bytes, 1) + 63) / 64 * 64;
    const std::size_t step = std::bit_floor(bytes - 1) / 8;
    return (bytes + step - 1) / step * step;
  }
  /// Numbers the values of `size_class`: eight up to 512, then eight for each power of two.
  static std::size_t class_index(std::size_t capacity) {
    if (capacity <= 512) return capacity / 64 - 1;
    const auto floor = std::bit_floor(capacity - 1);
    const auto power = static_cast<std::size_t>(std::bit_width(floor)) - 10;  // 0 from 512 on
    return 8 + 8 * power + (capacity / (floor / 8) - 9);
  }

 private:
  /// Free storage of this class of sizes or, where it is large, of the next greater one that has any,
  /// up to twice the size: the layers of a network want large tensors of many sizes, few at a time.
  /// airbench94 takes 0.75 GB of the system for a batch of 1000, and 0.91 without.
  BufferHeader* take_free(std::size_t capacity) {
    const auto first = class_index(capacity);
    const auto last = capacity < large ? first : std::min(first + 8, free_.size() - 1);
    for (auto index = first; index <= last; ++index) {
      auto& free = free_[index];
      if (free) return std::exchange(free, free->next);
    }
    return nullptr;
  }

  BufferHeader* from_system(std::size_t capacity) {
    // Huge pages save the first pass over a large tensor thousands of page faults. The last is left
    // to small pages unless it is whole, so that no memory stands behind what is never touched.
    constexpr std::size_t huge_page = std::size_t{2} << 20;
    const std::size_t alignment = capacity >= 2 * huge_page ? huge_page : 64;
    const std::size_t total = (capacity + alignment - 1) / alignment * alignment;
    auto header = std::make_unique<BufferHeader>();
    header->data = static_cast<std::byte*>(std::aligned_alloc(alignment, total));
    header->capacity = capacity;
    if (!header->data) throw std::bad_alloc();
    poison_behind(header->data + capacity, 0, total - capacity);
#if defined(__linux__)
    if (alignment == huge_page) {
      madvise(header->data, capacity / huge_page * huge_page, MADV_HUGEPAGE);
    }
#endif
    statistics_.bytes_from_system += capacity;
    ++statistics_.system_allocations;
    return header.release();
  }

  static constexpr std::size_t large = std::size_t{1} << 20;

  std::mutex mutex_;
  std::array<BufferHeader*, 8 + 8 * 54> free_{};  // by class_index, a list each
  MemoryStatistics statistics_;
};

}  // namespace detail

/// Reference-counted storage, aligned to 64 bytes and not initialised. A copy shares.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t bytes) : header_(acquire(bytes)) {}
  Buffer(const Buffer& other) noexcept : header_(share(other.header_)) {}
  Buffer(Buffer&& other) noexcept : header_(std::exchange(other.header_, nullptr)) {}
  Buffer& operator=(Buffer other) noexcept {
    std::swap(header_, other.header_);
    return *this;
  }
  ~Buffer() { disown(header_); }

  std::byte* data() const { return header_ ? header_->data : nullptr; }
  std::size_t capacity() const { return header_ ? header_->capacity : 0; }
  /// True where nobody else holds this storage, so that it may be written in place.
  bool unique() const { return header_ && header_->owners.load(std::memory_order_acquire) == 1; }
  explicit operator bool() const { return header_ != nullptr; }

 private:
  // Not inlined, as tensors come and go in hundreds of places.
  [[gnu::noinline]] static detail::BufferHeader* acquire(std::size_t bytes) {
    return detail::BufferPool::instance().acquire(bytes);
  }
  [[gnu::noinline]] static detail::BufferHeader* share(detail::BufferHeader* header) noexcept {
    if (header) header->owners.fetch_add(1, std::memory_order_relaxed);
    return header;
  }
  [[gnu::noinline]] static void disown(detail::BufferHeader* header) noexcept {
    if (header && header->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      detail::BufferPool::instance().release(header);
    }
  }

  detail::BufferHeader* header_ = nullptr;
};

/// Counters of the pool; `peak_bytes_in_use` is the high-water mark of all tensors.
inline MemoryStatistics memory_statistics() { return detail::BufferPool::instance().statistics(); }

/// Begins a new high-water mark at what is in use now.
inline void reset_memory_peak() { detail::BufferPool::instance().reset_peak(); }

/// Gives unused storage back to the system.
inline void trim_memory() { detail::BufferPool::instance().trim(); }

}  // namespace tinynet::inline TINYNET_ABI
