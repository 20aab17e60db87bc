#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <tinynet/core/error.hpp>
#include <tinynet/tensor/shape.hpp>

namespace tinynet::inline TINYNET_ABI::report {

/// An image of bytes, row by row, channels last: 1 grey, 2 grey and alpha, 3 colour, 4 colour and
/// alpha.
struct Picture {
  std::int64_t height = 0, width = 0, channels = 0;
  std::vector<std::uint8_t> pixels;  // [height, width, channels]
};

/// The picture with its longer side reduced to at most `side` pixels, each the mean of those that
/// fall together: a report of large photographs should not weigh more than they do.
inline Picture thumbnail(const Picture& picture, std::int64_t side) {
  const auto longer = std::max(picture.height, picture.width);
  if (longer <= side) return picture;
  Picture small{std::max<std::int64_t>(picture.height * side / longer, 1),
                std::max<std::int64_t>(picture.width * side / longer, 1),
                picture.channels,
                {}};
  for (std::int64_t y = 0; y < small.height; ++y) {
    const auto y0 = y * picture.height / small.height, y1 = (y + 1) * picture.height / small.height;
    for (std::int64_t x = 0; x < small.width; ++x) {
      const auto x0 = x * picture.width / small.width, x1 = (x + 1) * picture.width / small.width;
      for (std::int64_t c = 0; c < small.channels; ++c) {
        std::int64_t sum = 0;
        for (auto v = y0; v < y1; ++v) {
          for (auto u = x0; u < x1; ++u) {
            sum += picture.pixels[std::size_t((v * picture.width + u) * picture.channels + c)];
          }
        }
        const auto count = (y1 - y0) * (x1 - x0);
        small.pixels.push_back(static_cast<std::uint8_t>((sum + count / 2) / count));
      }
    }
  }
  return small;
}

/// The first `count` channels: what is shown of an image that has more than any picture.
inline Picture first_channels(const Picture& picture, std::int64_t count) {
  Picture some{picture.height, picture.width, count, {}};
  for (std::int64_t i = 0; i < picture.height * picture.width; ++i) {
    const auto* pixel = picture.pixels.data() + i * picture.channels;
    some.pixels.insert(some.pixels.end(), pixel, pixel + count);
  }
  return some;
}

/// Base64 of RFC 4648.
inline std::string base64(std::string_view data) {
  static constexpr char alphabet[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((data.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < data.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      bits = bits << 8 | (i + k < data.size() ? static_cast<unsigned char>(data[i + k]) : 0);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      text += i + k <= data.size() ? alphabet[bits >> (18 - 6 * k) & 63] : '=';
    }
  }
  return text;
}

namespace detail {

inline void append_big_endian(std::string& to, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) to += static_cast<char>(value >> shift);
}

/// The check sum of PNG's chunks (ISO 3309), a bit at a time: pictures here are small.
inline std::uint32_t crc32(std::string_view data) {
  std::uint32_t crc = 0xffffffff;
  for (const char c : data) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}

inline void append_chunk(std::string& png, const std::string& type, const std::string& data) {
  append_big_endian(png, static_cast<std::uint32_t>(data.size()));
  png += type + data;
  append_big_endian(png, crc32(type + data));
}

/// A zlib stream (RFC 1950) of stored blocks: not compressed, hence without a library.
inline std::string stored_stream(std::string_view data) {
  std::string stream = "\x78\x01";
  constexpr std::size_t most = 65535;
  for (std::size_t at = 0; at == 0 || at < data.size(); at += most) {
    const auto block = data.substr(at, most);
    const auto length = static_cast<std::uint16_t>(block.size());
    const auto inverse = static_cast<std::uint16_t>(~length);
    stream += at + most >= data.size() ? '\1' : '\0';
    for (const auto word : {length, inverse}) {
      stream += static_cast<char>(word & 255);
      stream += static_cast<char>(word >> 8);
    }
    stream += block;
  }
  std::uint32_t a = 1, b = 0;  // Adler-32
  for (const char c : data) {
    a = (a + static_cast<unsigned char>(c)) % 65521;
    b = (b + a) % 65521;
  }
  append_big_endian(stream, b << 16 | a);
  return stream;
}

}  // namespace detail

/// The bytes of a PNG file, not compressed: a report needs no library for its small pictures. Throws
/// ShapeError for a picture without pixels, with other channels than 1 to 4, or of another size than
/// it says.
inline std::string encode_png(const Picture& picture) {
  const auto row = picture.width * picture.channels;
  if (picture.height < 1 || picture.width < 1 || picture.channels < 1 || picture.channels > 4 ||
      picture.height * row != std::int64_t(picture.pixels.size())) {
    throw ShapeError(
        Message("picture", "a PNG needs pixels with 1 to 4 channels")
            .fact("picture", Shape{picture.height, picture.width, picture.channels}, "(h, w, c)")
            .fact("came", picture.pixels.size(), "bytes"));
  }
  std::string png = "\x89PNG\r\n\x1a\n", header, lines;
  detail::append_big_endian(header, static_cast<std::uint32_t>(picture.width));
  detail::append_big_endian(header, static_cast<std::uint32_t>(picture.height));
  constexpr std::array<char, 5> color_type{0, 0, 4, 2, 6};  // by channels
  header += {8, color_type[std::size_t(picture.channels)], 0, 0, 0};
  for (std::int64_t y = 0; y < picture.height; ++y) {
    lines += '\0';  // no filter
    lines.append(reinterpret_cast<const char*>(picture.pixels.data()) + y * row,
                 static_cast<std::size_t>(row));
  }
  detail::append_chunk(png, "IHDR", header);
  detail::append_chunk(png, "IDAT", detail::stored_stream(lines));
  detail::append_chunk(png, "IEND", "");
  return png;
}

/// The picture as an address that holds its bytes, for an <img> in a page without other files.
inline std::string data_uri(const Picture& picture) {
  return "data:image/png;base64," + base64(encode_png(picture));
}

}  // namespace tinynet::inline TINYNET_ABI::report
