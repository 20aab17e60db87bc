#pragma once

#include <bit>
#include <cstddef>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <tinynet/core/error.hpp>
#include <tinynet/io/dtype.hpp>
#include <tinynet/io/read_file.hpp>
#include <tinynet/io/safetensors_header.hpp>
#include <tinynet/io/safetensors_writer.hpp>
#include <tinynet/tensor/tensor.hpp>

namespace tinynet::inline TINYNET_ABI::io {

/// A safetensors file, read whole and checked: named tensors and a map of strings.
///
///     u64 length of the header | header, JSON | bytes of the tensors, without gaps
///
/// The format: https://github.com/huggingface/safetensors. Whatever is wrong with a file, the
/// members throw DataError with file and byte.
template <class = void>
class SafetensorsOnDemand {
 public:
  static SafetensorsOnDemand open(const std::string& path) { return SafetensorsOnDemand(path); }
  const std::string& path() const { return path_; }

  /// In the order in which they lie in the file.
  const std::vector<SafetensorsEntry>& tensors() const { return header_.tensors(); }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata(); }
  bool contains(std::string_view name) const { return find(name) != nullptr; }
  /// Throws DataError if there is none of that name.
  const SafetensorsEntry& tensor(std::string_view name) const {
    if (const auto* entry = find(name)) return *entry;
    auto message = Message("safetensors", "the file has no tensor '" + std::string(name) + "'");
    message.fact("file", path_);
    for (std::size_t i = 0; i < tensors().size() && i < 3; ++i) {
      message.fact("has", tensors()[i].name);
    }
    if (tensors().size() > 3) message.fact("has", tensors().size() - 3, "more");
    throw DataError(message);
  }
  const Shape& shape(std::string_view name) const { return tensor(name).shape; }

  /// A copy of a tensor, its elements converted to `T`: rounded if `T` is a floating type; if it
  /// is an integer type, DataError names the first element that it cannot hold.
  template <class T>
  Tensor<T> read(std::string_view name) const {
    Tensor<T> result(shape(name));
    read(name, result.span());
    return result;
  }
  /// The same into storage that exists. Throws ShapeError if it has another number of elements.
  template <class T>
  void read(std::string_view name, std::span<T> destination) const {
    const auto& entry = tensor(name);
    const auto size = dtype_size(entry.dtype), elements = (entry.end - entry.begin) / size;
    if (destination.size() != elements) throw_other_size(entry, elements, destination.size());
    const std::byte* from = bytes_.data() + entry.begin;
    if (entry.dtype == dtype_name<T>()) {
      if (elements > 0) std::memcpy(destination.data(), from, elements * size);
      return;
    }
    const bool whole = entry.dtype[0] == 'I' || entry.dtype[0] == 'U';
    for (std::size_t i = 0; i < elements; ++i, from += size) {
      const bool fits = whole ? convert(integer_at(from, entry.dtype), destination[i])
                              : convert(real_at(from, entry.dtype), destination[i]);
      if (!fits) throw_no_fit(entry, i, size, type_name<T>());
    }
  }

 private:
  explicit SafetensorsOnDemand(const std::string& path)
      : path_(path), bytes_(read_file(path)), header_({bytes_.data(), bytes_.size()}, path_) {}

  [[noreturn]] void throw_other_size(const SafetensorsEntry& entry, std::size_t elements,
                                     std::size_t came) const {
    throw ShapeError(Message("safetensors", "tensor '" + entry.name + "' does not fit")
                         .fact("file", path_)
                         .fact("holds", entry.shape, {elements, " elements"})
                         .fact("into", came, "elements"));
  }
  [[noreturn]] void throw_no_fit(const SafetensorsEntry& entry, std::size_t i, std::size_t size,
                                 const char* type) const {
    safetensors_error(
        path_, entry.begin + i * size,
        {"element ", i, " of tensor '", entry.name, "' (", entry.dtype, ") does not fit ", type},
        "read the tensor as double");
  }
  /// Files have some hundred tensors.
  const SafetensorsEntry* find(std::string_view name) const {
    for (const auto& entry : tensors()) {
      if (entry.name == name) return &entry;
    }
    return nullptr;
  }

  std::string path_;
  std::vector<std::byte> bytes_;
  SafetensorsHeader header_;
};
using Safetensors = SafetensorsOnDemand<>;

}  // namespace tinynet::inline TINYNET_ABI::io
