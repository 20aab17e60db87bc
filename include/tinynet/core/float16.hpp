#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include <tinynet/core/config.hpp>

namespace tinynet::inline TINYNET_ABI {

/// IEEE 754 half precision: 5 bits of exponent, 11 significant bits, largest finite value 65504.
/// A storage type that never needs the compiler's `_Float16` (Clang 14 has none on x86). Rounds to
/// nearest even, a double to float first, as in PyTorch; infinities, NaN and subnormals are kept.
struct float16 {
  std::uint16_t bits = 0;

  float16() = default;
  constexpr explicit float16(float x) : bits(from_float(x)) {}
  constexpr explicit float16(double x) : float16(static_cast<float>(x)) {}
  constexpr operator float() const {
    const auto sign = static_cast<std::uint32_t>(bits & 0x8000) << 16;
    const std::uint32_t magnitude = bits & 0x7fff;
    if (magnitude >= 0x7c00) {  // infinity, NaN
      return std::bit_cast<float>(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
    }
    // Shifted into a float's fields the exponent is 112 too small; the product is exact, and it
    // normalises the subnormals on the way.
    const auto scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(scaled));
  }

  static constexpr float16 from_bits(std::uint16_t bits) {
    float16 x;
    x.bits = bits;
    return x;
  }

 private:
  static constexpr std::uint16_t from_float(float x) {
    const auto u = std::bit_cast<std::uint32_t>(x);
    const auto sign = static_cast<std::uint16_t>(u >> 16 & 0x8000);
    const std::uint32_t magnitude = u & 0x7fffffff;
    if (magnitude > 0x7f800000) {  // NaN: keep the upper payload, make it quiet
      return static_cast<std::uint16_t>(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    }
    if (magnitude >= 0x477ff000) return sign | 0x7c00;  // 65520 and above round to infinity
    if (magnitude >= 0x38800000) {                      // normal: 2^-14 and above
      const std::uint32_t rebiased = magnitude - 0x38000000;
      return static_cast<std::uint16_t>(sign | (rebiased + 0xfff + (rebiased >> 13 & 1)) >> 13);
    }
    // Subnormal: adding 0.5 places the last kept bit at the float's own last bit, so that the
    // addition itself rounds to nearest even.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000));
  }
};

}  // namespace tinynet::inline TINYNET_ABI

template <>
struct std::numeric_limits<tinynet::float16> {
  static constexpr bool is_specialized = true;
  static constexpr int digits = 11;
  static constexpr tinynet::float16 epsilon() { return tinynet::float16::from_bits(0x1400); }
  static constexpr tinynet::float16 max() { return tinynet::float16::from_bits(0x7bff); }
  static constexpr tinynet::float16 lowest() { return tinynet::float16::from_bits(0xfbff); }
  static constexpr tinynet::float16 infinity() { return tinynet::float16::from_bits(0x7c00); }
};
