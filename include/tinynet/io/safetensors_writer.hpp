#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <tinynet/core/error.hpp>
#include <tinynet/io/atomic_file.hpp>
#include <tinynet/io/dtype.hpp>
#include <tinynet/io/json_quote.hpp>
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
template <class = void>
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
  void write(const std::string& path) const {
    // Widest elements first: every tensor then begins at a multiple of its element size.
    std::vector<const Entry*> entries;
    for (const std::size_t bytes : {8, 4, 2, 1}) {
      for (const auto& entry : entries_) {
        if (entry.element_bytes == bytes) entries.push_back(&entry);
      }
    }
    const auto text = header(entries);
    const std::uint64_t length = text.size();

    AtomicFile file(path);
    file.write(std::as_bytes(std::span(&length, 1)));
    file.write(std::as_bytes(std::span<const char>(text.data(), text.size())));
    for (const auto* entry : entries) file.write(entry->bytes);
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

  std::string header(const std::vector<const Entry*>& entries) const {
    std::string text = "{";
    const auto separate = [&] { text += text.back() == '{' ? "" : ","; };
    if (!metadata_.empty()) {
      text += "\"__metadata__\":{";
      for (const auto& [key, value] : metadata_) {
        separate();
        text += json_quote(key) + ':' + json_quote(value);
      }
      text += '}';
    }
    std::size_t begin = 0;
    for (const auto* entry : entries) {
      const auto end = begin + entry->bytes.size();
      separate();
      text += json_quote(entry->name);
      text += Text({":{\"dtype\":\"", entry->dtype, "\",\"shape\":", entry->shape,
                    ",\"data_offsets\":[", begin, ",", end, "]}"})
                  .string();
      begin = end;
    }
    text += '}';
    text.resize((text.size() + 7) / 8 * 8, ' ');  // the data begins at a multiple of 8
    return text;
  }

  [[noreturn]] static void reject(const std::string& name, const std::string& why) {
    throw StateError(Message("safetensors", "the name '" + name + "' " + why));
  }

  std::vector<Entry> entries_;
  std::map<std::string, std::string> metadata_;
};
using SafetensorsWriter = SafetensorsWriterOnDemand<>;

}  // namespace tinynet::inline TINYNET_ABI::io
