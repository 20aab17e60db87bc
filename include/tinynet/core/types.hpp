#pragma once

#include <cstdint>
#include <type_traits>

#include <tinynet/core/bfloat16.hpp>
#include <tinynet/core/float16.hpp>

namespace tinynet::inline TINYNET_ABI {

template <class T, class... Types>
inline constexpr bool is_any_of = (std::is_same_v<T, Types> || ...);

/// A type that activations can be stored in.
template <class T>
concept Scalar = is_any_of<T, float, double, bfloat16, float16>;
/// Those of 16 bits.
template <class T>
concept Scalar16 = Scalar<T> && sizeof(T) == 2;

/// The type of parameters, their gradients, optimizer state and batch-norm statistics of a network
/// whose activations are stored as `T`: double for double, else float.
template <Scalar T>
using param_t = std::conditional_t<std::is_same_v<T, double>, double, float>;

/// The type in which sums over values of type `T` are formed. The same choice as `param_t`, named
/// apart because it answers another question.
template <Scalar T>
using accumulate_t = std::conditional_t<std::is_same_v<T, double>, double, float>;

/// How a kernel writes its destination: the first contribution to a gradient overwrites, the later
/// ones add. The engine decides, so that no gradient needs to be zeroed first.
enum class Store { overwrite, add };

/// The name of an element type, as `--precision` and messages spell it.
template <class T>
constexpr const char* type_name() {
  if constexpr (std::is_same_v<T, float>) return "float";
  if constexpr (std::is_same_v<T, double>) return "double";
  if constexpr (std::is_same_v<T, bfloat16>) return "bfloat16";
  if constexpr (std::is_same_v<T, float16>) return "float16";
  if constexpr (std::is_same_v<T, std::uint8_t>) return "uint8";
  if constexpr (std::is_same_v<T, std::int32_t>) return "int32";
  if constexpr (std::is_same_v<T, std::int64_t>) return "int64";
  if constexpr (std::is_same_v<T, std::uint16_t>) return "uint16";
  return "unknown";
}

}  // namespace tinynet::inline TINYNET_ABI
