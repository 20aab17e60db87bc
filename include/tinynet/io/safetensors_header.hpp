#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tinynet/core/error.hpp>
#include <tinynet/io/dtype.hpp>
#include <tinynet/io/in_order.hpp>
#include <tinynet/io/json_reader.hpp>
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
template <class = void>
class SafetensorsHeaderOnDemand {
 public:
  /// Throws DataError with the byte at which the file stops making sense.
  SafetensorsHeaderOnDemand(std::span<const std::byte> file, const std::string& path)
      : path_(path) {
    const auto text = header_text(file);
    data_begin_ = length_bytes + text.size();
    file_end_ = file.size();
    JsonReader json(text, path_, length_bytes, safetensors_damaged);
    json.object("the header", [&](const std::string& name) {
      if (name == "__metadata__") {
        json.object(name, [&](const std::string& key) {
          metadata_[key] = json.string({"__metadata__ '", key, "'"});
        });
      } else {
        tensors_.push_back(entry_from(name, json));
      }
    });
    json.end();
    std::vector<SafetensorsEntry> sorted;
    for (const auto* entry : in_order<compare_place>(tensors_)) sorted.push_back(*entry);
    tensors_.swap(sorted);
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

  SafetensorsEntry entry_from(const std::string& name, JsonReader& json) const {
    const auto owner = "tensor '" + name + "'";
    SafetensorsEntry entry{.name = name, .header_byte = json.byte()};
    std::size_t dtype_byte = 0, shape_byte = 0, offsets_byte = 0;  // 0: it is missing
    std::uint64_t offsets[2] = {};
    int offset_count = 0;
    json.object(owner, [&](const std::string& key) {
      if (key == "dtype") {
        dtype_byte = json.byte();
        entry.dtype = json.string({"dtype of ", owner});
      } else if (key == "shape") {
        shape_byte = json.byte();
        json.array({"shape of ", owner}, [&] {
          const auto size = count(json, {"a size of ", owner});
          if (entry.shape.axes() == Shape::max_axes) {
            fail(shape_byte, {owner, " has more than ", Shape::max_axes, " axes"},
                 "reshape the tensor before saving it");
          }
          entry.shape.append(static_cast<std::int64_t>(size));
        });
      } else if (key == "data_offsets") {
        offsets_byte = json.byte();
        json.array({"data_offsets of ", owner}, [&] {
          const auto offset = count(json, {"an offset of ", owner});
          if (offset_count < 2) offsets[offset_count] = offset;
          ++offset_count;
        });
      } else {
        json.skip();
      }
    });
    const auto require = [&](std::size_t byte, const char* key) {
      if (byte == 0) fail(entry.header_byte, {owner, " has no ", key});
    };
    require(dtype_byte, "dtype");
    require(shape_byte, "shape");
    require(offsets_byte, "data_offsets");

    std::uint64_t bytes = dtype_size(entry.dtype);  // of one element; the sizes multiply it
    if (bytes == 0) {
      fail(dtype_byte, {owner, " has the unknown dtype ", entry.dtype},
           {"tinynet reads ", dtype_list, "; convert the tensor before saving it"});
    }
    for (const auto size : entry.shape) {
      const auto times = static_cast<std::uint64_t>(size);
      if (times > 0 && bytes > std::numeric_limits<std::int64_t>::max() / times) {
        fail(shape_byte, {"the size of ", owner, " overflows 64 bits"});
      }
      bytes *= times;
    }

    if (offset_count != 2) {
      fail(offsets_byte,
           {"data_offsets of ", owner, " holds ", offset_count, " numbers, expected 2"});
    }
    const auto [begin, end] = offsets;
    if (begin > end || end > file_end_ - data_begin_) {
      fail(offsets_byte, {owner, " should be ", span_text(begin, end), " of the data, which has ",
                          file_end_ - data_begin_});
    }
    if (end - begin != bytes) {
      fail(offsets_byte, {owner, " is ", span_text(begin, end), " of the data, but ", entry.dtype,
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

  std::uint64_t count(JsonReader& json, const Text& what) const {
    const auto byte = json.byte();
    const auto value = json.whole(what);
    if (value < 0) fail(byte, {what.string(), " is negative: ", value});
    return static_cast<std::uint64_t>(value);
  }
  static int compare_place(const SafetensorsEntry& a, const SafetensorsEntry& b) {
    if (a.begin != b.begin) return a.begin < b.begin ? -1 : 1;
    return a.end < b.end ? -1 : a.end > b.end;
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
using SafetensorsHeader = SafetensorsHeaderOnDemand<>;

}  // namespace tinynet::inline TINYNET_ABI::io
