#pragma once

#include <tinynet/core/poison.hpp>

namespace tinynet::tests {

/// Whether this is a build under AddressSanitizer: it takes ten times as long, adds memory of its own
/// and gives none back.
#ifdef TINYNET_POISON
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

}  // namespace tinynet::tests
