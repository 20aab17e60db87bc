#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <utility>
#include <vector>

#include <tinynet/core/buffer.hpp>
#include <tinynet/core/parallel.hpp>
#include <tinynet/core/random.hpp>
#include <tinynet/core/types.hpp>
#include <tinynet/tensor/shape.hpp>

namespace tinynet::inline TINYNET_ABI {

namespace detail {
// What goes wrong with tensors of any type, compiled once.
[[noreturn, gnu::cold, gnu::noinline]] inline void throw_no_item(const Shape& shape) {
  throw ShapeError(Message("item", "needs a tensor with one element").fact("came", shape));
}
[[noreturn, gnu::cold, gnu::noinline]] inline void throw_not_filled(const Shape& shape,
                                                                    std::size_t values) {
  throw ShapeError(Message("Tensor::from", "the values do not fill the shape")
                       .fact("shape", shape, {shape.elements(), " elements"})
                       .fact("came", values, "values"));
}
[[noreturn, gnu::cold, gnu::noinline]] inline void throw_no_reshape(const Shape& from,
                                                                    const Shape& to) {
  throw ShapeError(Message("reshape", "the number of elements would change")
                       .fact("from", from, {from.elements(), " elements"})
                       .fact("to", to, {to.elements(), " elements"}));
}
[[noreturn, gnu::cold, gnu::noinline]] inline void throw_two_sizes_missing(const Shape& from) {
  throw ShapeError(Message("reshape", "only one size may be -1").fact("from", from));
}
[[noreturn, gnu::cold, gnu::noinline]] inline void throw_no_rows(const Shape& shape,
                                                                 std::int64_t begin,
                                                                 std::int64_t end) {
  throw ShapeError(
      Message("rows", "no such rows").fact("rows", {begin, " to ", end}).fact("shape", shape));
}

/// Where the element with that index lies, checked.
template <class = void>
std::int64_t position(const Shape& shape, std::initializer_list<std::int64_t> index) {
  std::int64_t at = 0;
  int axis = 0;
  if (static_cast<int>(index.size()) != shape.axes()) {
    throw ShapeError(Message("element", "needs one index per axis")
                         .fact("shape", shape)
                         .fact("came", index.size(), "indices"));
  }
  for (const auto i : index) {
    if (i < 0 || i >= shape[axis]) {
      throw ShapeError(Message("element", {"index ", i, " is out of range on axis ", axis})
                           .fact("shape", shape));
    }
    at = at * shape[axis++] + i;
  }
  return at;
}
}  // namespace detail

/// A dense array in row-major order (images channels last: [n, h, w, c]). A handle: a copy shares the
/// storage, `clone` copies it. `T` is any trivially copyable type; networks use the four Scalars.
template <class T>
class Tensor {
 public:
  Tensor() = default;
  /// Not initialised: the op that makes a tensor writes all of it.
  [[gnu::noinline]] explicit Tensor(const Shape& shape)
      : Tensor(Buffer(shape.bytes(sizeof(T))), 0, shape) {}
  /// A view into storage that others may share, beginning `offset` elements in.
  [[gnu::noinline]] Tensor(Buffer buffer, std::int64_t offset, const Shape& shape)
      : buffer_(std::move(buffer)),
        data_(reinterpret_cast<T*>(buffer_.data()) + offset),
        shape_(shape),
        size_(shape.elements()) {}

  // Not inlined, as tensors are copied and dropped in hundreds of places.
  [[gnu::noinline]] Tensor(const Tensor& other) = default;
  [[gnu::noinline]] Tensor(Tensor&& other) noexcept { *this = std::move(other); }
  [[gnu::noinline]] Tensor& operator=(const Tensor& other) = default;
  /// Leaves `other` without storage, so that nobody reads what is no longer its own.
  [[gnu::noinline]] Tensor& operator=(Tensor&& other) noexcept {
    buffer_ = std::move(other.buffer_);
    T* const data = std::exchange(other.data_, nullptr);  // other may be this
    data_ = data;
    shape_ = other.shape_;
    size_ = other.size_;
    return *this;
  }
  ~Tensor() = default;

