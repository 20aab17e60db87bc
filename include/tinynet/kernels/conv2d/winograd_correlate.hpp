#pragma once

#include <tinynet/core/cache.hpp>
#include <tinynet/kernels/conv2d/correlate.hpp>
#include <tinynet/kernels/conv2d/winograd_pack.hpp>

/// Winograd's forward pass and input gradient over vectors of the build's width.
///
/// A unit is some rows of tiles and some blocks of output channels. It transforms what the tiles read, multiplies
/// for each block a register tile of them at all 16 places, and transforms the sums, which lie in L1, back.
/// Every output is summed by one thread in an order that depends on the layer alone.
///
/// Floor: 16 / 36 of the products, 2 * macs * 4 / 9 / FMA peak.
namespace tinynet::inline TINYNET_ABI::kernels::winograd {

namespace detail {
using namespace kernels::detail;

/// Sums of a register tile at all places, and what becomes of them, for one block of output channels.
template <class T, int Vectors>
struct PlaceTile {
  using A = accumulate_t<T>;
  using V = simd::batch<A>;
  static constexpr auto W = simd::width<A>;
  static constexpr auto size = Vectors * W;
  static constexpr auto place_sums = tile_pixels * size;
  alignas(64) A sums[places * place_sums];
  alignas(64) A bias[size] = {}, center[size] = {}, moments[2 * size] = {};

  /// Writes the four outputs of `count` tiles, whose places in `out` are negative outside, and adds them to
  /// the moments.
  void write(T* out, Store store, const std::int64_t* to, std::int64_t count, std::int64_t channels,
             bool wants_moments) {
    for_lanes<A>(channels, [&](std::int64_t channel, auto lanes) {
      write_vector(out, store, to, count, channel, wants_moments, lanes);
    });
  }

 private:
  template <class Lanes>
  void write_vector(T* out, Store store, const std::int64_t* to, std::int64_t count,
                    std::int64_t channel, bool wants_moments, Lanes lanes) {
    const auto shift = simd::load(bias + channel), middle = simd::load(center + channel);
    auto first = simd::load(moments + channel), second = simd::load(moments + size + channel);
    for (std::int64_t p = 0; p < count; ++p, to += 4) {
      const A* sum = sums + p * size + channel;
      V half[2][4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        const auto m0 = simd::load(sum + j * place_sums),
                   m1 = simd::load(sum + (4 + j) * place_sums);
        const auto m2 = simd::load(sum + (8 + j) * place_sums),
                   m3 = simd::load(sum + (12 + j) * place_sums);
        half[0][j] = m0 + m1 + m2;
        half[1][j] = m1 - m2 - m3;
      }
      const V y[4] = {half[0][0] + half[0][1] + half[0][2] + shift,
                      half[0][1] - half[0][2] - half[0][3] + shift,
                      half[1][0] + half[1][1] + half[1][2] + shift,
                      half[1][1] - half[1][2] - half[1][3] + shift};
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        if (to[i] < 0) continue;
        put(out + to[i] + channel, y[i], store, lanes);
        if (!wants_moments) continue;
        const auto d = y[i] - middle;
        first = first + d;
        second = simd::fma(d, d, second);
      }
    }
    simd::store(moments + channel, first);
    simd::store(moments + size + channel, second);
  }
};

/// The tiles of a unit.
template <class A>
struct TileList {
  Slice<const A*> from;        // values at the first place; the last again, to fill registers
  std::span<std::int64_t> to;  // four outputs of each: elements, negative outside
  std::int64_t count = 0;
  Run at_place[places];

