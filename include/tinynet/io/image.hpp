#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <vector>

#include <stb_image.h>
#include <stb_image_write.h>

#include <tinynet/io/atomic_file.hpp>
#include <tinynet/io/read_file.hpp>
#include <tinynet/tensor/tensor.hpp>

/// Image files, by stb: PNG and JPEG in, PNG out. Not part of the umbrella: link tinynet::image, or
/// compile cmake/stb.cpp with the program, or link the library that Debian makes of stb (-lstb).
namespace tinynet::inline TINYNET_ABI::io {

namespace detail {
/// False for JPEG data that break off before their end, which stb from 2.28 on takes for a whole
/// image. What stands before the pixels is passed over: a preview in it has an end of its own.
inline bool reaches_its_end(std::span<const std::byte> data) {
  const auto is = [&](std::size_t i, int value) {
    return i < data.size() && data[i] == static_cast<std::byte>(value);
  };
  if (!is(0, 0xff) || !is(1, 0xd8)) return true;  // no JPEG
  std::size_t at = 2;
  while (at + 3 < data.size() && is(at, 0xff) && !is(at + 1, 0xda)) {
    const auto length = std::to_integer<std::size_t>(data[at + 2]) << 8 |
                        std::to_integer<std::size_t>(data[at + 3]);
    at += is(at + 1, 0xff) ? 1 : 2 + length;  // a marker may be preceded by any number of ff
  }
  for (; at + 1 < data.size(); ++at) {
    if (is(at, 0xff) && is(at + 1, 0xd9)) return true;
  }
  return false;
}
}  // namespace detail

/// The image that PNG or JPEG data hold, as bytes [h, w, channels]: 1 grey, 2 grey and alpha, 3
/// colour, 4 colour and alpha; 0: what the data hold, without alpha. Sixteen bits are cut to eight;
/// a camera's note on how it was held is not read. `name` says in errors where the data come from.
/// Throws DataError where they are something else or damaged.
inline Tensor<std::uint8_t> decode_image(std::span<const std::byte> data, int channels,
                                         const std::string& name) {
  if (channels < 0 || channels > 4) {
    throw ShapeError(
        Message("image", "an image has 1 to 4 channels, or 0: as the file").fact("came", channels));
  }
  const auto fail = [&](const Text& what, const Text& reason = {}) {
    throw DataError(Message("image", what)
                        .fact("file", name)
                        .fact("reason", reason)
                        .hint("PNG and JPEG can be read"));
  };
  // stb counts in int; nothing that is read into a batch comes near.
  if (data.empty()) fail("the file is empty");
  if (data.size() > std::numeric_limits<int>::max()) fail("the file is larger than 2 GB");
  const auto* bytes = reinterpret_cast<const stbi_uc*>(data.data());
  const auto size = static_cast<int>(data.size());

  int width = 0, height = 0, stored = 0;
  if (!stbi_info_from_memory(bytes, size, &width, &height, &stored)) {
    fail("this is no image that can be read", stbi_failure_reason());
  }
  if (!detail::reaches_its_end(data)) {
    fail("the image is cut short or damaged", "no end of image");
  }
  if (channels == 0) channels = stored <= 2 ? 1 : 3;
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(bytes, size, &width, &height, &stored, channels), stbi_image_free);
  if (!pixels) fail("the image is cut short or damaged", stbi_failure_reason());
  const Shape shape{height, width, channels};
  return Tensor<std::uint8_t>::from(shape,
                                    {pixels.get(), static_cast<std::size_t>(shape.elements())});
}

/// The image in a PNG or JPEG file, see `decode_image`. Throws DataError with file and reason.
inline Tensor<std::uint8_t> read_image(const std::filesystem::path& path, int channels = 0) {
  return decode_image(read_file(path), channels, path.string());
}

/// An image [h, w, 1 to 4] as the bytes of a PNG file, for a report that carries its pictures.
inline std::vector<std::byte> encode_png(const Tensor<std::uint8_t>& image) {
  const auto& shape = image.shape();
  const auto most = std::numeric_limits<int>::max();
  if (shape.axes() != 3 || shape[2] < 1 || shape[2] > 4 || image.empty() || image.size() > most) {
    throw ShapeError(Message("png", "cannot write an image of this shape")
                         .fact("expected", "[h, w, c]", "c from 1 to 4, less than 2 GB")
                         .fact("came", shape));
  }
  std::vector<std::byte> file;
  const auto append = [](void* to, void* data, int size) {
    const auto* bytes = static_cast<const std::byte*>(data);
    auto& all = *static_cast<std::vector<std::byte>*>(to);
    all.insert(all.end(), bytes, bytes + size);
  };
  const auto width = static_cast<int>(shape[1]), channels = static_cast<int>(shape[2]);
  if (!stbi_write_png_to_func(append, &file, width, static_cast<int>(shape[0]), channels,
                              image.data(), width * channels)) {
    throw std::bad_alloc();
  }
  return file;
}

/// Writes an image [h, w, 1 to 4] into a PNG file, whole or not at all. Throws DataError.
inline void write_png(const std::filesystem::path& path, const Tensor<std::uint8_t>& image) {
  write_file(path, encode_png(image));
}

}  // namespace tinynet::inline TINYNET_ABI::io
