#pragma once

#include <cstdint>

#include <tinynet/core/config.hpp>

namespace tinynet::inline TINYNET_ABI {

/// How many pieces of a size cover a length: the quotient, rounded up.
constexpr std::int64_t pieces(std::int64_t length, std::int64_t piece) {
  return (length + piece - 1) / piece;
}

/// The next multiple of a step.
constexpr std::int64_t round_up(std::int64_t length, std::int64_t step) {
  return pieces(length, step) * step;
}

}  // namespace tinynet::inline TINYNET_ABI
