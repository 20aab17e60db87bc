#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <tinynet/core/error.hpp>
#include <tinynet/io/atomic_file.hpp>
#include <tinynet/io/dtype.hpp>
#include <tinynet/io/json.hpp>
#include <tinynet/io/utf8.hpp>
#include <tinynet/tensor/tensor.hpp>

namespace tinynet::inline TINYNET_ABI::io {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

/// Collects named tensors and writes them as one safetensors file.
///
///     io::SafetensorsWriter file;
///     file.add("fc.weight", weight);
///     file.metadata("epoch", "3");
///     file.write("model.safetensors");
template <class Json>
class SafetensorsWriterOnDemand {
 public:
  /// Holds on to the tensor's storage, not to a copy: what it contains when `write` runs is
  /// written. Throws StateError if the name is taken or not UTF-8.
  template <class T>
  void add(const std::string& name, const Tensor<T>& tensor) {
    if (name == "__metadata__") reject(name, "is reserved");
    if (!is_utf8(name)) reject(name, "is not UTF-8");
    if (std::any_of(entries_.begin(), entries_.end(),
                    [&](const Entry& entry) { return entry.name == name; })) {
      reject(name, "was added before");
    }
    entries_.push_back({name, dtype_name<T>(), sizeof(T), tensor.shape(), tensor.buffer(),
                        std::as_bytes(tensor.span())});
  }

  /// Sets one string of the file's metadata. Throws StateError if key or value is not UTF-8.
  void metadata(const std::string& key, const std::string& value) {
    if (!is_utf8(key) || !is_utf8(value)) reject(key, "or its value is not UTF-8");
    metadata_[key] = value;
  }

  /// Writes the file, whole or not at all: a failure throws DataError and leaves what was there.
  void write(const std::filesystem::path& path) const {
    auto entries = entries_;
    // Widest elements first: every tensor then begins at a multiple of its element size.
    std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return a.element_bytes > b.element_bytes;
    });
    const auto text = header(entries);
    const std::uint64_t length = text.size();

    AtomicFile file(path);
    file.write(std::as_bytes(std::span(&length, 1)));
    file.write(std::as_bytes(std::span<const char>(text.data(), text.size())));
    for (const auto& entry : entries) file.write(entry.bytes);
    file.commit();
  }

 private:
  struct Entry {
    std::string name;
    std::string dtype;
    std::size_t element_bytes = 0;
    Shape shape;
    Buffer owner;  // keeps `bytes` alive
    std::span<const std::byte> bytes;
  };

  std::string header(const std::vector<Entry>& entries) const {
    typename Json::Object header;
    if (!metadata_.empty()) {
      header.emplace_back("__metadata__",
                          typename Json::Object(metadata_.begin(), metadata_.end()));
    }
    std::size_t begin = 0;
    for (const auto& entry : entries) {
      const auto end = begin + entry.bytes.size();
      header.emplace_back(
          entry.name, typename Json::Object{
                          {"dtype", entry.dtype},
                          {"shape", typename Json::Array(entry.shape.begin(), entry.shape.end())},
                          {"data_offsets", typename Json::Array{begin, end}}});
      begin = end;
    }
    auto text = Json(std::move(header)).dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');  // the data begins at a multiple of 8
    return text;
  }

  [[noreturn]] static void reject(const std::string& name, const std::string& why) {
    throw StateError(Message("safetensors", "the name '" + name + "' " + why));
  }

  std::vector<Entry> entries_;
  std::map<std::string, std::string> metadata_;
};
using SafetensorsWriter = SafetensorsWriterOnDemand<Json>;

}  // namespace tinynet::inline TINYNET_ABI::io