  static Tensor full(const Shape& shape, T value) {
    Tensor tensor(shape);
    std::fill_n(tensor.data(), tensor.size(), value);
    return tensor;
  }
  static Tensor zeros(const Shape& shape) { return full(shape, T(0.0f)); }
  static Tensor ones(const Shape& shape) { return full(shape, T(1.0f)); }
  static Tensor scalar(T value) { return full({}, value); }
  static Tensor from(const Shape& shape, std::span<const T> values) {
    Tensor tensor(shape);
    if (std::int64_t(values.size()) != tensor.size()) {
      detail::throw_not_filled(shape, values.size());
    }
    std::copy(values.begin(), values.end(), tensor.data());
    return tensor;
  }
  static Tensor from(const Shape& shape, std::initializer_list<T> values) {
    return from(shape, std::span<const T>(values.begin(), values.size()));
  }
  /// Uniform in [low, high), the same for any number of threads; rounding to T may make it `high`.
  static Tensor uniform(const Shape& shape, random::Key key, float low = 0, float high = 1) {
    return generated(shape, [=](auto i) { return low + (high - low) * random::uniform(key, i); });
  }
  static Tensor normal(const Shape& shape, random::Key key, float mean = 0, float deviation = 1) {
    return generated(shape, [=](auto i) { return mean + deviation * random::normal(key, i); });
  }

  const Shape& shape() const { return shape_; }
  std::int64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::span<T> span() { return {data(), static_cast<std::size_t>(size_)}; }
  std::span<const T> span() const { return {data(), static_cast<std::size_t>(size_)}; }

  /// The element at one index per axis, checked.
  template <class... Index>
  T& operator()(Index... index) {
    return data()[detail::position(shape_, {static_cast<std::int64_t>(index)...})];
  }
  template <class... Index>
  const T& operator()(Index... index) const {
    return data()[detail::position(shape_, {static_cast<std::int64_t>(index)...})];
  }
  /// The value of a tensor with one element.
  T item() const {
    if (size_ != 1) detail::throw_no_item(shape_);
    return *data();
  }

  /// The same elements under another shape; one size may be -1 and is worked out. Shares storage.
  Tensor reshape(std::initializer_list<std::int64_t> sizes) const {
    Shape shape;
    if (std::count(sizes.begin(), sizes.end(), -1) > 1) detail::throw_two_sizes_missing(shape_);
    for (const auto size : sizes) shape.append(size == -1 ? 1 : size);
    const auto known = shape.elements();  // or a ShapeError: more than 64 bits can count
    shape = {};
    for (const auto size : sizes) shape.append(size == -1 && known > 0 ? size_ / known : size);
    return reshape(shape);
  }
  Tensor reshape(const Shape& shape) const {
    if (shape.elements() != size_) detail::throw_no_reshape(shape_, shape);
    return Tensor(buffer_, offset(), shape);
  }
  /// Elements [begin, end) of the outermost axis. Shares storage.
  Tensor rows(std::int64_t begin, std::int64_t end) const {
    if (begin < 0 || end < begin || end > shape_[0]) detail::throw_no_rows(shape_, begin, end);
    auto shape = shape_;
    const std::int64_t row = shape[0] ? size_ / shape[0] : 0;
    shape[0] = end - begin;
    return Tensor(buffer_, offset() + begin * row, shape);
  }
  Tensor clone() const { return from(shape_, span()); }

  const Buffer& buffer() const { return buffer_; }
  /// True where no other tensor shares this storage, so that it may be written in place.
  bool unique() const { return buffer_.unique(); }

 private:
  template <class F>
  static Tensor generated(const Shape& shape, F f) {
    Tensor tensor(shape);
    parallel_ranges(tensor.size(), 1 << 14, [&](Range range) {
      for (auto i = range.begin; i < range.end; ++i) {
        tensor.data()[i] = static_cast<T>(f(static_cast<std::uint64_t>(i)));
      }
    });
    return tensor;
  }

  /// Of the first element in the storage.
  std::int64_t offset() const { return data_ - reinterpret_cast<const T*>(buffer_.data()); }

  Buffer buffer_;
  T* data_ = nullptr;  // kept: to find it through the buffer is a branch in hundreds of places
  Shape shape_ = {0};
  std::int64_t size_ = 0;
};

}  // namespace tinynet::inline TINYNET_ABI