  void list_outputs(const Tiling& t, std::int64_t begin, std::int64_t end) {
    auto* place = to.data();
    for (auto row = begin; row < end; ++row) {
      const auto image = row / t.rows(), oh = row % t.rows() * 2;
      for (std::int64_t ow = 0; ow < t.out_w; ow += 2, place += 4) {
        const bool right = ow + 1 < t.out_w, below = oh + 1 < t.out_h;
        place[0] = ((image * t.out_h + oh) * t.out_w + ow) * t.out_c;
        place[1] = right ? place[0] + t.out_c : -1;
        place[2] = below ? place[0] + t.out_w * t.out_c : -1;
        place[3] = right && below ? place[2] + t.out_c : -1;
      }
    }
  }
};

/// Multiplies tiles with a block's panel of weights. `channels` counts from the block's first, which `out`
/// points to.
template <class T, int Vectors>
void multiply_block(T* out, Store store, const TileList<accumulate_t<T>>& tiles,
                    const accumulate_t<T>* weights, std::int64_t channels,
                    const ChannelExtras<accumulate_t<T>>& extras) {
  using A = accumulate_t<T>;
  PlaceTile<T, Vectors> tile;
  constexpr auto size = tile.size;
  const auto valid = std::min(channels, size);
  if (extras.bias) std::copy_n(extras.bias, valid, tile.bias);
  if (extras.center) std::copy_n(extras.center, valid, tile.center);
  for (std::int64_t p = 0; p < tiles.count; p += tile_pixels) {
    const auto count = std::min<std::int64_t>(tile_pixels, tiles.count - p);
    const auto to =
        tiles.to.subspan(static_cast<std::size_t>(4 * p), static_cast<std::size_t>(4 * count));
    auto next = to.begin();
    for (std::int64_t i = 0; i < places; ++i) {
      // Outputs are asked for while their sums are formed: 0.9 of the time at 64 -> 64 channels.
      for (auto n = pieces(4 * tile_pixels, places); n > 0 && next != to.end(); --n, ++next) {
        if (*next >= 0) prefetch<Access::write>(out + *next, size * std::int64_t{sizeof(T)});
      }
      const auto& run = tiles.at_place[i];
      multiply_tile<A, Vectors>(tiles.from.data() + p, &run, 1, weights + i * run.length * size,
                                tile.sums + i * tile.place_sums);
    }
    tile.write(out, store, to.data(), count, valid, extras.first != nullptr);
  }
  for (std::int64_t i = 0; extras.first && i < valid; ++i) {
    extras.first[i] = double{tile.moments[i]};
    extras.second[i] = double{tile.moments[size + i]};
  }
}

/// A pass with its operands, called for one unit of it at a time.
template <Scalar T>
struct CorrelateTiles {
  using A = accumulate_t<T>;
  T* out;
  Store store;
  const T* in;
  InputMap map;
  const A* packed;
  ChannelExtras<A> extras;  // of all channels; the rows of a unit have moments of their own
  Tiling t;
  std::int64_t unit_rows;
  std::int64_t parts;  // of the blocks, in units of their own, which all transform the input

  // Not inlined: parallel_for calls it in two places.
  [[gnu::noinline]] void operator()(std::int64_t unit) const {
    const auto part = unit % parts, place = unit / parts;
    const auto begin = place * unit_rows, end = std::min(begin + unit_rows, t.all_rows());
    const auto count = (end - begin) * t.cols(), stride = spread<A>(t.in_c);
    const auto place_stride = spread<A>(count * stride);
    Scratch scratch;
    const auto transforms = scratch.take<A>(places * place_stride);
    transform_rows(transforms.data(), place_stride, in, map, t, begin, end);

    TileList<A> tiles{scratch.list<const A*>(count + tile_pixels),
                      scratch.take<std::int64_t>(4 * count),
                      count,
                      {}};
    for (std::int64_t i = 0; i < count + tile_pixels; ++i) {
      tiles.from[static_cast<std::size_t>(i)] = transforms.data() + std::min(i, count - 1) * stride;
    }
    tiles.list_outputs(t, begin, end);
    for (std::int64_t i = 0; i < places; ++i) tiles.at_place[i] = {i * place_stride, t.in_c};

    auto own = extras;
    if (own.first) {
      own.first += place * 2 * t.out_c;
      own.second = own.first + t.out_c;
    }
    const auto blocks = pieces(t.out_c, block_channels<A>);
    for (auto block = part * blocks / parts; block < (part + 1) * blocks / parts; ++block) {
      const auto first = block * block_channels<A>;
      const auto multiply =
          t.out_c - first > simd::width<A> ? multiply_block<T, 2> : multiply_block<T, 1>;
      multiply(out + first, store, tiles, packed + places * t.in_c * first, t.out_c - first,
               own.at(first));
    }
  }
};

}  // namespace detail

