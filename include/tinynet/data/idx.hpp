#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include <tinynet/data/dataset.hpp>
#include <tinynet/io/gzip.hpp>

namespace tinynet::inline TINYNET_ABI::data {

namespace detail {

inline std::string hex(const std::byte* bytes) {
  char text[12];
  const auto at = [&](int i) { return std::to_integer<unsigned>(bytes[i]); };
  std::snprintf(text, sizeof text, "%02x %02x %02x %02x", at(0), at(1), at(2), at(3));
  return text;
}

/// The size of an axis: 32 bits, big-endian.
inline std::uint32_t idx_size(const std::byte* bytes, int axis) {
  std::uint32_t size = 0;
  for (int i = 0; i < 4; ++i) {
    size = size << 8 | std::to_integer<std::uint32_t>(bytes[4 + 4 * axis + i]);
  }
  return size;
}

/// What an IDX file has to hold by its header; the most there is, where that is not all there or
/// announces more than any file holds.
inline std::size_t idx_bytes(const std::byte* bytes, std::size_t count) {
  constexpr auto most = std::numeric_limits<std::size_t>::max() / 2;
  if (count < 4) return most;
  const auto axes = std::to_integer<int>(bytes[3]);
  const auto header = 4 + 4 * static_cast<std::size_t>(axes);
  if (count < header) return most;
  std::size_t elements = 1;
  for (int axis = 0; axis < axes; ++axis) {
    const std::size_t size = idx_size(bytes, axis);
    if (size > 0 && elements > most / size) return most;  // the product could overflow
    elements *= size;
  }
  return header + elements;
}

/// The header of an IDX file: its sizes, after everything that can be wrong has been checked.
inline Shape idx_shape(const std::vector<std::byte>& bytes, const std::string& file, int axes) {
  const auto complain = [&](const Text& what) { return Message("idx", what).fact("file", file); };
  const auto header = 4 + 4 * static_cast<std::size_t>(axes);
  if (bytes.size() < header) {
    throw DataError(complain("the file ends within its header")
                        .fact("expected", header, "bytes at least")
                        .fact("came", bytes.size(), "bytes")
                        .hint("fetch the file again"));
  }
  const std::byte magic[4] = {{}, {}, std::byte{8}, static_cast<std::byte>(axes)};
  if (!std::equal(magic, magic + 4, bytes.data())) {
    throw DataError(complain("wrong magic number")
                        .fact("byte", 0)
                        .fact("expected", hex(magic), axes == 1 ? "labels" : "images")
                        .fact("came", hex(bytes.data()))
                        .hint("images begin with 00 00 08 03, labels with 00 00 08 01"));
  }
  Shape shape;
  for (int axis = 0; axis < axes; ++axis) {
    const auto size = idx_size(bytes.data(), axis);
    if (size == 0) {
      throw DataError(complain({"axis ", axis, " has size 0"}).fact("byte", 4 + 4 * axis));
    }
    shape.append(size);
  }
  const auto expected = idx_bytes(bytes.data(), bytes.size());
  if (bytes.size() != expected) {
    const bool is_short = bytes.size() < expected;
    throw DataError(
        complain(is_short ? "the file is cut short" : "more bytes follow than the header announces")
            .fact("header", shape)
            .fact("expected", expected, "bytes, unpacked")
            .fact("came", bytes.size(), "bytes")
            .hint("fetch the file again"));
  }
  return shape;
}

}  // namespace detail

/// The unsigned bytes of an IDX file with that many axes, packed by gzip or not:
///
///     00 00 08 | axes | for each axis its size, 32 bits, big-endian | elements, row-major
///
/// http://yann.lecun.com/exdb/mnist describes the format. Throws DataError with file and byte.
[[gnu::noinline]] inline Tensor<std::uint8_t> read_idx(const std::string& path, int axes) {
  const auto bytes = io::read_unpacked(path, detail::idx_bytes);
  Tensor<std::uint8_t> elements(detail::idx_shape(bytes, path, axes));
  const auto header = static_cast<std::int64_t>(bytes.size()) - elements.size();
  std::transform(bytes.begin() + header, bytes.end(), elements.data(),
                 [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
  return elements;
}

/// Grey images and their labels from a pair of IDX files. Throws DataError if a file is missing or
/// damaged, their counts differ, or a label is not in [0, classes.size()).
inline Dataset read_idx_dataset(std::string name, const std::string& images_path,
                                const std::string& labels_path, std::vector<std::string> classes) {
  const auto images = read_idx(images_path, 3);
  const auto bytes = read_idx(labels_path, 1);
  const auto count = images.shape()[0];
  if (count != bytes.size()) {
    throw DataError(Message("idx", {count, " images, but ", bytes.size(), " labels"})
                        .fact("images", images_path)
                        .fact("labels", labels_path)
                        .hint("pair the files of one split"));
  }
  Tensor<std::int32_t> labels({count});
  for (std::int64_t i = 0; i < count; ++i) {
    labels.data()[i] = bytes.data()[i];
    if (bytes.data()[i] < classes.size()) continue;
    throw DataError(Message("idx", {"label ", bytes.data()[i], " is out of range"})
                        .fact("file", labels_path)
                        .fact("byte", 8 + i, {"sample ", i})
                        .fact("expected", {"0 to ", int(classes.size()) - 1}));
  }
  const auto& shape = images.shape();
  return Dataset(std::move(name), images.reshape({count, shape[1], shape[2], 1}), std::move(labels),
                 std::move(classes));
}

}  // namespace tinynet::inline TINYNET_ABI::data
