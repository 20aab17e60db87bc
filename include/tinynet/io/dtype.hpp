#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>

#include <tinynet/core/types.hpp>

namespace tinynet::inline TINYNET_ABI::io {

/// The element types that tinynet stores, for messages.
inline constexpr auto dtype_list = "F64, F32, F16, BF16, I64, I32, U8";

/// What a safetensors header calls the element type `T`.
template <class T>
constexpr const char* dtype_name() {
  if constexpr (std::is_same_v<T, double>) return "F64";
  else if constexpr (std::is_same_v<T, float>) return "F32";
  else if constexpr (std::is_same_v<T, float16>) return "F16";
  else if constexpr (std::is_same_v<T, bfloat16>) return "BF16";
  else if constexpr (std::is_same_v<T, std::int64_t>) return "I64";
  else if constexpr (std::is_same_v<T, std::int32_t>) return "I32";
  else if constexpr (std::is_same_v<T, std::uint8_t>) return "U8";
  else static_assert(!sizeof(T), "an element type that safetensors files of tinynet do not hold");
}

/// Bytes of an element of the type of that name; 0 if there is none.
inline std::size_t dtype_size(std::string_view name) {
  if (name == "F64" || name == "I64") return 8;
  if (name == "F32" || name == "I32") return 4;
  if (name == "F16" || name == "BF16") return 2;
  return name == "U8" ? 1 : 0;
}

namespace detail {
template <class T>
T load_element(const std::byte* from) {  // copied out: files from elsewhere need not be aligned
  T element;
  std::memcpy(&element, from, sizeof(T));
  return element;
}
}  // namespace detail

/// The element there, of the floating or of the integer type of that name.
inline double real_at(const std::byte* from, std::string_view dtype) {
  using detail::load_element;
  return dtype == "F64"   ? load_element<double>(from)
         : dtype == "F32" ? double{load_element<float>(from)}
         : dtype == "F16" ? static_cast<double>(static_cast<float>(load_element<float16>(from)))
                          : static_cast<double>(static_cast<float>(load_element<bfloat16>(from)));
}
inline std::int64_t integer_at(const std::byte* from, std::string_view dtype) {
  using detail::load_element;
  return dtype == "I64"   ? load_element<std::int64_t>(from)
         : dtype == "I32" ? load_element<std::int32_t>(from)
                          : load_element<std::uint8_t>(from);
}

/// Sets `y` to `x`, rounded where `To` is a floating type; false where `To` is an integer type that
/// cannot hold the value.
template <class To, class From>
bool convert(From x, To& y) {
  static_assert(std::is_same_v<From, double> || std::is_same_v<From, std::int64_t>);
  if constexpr (std::is_arithmetic_v<To> && !std::is_integral_v<To>) {
    y = static_cast<To>(x);
    return true;
  } else if constexpr (!std::is_integral_v<To>) {
    y = static_cast<To>(static_cast<double>(x));
    return true;
  } else if constexpr (std::is_integral_v<From>) {
    y = static_cast<To>(x);
    return std::in_range<To>(x);
  } else {
    constexpr double low = static_cast<double>(std::numeric_limits<To>::min());
    constexpr double beyond = static_cast<double>(std::numeric_limits<To>::max() / 2 + 1) * 2;
    if (!(x >= low && x < beyond && x == std::trunc(x))) return false;
    y = static_cast<To>(x);
    return true;
  }
}

}  // namespace tinynet::inline TINYNET_ABI::io
