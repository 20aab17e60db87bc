#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <tinynet/core/error.hpp>
#include <tinynet/io/dtype.hpp>
#include <tinynet/io/json_parser.hpp>
#include <tinynet/tensor/shape.hpp>

namespace tinynet::inline TINYNET_ABI::io {

/// One tensor of a safetensors file.
struct SafetensorsEntry {
  std::string name;
  std::string dtype = {};  // F64, F32, F16, BF16, I64, I32 or U8
  Shape shape = {};
  std::size_t begin = 0;  // its bytes, counted from the start of the file
  std::size_t end = 0;
  std::size_t header_byte = 0;  // where the header describes it
};

/// What a header may have, in bytes, as in the format's own implementation: what is read from it takes
/// many times as much memory.
inline constexpr std::uint64_t safetensors_header_limit = 100'000'000;

inline constexpr const char* safetensors_damaged =
    "the file is damaged or no safetensors file: write it again";

[[noreturn]] inline void safetensors_error(const std::string& path, std::size_t byte,
                                           const Text& what, const Text& hint) {
  throw DataError(Message("safetensors", what).fact("file", path).fact("byte", byte).hint(hint));
}

/// What stands before the data of a safetensors file, checked against the file's bytes: what it
/// promises is there, in full, and nothing else is.
template <class Json>
class SafetensorsHeaderOnDemand {
 public:
  /// Throws DataError with the byte at which the file stops making sense.
  SafetensorsHeaderOnDemand(std::span<const std::byte> file, const std::string& path)
      : path_(path) {
    const auto text = header_text(file);
    data_begin_ = length_bytes + text.size();
    file_end_ = file.size();
    const auto header = parse_json<Json>(text, path, length_bytes);
    for (const auto& [name, value] : expect<typename Json::Object>(header, "the header")) {
      if (name == "__metadata__") {
        metadata_ = metadata_from(value);
      } else {
        tensors_.push_back(entry_from(name, value));
      }
    }
    std::sort(tensors_.begin(), tensors_.end(), [](const auto& a, const auto& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    check_layout();
  }

  /// In the order in which they lie in the file.
  const std::vector<SafetensorsEntry>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  static constexpr std::size_t length_bytes = 8;

  std::string_view header_text(std::span<const std::byte> file) const {
    if (file.size() < length_bytes) fail(file.size(), "the file ends within its first 8 bytes");
    std::uint64_t length = 0;
    std::memcpy(&length, file.data(), length_bytes);
    if (length > safetensors_header_limit) {
      fail(0, {"the header should have ", length, " bytes, more than the ",
               safetensors_header_limit, " that are read"});
    }
    if (length > file.size() - length_bytes) {
      fail(0, {"the header should have ", length, " bytes, the whole file has ", file.size()});
    }
    return {reinterpret_cast<const char*>(file.data()) + length_bytes,
            static_cast<std::size_t>(length)};
  }

  std::map<std::string, std::string> metadata_from(const Json& json) const {
    std::map<std::string, std::string> result;
    for (const auto& [key, value] : expect<typename Json::Object>(json, "__metadata__")) {
      result[key] = expect<std::string>(value, "__metadata__ '" + key + "'");
    }
    return result;
  }

  SafetensorsEntry entry_from(const std::string& name, const Json& json) const {
    const auto owner = "tensor '" + name + "'";
    expect<typename Json::Object>(json, owner);
    const auto member = [&](const char* key) -> const Json& {
      if (const auto* value = json.find(key)) return *value;
      fail(json.byte(), {owner, " has no ", key});
    };
    SafetensorsEntry entry{.name = name, .header_byte = json.byte()};

    const auto& dtype = member("dtype");
    entry.dtype = expect<std::string>(dtype, "dtype of " + owner);
    std::uint64_t bytes = 0;  // of one element; the sizes multiply it
    const auto measure = [&]<class T>(std::type_identity<T>) { bytes = sizeof(T); };
    if (!visit_dtype(entry.dtype, measure)) {
      fail(dtype.byte(), {owner, " has the unknown dtype ", entry.dtype},
           {"tinynet reads ", dtype_list, "; convert the tensor before saving it"});
    }

    const auto& shape = member("shape");
    for (const auto& json_size : expect<typename Json::Array>(shape, "shape of " + owner)) {
      const auto size = count(json_size, "a size of " + owner);
      if (entry.shape.axes() == Shape::max_axes) {
        fail(shape.byte(), {owner, " has more than ", Shape::max_axes, " axes"},
             "reshape the tensor before saving it");
      }
      entry.shape.append(static_cast<std::int64_t>(size));
      if (size > 0 && bytes > std::numeric_limits<std::int64_t>::max() / size) {
        fail(shape.byte(), {"the size of ", owner, " overflows 64 bits"});
      }
      bytes *= size;
    }

    const auto& offsets = member("data_offsets");
    const auto& range = expect<typename Json::Array>(offsets, "data_offsets of " + owner);
    if (range.size() != 2) {
      fail(offsets.byte(),
           {"data_offsets of ", owner, " holds ", range.size(), " numbers, expected 2"});
    }
    const auto begin = count(range[0], "an offset of " + owner);
    const auto end = count(range[1], "an offset of " + owner);
    if (begin > end || end > file_end_ - data_begin_) {
      fail(offsets.byte(), {owner, " should be ", span_text(begin, end), " of the data, which has ",
                            file_end_ - data_begin_});
    }
    if (end - begin != bytes) {
      fail(offsets.byte(), {owner, " is ", span_text(begin, end), " of the data, but ", entry.dtype,
                            " ", to_string(entry.shape), " needs ", bytes, " bytes"});
    }
    entry.begin = data_begin_ + static_cast<std::size_t>(begin);
    entry.end = data_begin_ + static_cast<std::size_t>(end);
    return entry;
  }

  /// A byte that belongs to no tensor could hide something, one that belongs to two is a mistake.
  void check_layout() const {
    std::size_t filled = data_begin_;
    std::string previous;
    for (const auto& entry : tensors_) {
      if (entry.begin < filled) {
        fail(entry.header_byte, {"tensor '", entry.name, "' overlaps tensor '", previous, "'"});
      }
      if (entry.begin > filled) fail(filled, {"no tensor owns ", span_text(filled, entry.begin)});
      filled = entry.end;
      previous = entry.name;
    }
    if (filled < file_end_) {
      fail(filled, {file_end_ - filled, " bytes follow the last tensor"});
    }
  }

  template <class T>
  const T& expect(const Json& json, const Text& what) const {
    if (const auto* value = json.template as<T>()) return *value;
    fail(json.byte(), {what.string(), " is ", json.kind(), ", expected ", Json(T{}).kind()});
  }
  std::uint64_t count(const Json& json, const Text& what) const {
    const auto value = expect<std::int64_t>(json, what);
    if (value < 0) fail(json.byte(), {what.string(), " is negative: ", value});
    return static_cast<std::uint64_t>(value);
  }
  static std::string span_text(std::uint64_t begin, std::uint64_t end) {
    return "bytes " + std::to_string(begin) + " to " + std::to_string(end);
  }
  [[noreturn]] void fail(std::size_t byte, const Text& what,
                         const Text& hint = safetensors_damaged) const {
    safetensors_error(path_, byte, what, hint);
  }

  std::string path_;
  std::size_t data_begin_ = 0;
  std::size_t file_end_ = 0;
  std::map<std::string, std::string> metadata_;
  std::vector<SafetensorsEntry> tensors_;
};
using SafetensorsHeader = SafetensorsHeaderOnDemand<Json>;

}  // namespace tinynet::inline TINYNET_ABI::io
