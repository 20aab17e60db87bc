#pragma once

#include <cstdio>
#include <limits>
#include <ostream>
#include <string>

#include <tinynet/tensor/tensor.hpp>

namespace tinynet::inline TINYNET_ABI {

namespace detail {

template <class T>
std::string element_text(T value) {
  char text[32];
  if constexpr (std::is_integral_v<T>) {
    std::snprintf(text, sizeof text, "%lld", static_cast<long long>(value));
  } else {
    std::snprintf(text, sizeof text, "%.4g", static_cast<double>(value));
  }
  return text;
}

/// One axis of the corners: three elements from either end where there are more than seven.
template <class T>
void print_axis(std::string& out, const Tensor<T>& tensor, int axis, std::int64_t at, int indent) {
  const auto& shape = tensor.shape();
  if (axis == shape.axes()) {
    out += element_text(tensor.data()[at]);
    return;
  }
  const bool innermost = axis + 1 == shape.axes();
  const std::int64_t size = shape[axis];
  out += "[";
  for (std::int64_t i = 0; i < size; ++i) {
    if (i > 0) out += innermost ? ", " : ",\n" + std::string(static_cast<std::size_t>(indent), ' ');
    if (size > 7 && i == 3) {
      out += "...";
      i = size - 4;
      continue;
    }
    print_axis(out, tensor, axis + 1, at * size + i, indent + 1);
  }
  out += "]";
}

}  // namespace detail

/// Shape, range and corners:
///
///     Tensor<float> [2, 3]  min -1  max 2.5  mean 0.25
///     [[-1, 0, 1],
///      [0.5, -1.5, 2.5]]
template <class T>
std::string to_string(const Tensor<T>& tensor) {
  std::string out = std::string("Tensor<") + type_name<T>() + "> " + to_string(tensor.shape());
  if (tensor.empty()) return out + "  empty";
  double low = std::numeric_limits<double>::quiet_NaN(), high = low, total = 0;
  std::int64_t odd = 0;
  for (const auto value : tensor.span()) {
    const auto x = static_cast<double>(value);
    if (!(x - x == 0)) ++odd;
    if (x == x && !(x >= low)) low = x;  // the first number replaces NaN, no NaN replaces a number
    if (x == x && !(x <= high)) high = x;
    total += x;
  }
  out += "  min " + detail::element_text(low) + "  max " + detail::element_text(high) + "  mean " +
         detail::element_text(total / static_cast<double>(tensor.size()));
  if (odd) out += "  (" + std::to_string(odd) + " not finite)";
  out += "\n";
  detail::print_axis(out, tensor, 0, 0, 1);
  return out;
}

template <class T>
std::ostream& operator<<(std::ostream& out, const Tensor<T>& tensor) {
  return out << to_string(tensor);
}

}  // namespace tinynet::inline TINYNET_ABI
