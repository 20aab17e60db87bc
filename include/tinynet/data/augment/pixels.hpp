#pragma once

#include <cstring>

#include <tinynet/core/scratch.hpp>
#include <tinynet/core/simd_words.hpp>
#include <tinynet/data/augment/image.hpp>

/// Pixels as 32-bit words, a channel in each byte from the lowest on: vectors take the channels of
/// many pixels apart by shifts, which bytes in threes do not allow.
namespace tinynet::inline TINYNET_ABI::data {

/// The words of `count` pixels of 1 or 3 channels; bytes that no channel needs hold anything.
template <class = void>
void to_words(const std::uint8_t* pixels, std::int64_t count, std::int64_t channels,
              std::int32_t* words) {
  if (channels == 1) {
    for (std::int64_t i = 0; i < count; ++i) words[i] = pixels[i];
    return;
  }
  std::int64_t i = 0;
#if defined(__SSSE3__)  // four pixels out of sixteen bytes, as long as there are as many
  const auto spread = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
  for (; i + 6 <= count; i += 4) {
    const auto bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(pixels + 3 * i));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(words + i), _mm_shuffle_epi8(bytes, spread));
  }
#endif
  // Four bytes are copied by one instruction; behind the last pixel the fourth need not exist.
  for (; i + 1 < count; ++i) std::memcpy(words + i, pixels + 3 * i, 4);
  words[count - 1] = 0;
  std::memcpy(words + count - 1, pixels + 3 * (count - 1), 3);
}

template <class = void>
void from_words(const std::int32_t* words, std::int64_t count, std::int64_t channels,
                std::uint8_t* pixels) {
  if (channels == 1) {
    for (std::int64_t i = 0; i < count; ++i) pixels[i] = static_cast<std::uint8_t>(words[i]);
    return;
  }
  std::int64_t i = 0;
#if defined(__SSSE3__)  // what is stored beyond four pixels, the next four replace
  const auto join = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
  for (; i + 6 <= count; i += 4) {
    const auto four = _mm_loadu_si128(reinterpret_cast<const __m128i*>(words + i));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(pixels + 3 * i), _mm_shuffle_epi8(four, join));
  }
#endif
  for (; i + 1 < count; ++i) std::memcpy(pixels + 3 * i, words + i, 4);
  std::memcpy(pixels + 3 * (count - 1), words + count - 1, 3);
}

/// Calls `f(red, green, blue)` with the levels of as many pixels as fit a register, 0 to 255, and
/// stores what it makes of them, with fractions cut off. For three channels.
template <class F>
void map_colours(Image& image, F f) {
  const auto pixels = image.height * image.width;
  Scratch scratch;
  const auto words = scratch.take<std::int32_t>(pixels + simd::width<float>);
  to_words(image.pixels.data(), pixels, 3, words.data());
  for (std::int64_t i = 0; i < pixels; i += simd::width<float>) {
    const auto x = simd::load_words(words.data() + i);
    auto red = simd::byte(x, 0), green = simd::byte(x, 1), blue = simd::byte(x, 2);
    f(red, green, blue);
    simd::store_words(words.data() + i,
                      simd::to_byte(red, 0) | simd::to_byte(green, 1) | simd::to_byte(blue, 2));
  }
  from_words(words.data(), pixels, 3, image.pixels.data());
}

/// PyTorch's weights of a grey level (ITU-R 601).
template <class X>
X grey_level(const X& red, const X& green, const X& blue) {
  return 0.2989f * red + 0.587f * green + 0.114f * blue;
}

}  // namespace tinynet::inline TINYNET_ABI::data
