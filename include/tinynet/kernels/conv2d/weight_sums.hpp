#pragma once

#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/conv2d/pack.hpp>
#include <tinynet/kernels/conv2d/strip.hpp>

/// The sums of a weight gradient: how they lie in memory while strips are added, and how partial
/// gradients become one.
namespace tinynet::inline TINYNET_ABI::kernels::detail {

// Heights of the blocks of sums. A run of elements is made of both kinds, so that few rows are in
// vain; the low ones are slower.
inline constexpr std::int64_t tall = simd::registers == 32 ? 12 : 6;
inline constexpr std::int64_t low = simd::registers == 32 ? 8 : 4;

/// The rows of blocks that hold `length` elements. The rows in vain, 7 at most, multiply whatever
/// lies behind a run (behind a strip that is the slack of Scratch) and are never looked at.
constexpr std::int64_t padded_rows(std::int64_t length) {
  return std::max(low, pieces(length, tall - low) * (tall - low));
}

/// The rows of those that are in tall blocks.
constexpr std::int64_t tall_rows(std::int64_t rows) {
  auto result = rows / tall * tall;
  while ((rows - result) % low) result -= tall;
  return result;
}

/// Partial gradients for sums of `bytes`: more of them make more units, but all must be stored.
constexpr std::int64_t most_partials(std::int64_t bytes) {
  return bytes <= 512 << 10 ? 8 : bytes <= 2 << 20 ? 4 : bytes <= 4 << 20 ? 2 : 1;
}

/// How the sums of a weight gradient lie: [partial][group][block][run][row][channel of the block].
template <class A>
struct SumLayout {
  Correlation c;
  Strips s = {};
  Slice<Run> runs = {};  // all of one length
  std::int64_t partials = 1;
  A* sums = nullptr;

  std::int64_t run_rows() const { return padded_rows(runs[0].length); }
  std::int64_t rows() const { return static_cast<std::int64_t>(runs.size()) * run_rows(); }
  std::int64_t channels() const { return padded_channels<A>(c.group_out()); }
  std::int64_t partial_size() const { return c.g.groups * rows() * channels(); }
  std::int64_t blocks() const { return pieces(c.group_out(), block_channels<A>); }
  std::int64_t block_size(std::int64_t first) const {
    return std::min(block_channels<A>, channels() - first);
  }
  /// The sums of the block that begins with channel `first` of a group.
  A* block(std::int64_t partial, std::int64_t group, std::int64_t first) const {
    return sums + partial * partial_size() + (group * channels() + first) * rows();
  }
};

/// dw[channel][k] (+)= sum over partials of sums[k][channel], for the elements k of one run.
template <class A>
void add_partials(A* dw, std::int64_t dw_stride, Store store, std::int64_t channels,
                  std::int64_t length, const A* sums, std::int64_t size, std::int64_t partials,
                  std::int64_t partial_stride) {
  constexpr auto W = simd::width<A>;
  constexpr std::int64_t chunk = 16;  // turned in L1, so that dw is written along its rows
  alignas(64) A turned[chunk * block_channels<A>];
  for (std::int64_t k = 0; k < length; k += chunk) {
    const auto rows = std::min(chunk, length - k);
    for (std::int64_t e = 0; e < rows * size; e += W) {
      auto sum = simd::load(sums + k * size + e);
      for (std::int64_t p = 1; p < partials; ++p) {
        sum = sum + simd::load(sums + p * partial_stride + k * size + e);
      }
      simd::store(turned + e, sum);
    }
    for (std::int64_t o = 0; o < channels; ++o) {
      A* to = dw + o * dw_stride + k;
      for (std::int64_t r = 0; r < rows; ++r) {
        const A value = turned[r * size + o];
        to[r] = store == Store::add ? to[r] + value : value;
      }
    }
  }
}

/// Adds the partials of one run of one block into dw.
template <class A>
struct StoreUnit {
  SumLayout<A> from;
  A* dw;
  Store store;

  [[gnu::noinline]] void operator()(std::int64_t unit) const {
    const auto run_count = static_cast<std::int64_t>(from.runs.size());
    const auto run = unit % run_count, block = unit / run_count % from.blocks();
    const auto group = unit / run_count / from.blocks();
    const auto first = block * block_channels<A>, length = from.runs[0].length;
    const auto size = from.block_size(first), terms = run_count * length;
    add_partials<A>(dw + (group * from.c.group_out() + first) * terms + run * length, terms, store,
                    std::min(size, from.c.group_out() - first), length,
                    from.block(0, group, first) + run * from.run_rows() * size, size, from.partials,
                    from.partial_size());
  }
};

}  // namespace tinynet::inline TINYNET_ABI::kernels::detail
