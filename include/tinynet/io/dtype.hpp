#pragma once

#include <cmath>
#include <cstdint>
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

/// Calls `f(std::type_identity<T>{})` with the type of that name; false if there is none.
template <class F>
bool visit_dtype(std::string_view name, F&& f) {
  const auto visit = [&]<class... T>(std::type_identity<T>... types) {
    return ((name == dtype_name<T>() && (f(types), true)) || ...);
  };
  return visit(std::type_identity<double>{}, std::type_identity<float>{},
               std::type_identity<float16>{}, std::type_identity<bfloat16>{},
               std::type_identity<std::int64_t>{}, std::type_identity<std::int32_t>{},
               std::type_identity<std::uint8_t>{});
}

/// Sets `y` to `x`, rounded where `To` is a floating type; false where `To` is an integer type that
/// cannot hold the value.
template <class To, class From>
bool convert(From x, To& y) {
  if constexpr (!std::is_integral_v<To>) {
    if constexpr (std::is_arithmetic_v<From> && std::is_arithmetic_v<To>) {
      y = static_cast<To>(x);
    } else {
      y = static_cast<To>(static_cast<double>(x));
    }
    return true;
  } else if constexpr (std::is_integral_v<From>) {
    y = static_cast<To>(x);
    return std::in_range<To>(x);
  } else {
    const auto value = static_cast<double>(x);
    constexpr double low = static_cast<double>(std::numeric_limits<To>::min());
    constexpr double beyond = static_cast<double>(std::numeric_limits<To>::max() / 2 + 1) * 2;
    if (!(value >= low && value < beyond && value == std::trunc(value))) return false;
    y = static_cast<To>(value);
    return true;
  }
}

}  // namespace tinynet::inline TINYNET_ABI::io
