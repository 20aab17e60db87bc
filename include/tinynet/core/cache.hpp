#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <tinynet/core/config.hpp>

/// Hints to the cache, for loops that alternate between reading memory and computing with what they have
/// read: the hardware's own prefetching stops in between.
namespace tinynet::inline TINYNET_ABI {

/// How far ahead, in bytes: a training step of the net of 150,690 parameters takes as long with 1536 and 4096,
/// longer with 6144.
inline constexpr std::int64_t prefetch_distance = 2560;

/// `write_later` fetches to L2: in L1 the lines would wait in the way of what is read meanwhile.
enum class Access { read, write, write_later };
template <class T>
inline constexpr Access access_to = std::is_const_v<T> ? Access::read : Access::write;

/// `bytes` from `from` on, which may lie behind the end of an array.
template <Access access = Access::read>
[[gnu::always_inline]] inline void prefetch(const void* from, std::int64_t bytes) {
  const auto* at = static_cast<const std::byte*>(from);
  for (std::int64_t i = 0; i < bytes; i += 64) {
    if constexpr (access == Access::read) __builtin_prefetch(at + i);
    else if constexpr (access == Access::write) __builtin_prefetch(at + i, 1);
    else __builtin_prefetch(at + i, 0, 2);
  }
}
/// What comes behind them: from `prefetch_distance` on, or from their end.
template <Access access = Access::read>
[[gnu::always_inline]] inline void prefetch_ahead(const void* from, std::int64_t bytes) {
  prefetch<access>(static_cast<const std::byte*>(from) + std::max(prefetch_distance, bytes), bytes);
}

}  // namespace tinynet::inline TINYNET_ABI