/// Rows of tiles in a unit: tiles that fill registers four times, more as long as their transforms stay in L2
/// (256 KB and 1.5 MB were slower), up to 1024 outputs of a channel, whose moments are summed up in
/// accumulate_t. A row is not cut, however wide.
template <class A>
std::int64_t rows_of_unit(const Tiling& t, std::int64_t units) {
  constexpr std::int64_t bytes = 768 << 10, fewest = 4 * tile_pixels, most = 256;
  const auto in_cache = bytes / (places * spread<A>(t.in_c) * std::int64_t{sizeof(A)});
  const auto wanted = std::clamp(std::min(t.count() / units, in_cache), fewest, most);
  const auto rows = kernels::detail::best_count(t.cols(), wanted / t.cols());
  return std::min(rows, t.all_rows());
}

/// out = bias + correlation of the map of `in` with packed weights, or out += .
template <Scalar T>
void correlate(T* out, Store store, const T* in, const accumulate_t<T>* packed,
               const Conv2dFusion<T>& fusion, const Tiling& t) {
  using A = accumulate_t<T>;
  constexpr std::int64_t units = 32;
  const auto unit_rows = rows_of_unit<A>(t, units), row_units = pieces(t.all_rows(), unit_rows);
  // Where rows make fewer units the blocks are shared out, two at least: each part transforms the input again.
  const auto blocks = pieces(t.out_c, block_channels<A>);
  const auto parts = std::clamp<std::int64_t>(units / row_units, 1, pieces(blocks, 2));
  kernels::detail::ChannelExtras<A> extras{fusion.bias.data(), fusion.moments.center.data()};
  Scratch scratch;
  const auto sums = fusion.moments.sums;
  if (!sums.empty()) extras.first = scratch.take<double>(row_units * std::ssize(sums)).data();
  parallel_for(
      row_units * parts, Cost::of_macs(places * t.count() * t.in_c * t.out_c),
      detail::CorrelateTiles<T>{out, store, in, fusion.map, packed, extras, t, unit_rows, parts});
  join_moments(sums, extras.first, sums.empty() ? 0 : row_units);
}

template <Scalar T, Tiling tiling(const Conv2dGeometry&)>
std::int64_t packed_bytes(const Conv2dGeometry& g) {
  return packed_bytes<accumulate_t<T>>(tiling(g));
}
template <Scalar T, Tiling tiling(const Conv2dGeometry&)>
void pack(std::byte* packed, std::span<const param_t<T>> w, const Conv2dGeometry& g) {
  pack(reinterpret_cast<accumulate_t<T>*>(packed), w.data(), tiling(g), tiling == backward_tiling);
}

template <Scalar T>
void forward(std::span<T> y, std::span<const T> x, const std::byte* packed,
             const Conv2dFusion<T>& fusion, const Conv2dGeometry& g) {
  correlate(y.data(), Store::overwrite, x.data(), reinterpret_cast<const accumulate_t<T>*>(packed),
            fusion, forward_tiling(g));
}

template <Scalar T>
void backward_input(std::span<T> dx, Store store, std::span<const T> dy, const std::byte* packed,
                    const Conv2dGeometry& g) {
  correlate(dx.data(), store, dy.data(), reinterpret_cast<const accumulate_t<T>*>(packed),
            Conv2dFusion<T>{}, backward_tiling(g));
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::winograd

namespace tinynet::inline TINYNET_ABI::kernels {

template <Scalar T>
inline constexpr Conv2dForward<T> conv2d_forward_winograd = {
    Path::simd,
    winograd::refuses,
    winograd::packed_bytes<T, winograd::forward_tiling>,
    winograd::pack<T, winograd::forward_tiling>,
    winograd::forward<T>,
    "simd by Winograd"};

template <Scalar T>
inline constexpr Conv2dBackwardInput<T> conv2d_backward_input_winograd = {
    Path::simd,
    winograd::refuses,
    winograd::packed_bytes<T, winograd::backward_tiling>,
    winograd::pack<T, winograd::backward_tiling>,
    winograd::backward_input<T>,
    "simd by Winograd"};

}  // namespace tinynet::inline TINYNET_ABI::kernels
