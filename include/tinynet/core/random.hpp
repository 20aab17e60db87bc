#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>

#include <tinynet/core/config.hpp>

/// Counter-based random numbers: a value is a function of (key, counter) alone, so that any thread
/// can draw any element in any order, and a resumed run draws what an unbroken one would.
namespace tinynet::inline TINYNET_ABI::random {

/// Mixes 64 bits so that neighbouring inputs give unrelated outputs (the finaliser of SplitMix64;
/// Steele, Lea, Flood 2014).
constexpr std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

/// Names a stream of random numbers. Derived keys are independent streams:
/// `Key{seed}.fold(step).fold("dropout")`.
struct Key {
  std::uint64_t value = 0;

  constexpr Key fold(std::uint64_t x) const { return {mix(value ^ mix(x))}; }
  [[gnu::noinline]] constexpr Key fold(std::string_view name) const {
    std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return fold(hash);
  }
  friend constexpr bool operator==(Key, Key) = default;
};

/// Philox-4x32-10: four random words for each counter (Salmon, Moraes, Dror, Shaw, "Parallel random
/// numbers: as easy as 1, 2, 3", 2011). The reference vectors of that paper are a test.
constexpr std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 2> key,
                                              std::array<std::uint32_t, 4> counter) {
  for (int round = 0; round < 10; ++round) {
    const auto p0 = std::uint64_t{0xd2511f53} * counter[0];
    const auto p1 = std::uint64_t{0xcd9e8d57} * counter[2];
    counter = {
        static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(p1),
        static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    key[0] += 0x9e3779b9;
    key[1] += 0xbb67ae85;
  }
  return counter;
}

constexpr std::array<std::uint32_t, 4> block(Key key, std::uint64_t counter) {
  return philox(
      {static_cast<std::uint32_t>(key.value), static_cast<std::uint32_t>(key.value >> 32)},
      {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), 0, 0});
}

/// Word `i` of the stream.
constexpr std::uint32_t bits(Key key, std::uint64_t i) { return block(key, i / 4)[i % 4]; }

/// Element `i` of a stream of uniform numbers in [0, 1), a multiple of 2^-24.
constexpr float uniform(Key key, std::uint64_t i) {
  return static_cast<float>(bits(key, i) >> 8) * 0x1p-24f;
}

/// Element `i` of a stream of standard normal numbers (Box-Muller; words 2i and 2i + 1).
inline float normal(Key key, std::uint64_t i) {
  const auto words = block(key, i / 2);
  const auto first = (i % 2) * 2;
  // (0, 1]: the logarithm must not meet zero
  const double radius = std::sqrt(-2 * std::log((words[first] + 1.0) * 0x1p-32));
  return static_cast<float>(radius * std::cos(2 * std::numbers::pi * words[first + 1] * 0x1p-32));
}

/// Element `i` of a stream of integers in [0, n): the upper half of a 32 x 32 bit product, whose
/// bias of at most n / 2^32 no data set can see.
constexpr std::uint32_t below(Key key, std::uint64_t i, std::uint32_t n) {
  return static_cast<std::uint32_t>((std::uint64_t{bits(key, i)} * n) >> 32);
}

/// Draws one number after another from a stream, for code that needs a few of them (augmentation).
class Generator {
 public:
  explicit Generator(Key key) : key_(key) {}
  float uniform() { return random::uniform(key_, next_++); }
  float uniform(float low, float high) { return low + (high - low) * uniform(); }
  float normal() {
    next_ = (next_ + 1) / 2 * 2;
    const auto i = next_ / 2;
    next_ += 2;
    return random::normal(key_, i);
  }
  std::uint32_t below(std::uint32_t n) { return random::below(key_, next_++, n); }
  bool chance(float probability) { return uniform() < probability; }
  /// Names a stream of its own for who draws many numbers.
  Key key() { return key_.fold(next_++); }

 private:
  Key key_;
  std::uint64_t next_ = 0;
};

}  // namespace tinynet::inline TINYNET_ABI::random
