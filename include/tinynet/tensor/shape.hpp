#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <ostream>
#include <string>

#include <tinynet/core/error.hpp>

namespace tinynet::inline TINYNET_ABI {

/// The sizes of a tensor's axes, outermost first; at most six. No axes: a scalar.
class Shape {
 public:
  static constexpr int max_axes = 6;

  Shape() = default;
  [[gnu::noinline]] Shape(std::initializer_list<std::int64_t> sizes) {
    for (const auto size : sizes) append(size);
  }

  int axes() const { return axes_; }
  /// The size of an axis; negative ones count from the end, -1 is the innermost.
  std::int64_t operator[](int axis) const { return sizes_[index(axis)]; }
  std::int64_t& operator[](int axis) { return sizes_[index(axis)]; }

  /// The number of elements; 1 for a scalar.
  [[gnu::noinline]] std::int64_t elements() const {
    std::int64_t product = 1;
    for (const auto size : *this) {
      if (size > 0 && product > std::numeric_limits<std::int64_t>::max() / size) throw_too_large();
      product *= size;
    }
    return product;
  }

  /// What that many elements of `size` bytes each take.
  std::size_t bytes(std::size_t size) const {
    const auto count = static_cast<std::size_t>(elements());
    if (count > std::size_t{std::numeric_limits<std::int64_t>::max()} / size) {
      throw ShapeError(Message("shape", "more bytes than 64 bits can count")
                           .fact("shape", *this, {size, " bytes an element"}));
    }
    return count * size;
  }

  void append(std::int64_t size) {
    if (axes_ == max_axes || size < 0) throw_no_size(size);
    sizes_[static_cast<std::size_t>(axes_++)] = size;
  }

  const std::int64_t* begin() const { return sizes_.data(); }
  const std::int64_t* end() const { return sizes_.data() + axes_; }

  friend bool operator==(const Shape& a, const Shape& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }
  friend std::ostream& operator<<(std::ostream& out, const Shape& shape) {
    return out << to_string(shape);
  }
  [[gnu::noinline]] friend std::string to_string(const Shape& shape) {
    std::string text = "[";
    for (int axis = 0; axis < shape.axes(); ++axis) {
      text = Text({text, axis ? ", " : "", shape[axis]}).string();
    }
    return Text({text, "]"}).string();
  }

 private:
  std::size_t index(int axis) const {
    const int i = axis < 0 ? axis + axes_ : axis;
    if (i < 0 || i >= axes_) throw_no_axis(axis);
    return static_cast<std::size_t>(i);
  }

  // Messages apart: an index stands in hundreds of places.
  [[noreturn, gnu::cold, gnu::noinline]] void throw_no_axis(int axis) const {
    throw ShapeError(Message("shape", {"no axis ", axis}).fact("shape", *this));
  }
  [[noreturn, gnu::cold, gnu::noinline]] void throw_too_large() const {
    throw ShapeError(Message("shape", "more elements than 64 bits can count").fact("shape", *this));
  }
  [[noreturn, gnu::cold, gnu::noinline]] void throw_no_size(std::int64_t size) const {
    if (axes_ == max_axes) throw ShapeError(Message("shape", "more than six axes"));
    throw ShapeError(Message("shape", "the size of an axis is negative").fact("came", size));
  }

  std::array<std::int64_t, max_axes> sizes_{};
  int axes_ = 0;
};

}  // namespace tinynet::inline TINYNET_ABI
