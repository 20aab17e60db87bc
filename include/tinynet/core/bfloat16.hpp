#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include <tinynet/core/config.hpp>

namespace tinynet::inline TINYNET_ABI {

/// The upper half of a float: 8 bits of exponent, 8 significant bits. A storage type; arithmetic
/// happens in float. Conversion rounds to nearest even, as VCVTNEPS2BF16 does; NaN stays NaN. A double
/// becomes a float first, as in PyTorch.
struct bfloat16 {
  std::uint16_t bits = 0;

  bfloat16() = default;
  constexpr explicit bfloat16(float x) {
    const auto u = std::bit_cast<std::uint32_t>(x);
    // A NaN whose payload lies in the lower half would round to infinity: keep it quiet instead.
    bits = (u & 0x7fffffff) > 0x7f800000
               ? static_cast<std::uint16_t>((u >> 16) | 0x40)
               : static_cast<std::uint16_t>((u + 0x7fff + ((u >> 16) & 1)) >> 16);
  }
  constexpr explicit bfloat16(double x) : bfloat16(static_cast<float>(x)) {}
  constexpr operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }

  static constexpr bfloat16 from_bits(std::uint16_t bits) {
    bfloat16 x;
    x.bits = bits;
    return x;
  }
};

}  // namespace tinynet::inline TINYNET_ABI

template <>
struct std::numeric_limits<tinynet::bfloat16> {
  static constexpr bool is_specialized = true;
  static constexpr int digits = 8;
  static constexpr tinynet::bfloat16 epsilon() { return tinynet::bfloat16::from_bits(0x3c00); }
  static constexpr tinynet::bfloat16 max() { return tinynet::bfloat16::from_bits(0x7f7f); }
  static constexpr tinynet::bfloat16 lowest() { return tinynet::bfloat16::from_bits(0xff7f); }
  static constexpr tinynet::bfloat16 infinity() { return tinynet::bfloat16::from_bits(0x7f80); }
};
