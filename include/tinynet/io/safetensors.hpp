#pragma once

#include <bit>
#include <cstddef>
#include <cstring>
#include <filesystem>
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
  static SafetensorsOnDemand open(const std::filesystem::path& path) {
    return SafetensorsOnDemand(path);
  }
  const std::string& path() const { return path_; }

  /// In the order in which they lie in the file.
  const std::vector<SafetensorsEntry>& tensors() const { return header_.tensors(); }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata(); }
  bool contains(std::string_view name) const {
    return index_.find(std::string(name)) != index_.end();
  }
  /// Throws DataError if there is none of that name.
  const SafetensorsEntry& tensor(std::string_view name) const {
    const auto found = index_.find(std::string(name));
    if (found != index_.end()) return tensors()[found->second];
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
    visit_dtype(entry.dtype,
                [&]<class From>(std::type_identity<From>) { copy<From>(entry, destination); });
  }

 private:
  explicit SafetensorsOnDemand(const std::filesystem::path& path)
      : path_(path.string()),
        bytes_(read_file(path)),
        header_({bytes_.data(), bytes_.size()}, path_) {
    for (const auto& entry : tensors()) index_.emplace(entry.name, index_.size());
  }

  template <class From, class To>
  void copy(const SafetensorsEntry& entry, std::span<To> destination) const {
    const auto elements = (entry.end - entry.begin) / sizeof(From);
    if (destination.size() != elements) {
      throw ShapeError(Message("safetensors", "tensor '" + entry.name + "' does not fit")
                           .fact("file", path_)
                           .fact("holds", entry.shape, std::to_string(elements) + " elements")
                           .fact("into", destination.size(), "elements"));
    }
    const std::byte* source = bytes_.data() + entry.begin;
    if constexpr (std::is_same_v<From, To>) {
      if (elements > 0) std::memcpy(destination.data(), source, elements * sizeof(From));
    } else {
      for (std::size_t i = 0; i < elements; ++i) {
        From element;  // copied out: files from elsewhere need not be aligned
        std::memcpy(&element, source + i * sizeof(From), sizeof(From));
        if (!convert(element, destination[i])) {
          safetensors_error(path_, entry.begin + i * sizeof(From),
                            {"element ", i, " of tensor '", entry.name, "' (", entry.dtype,
                             ") does not fit ", type_name<To>()},
                            "read the tensor as double");
        }
      }
    }
  }

  std::string path_;
  std::vector<std::byte> bytes_;
  SafetensorsHeader header_;
  std::map<std::string, std::size_t> index_;
};
using Safetensors = SafetensorsOnDemand<>;

}  // namespace tinynet::inline TINYNET_ABI::io
