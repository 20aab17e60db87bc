#pragma once

#include <cstddef>

#include <tinynet/core/config.hpp>

#if defined(__SANITIZE_ADDRESS__)
#define TINYNET_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TINYNET_POISON 1
#endif
#endif

#ifdef TINYNET_POISON
#include <sanitizer/asan_interface.h>
#endif

/// Tells AddressSanitizer which bytes of recycled memory nobody may touch; nothing without it. Our pool
/// and arenas hand out parts of large allocations, inside of which it would see nothing by itself.
namespace tinynet::inline TINYNET_ABI::detail {

#ifdef TINYNET_POISON
inline constexpr bool poisons = true;
#else
inline constexpr bool poisons = false;
#endif

/// Only the first `open` of `bytes` may be touched.
inline void poison_behind([[maybe_unused]] std::byte* memory, [[maybe_unused]] std::size_t open,
                          [[maybe_unused]] std::size_t bytes) {
#ifdef TINYNET_POISON
  ASAN_POISON_MEMORY_REGION(memory, bytes);
  ASAN_UNPOISON_MEMORY_REGION(memory, open);
#endif
}

}  // namespace tinynet::inline TINYNET_ABI::detail
