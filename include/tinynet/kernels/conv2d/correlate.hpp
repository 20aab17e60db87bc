#pragma once

#include <tinynet/core/parallel.hpp>
#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/conv2d/strip.hpp>

/// Runs a correlation over vectors of output channels: the forward pass, and the input gradient.
///
/// A unit is a strip of pixels and a range of channel blocks. It copies the strip's input, lists its
/// pixels, and multiplies tiles of them, whatever rows and images they come from, with the panel of
/// weights of a block. Each output is summed by one thread over taps, then channels, in one order.
namespace tinynet::inline TINYNET_ABI::kernels {

/// Output channels of a block: two registers, which halves the broadcasts; the last block of a
/// group may have one.
template <class A>
inline constexpr std::int64_t block_channels = 2 * simd::width<A>;

/// `channels` rounded up to whole registers.
template <class A>
constexpr std::int64_t padded_channels(std::int64_t channels) {
  return (channels + simd::width<A> - 1) / simd::width<A> * simd::width<A>;
}

template <class A>
std::int64_t packed_correlation_bytes(const Correlation& c) {
  return c.g.groups * c.g.kh * c.g.kw * c.group_in() * padded_channels<A>(c.group_out()) *
         std::int64_t{sizeof(A)};
}

/// Packs w[oc, kh, kw, ic/groups] as [group][row phase][col phase][block][tap][in][channel of the
/// block], taps in the order of the phase, missing channels zero.
template <class A>
void pack_correlation(A* packed, const A* w, const Correlation& c) {
  const auto in = c.group_in(), out = c.group_out(), ic = c.g.ic / c.g.groups;
  const auto padded = padded_channels<A>(out);
  const auto blocks = (out + block_channels<A> - 1) / block_channels<A>;
  parallel_for(c.g.groups * blocks, [&](std::int64_t unit) {
    const auto group = unit / blocks, first = unit % blocks * block_channels<A>;
    const auto size = std::min(block_channels<A>, padded - first), valid = std::min(size, out - first);
    A* phase = packed + group * c.g.kh * c.g.kw * in * padded;
    for (std::int64_t r = 0; r < c.phases * c.phases; ++r) {
      const auto rows = c.rows(r / c.phases), cols = c.cols(r % c.phases);
      A* to = phase + first * rows.taps * cols.taps * in;
      for (std::int64_t tap = 0; tap < rows.taps * cols.taps; ++tap, to += in * size) {
        const auto place = rows.index(tap / cols.taps) * c.g.kw + cols.index(tap % cols.taps);
        const auto weight = [&](std::int64_t oc, std::int64_t i) {
          return w[((group * (c.g.oc / c.g.groups) + oc) * c.g.kh * c.g.kw + place) * ic + i];
        };
        for (std::int64_t o = 0; o < size; ++o) {
          for (std::int64_t i = 0; i < in; ++i) {
            const bool missing = o >= valid;
            to[i * size + o] = missing      ? A(0)
                               : c.backward ? weight(i, first + o)
                                            : weight(first + o, i);
          }
        }
      }
      phase += rows.taps * cols.taps * in * padded;
    }
  });
}

namespace detail {

/// Writes the first `count` pixels of a tile of sums, `channels` of each, at out + place[pixel].
template <class T, int Vectors>
void write_tile(T* out, const std::int64_t* place, std::int64_t count, std::int64_t channels,
                const accumulate_t<T>* sums, const accumulate_t<T>* bias, Store store) {
  using A = accumulate_t<T>;
  constexpr auto W = simd::width<A>;
  for (std::int64_t p = 0; p < count; ++p) {
    T* to = out + place[p];
    for (int v = 0; v < Vectors; ++v, to += W) {
      auto sum = simd::load(sums + (p * Vectors + v) * W) + simd::load(bias + v * W);
      const auto rest = channels - v * W;
      if (rest >= W) {
        if (store == Store::add) sum = sum + simd::load(to);
        simd::store(to, sum);
      } else if (rest > 0) {
        if (store == Store::add) sum = sum + simd::load_partial(to, rest);
        simd::store_partial(to, sum, rest);
      }
    }
  }
}

/// Multiplies the listed pixels with one block's panel of weights.
template <class T, int Vectors>
void multiply_block(T* out, const std::int64_t* place, const accumulate_t<T>* const* pixels,
                    std::int64_t pixel_count, const Run* runs, std::int64_t run_count,
                    const accumulate_t<T>* weights, std::int64_t channels,
                    const accumulate_t<T>* bias, Store store) {
  using A = accumulate_t<T>;
  constexpr auto W = simd::width<A>;
  alignas(64) A sums[tile_pixels * Vectors * W];
  alignas(64) A shift[Vectors * W] = {};
  if (bias) std::copy(bias, bias + std::min(channels, Vectors * W), shift);
  for (std::int64_t p = 0; p < pixel_count; p += tile_pixels) {
    multiply_tile<A, Vectors>(pixels + p, runs, run_count, weights, sums);
    const auto count = std::min<std::int64_t>(tile_pixels, pixel_count - p);
    write_tile<T, Vectors>(out, place + p, count, channels, sums, shift, store);
  }
}

}  // namespace detail

/// out = bias + correlation of `in` with packed weights, or out += . `bias` may be null.
template <Scalar T>
void correlate(T* out, Store store, const T* in, const accumulate_t<T>* packed,
               const accumulate_t<T>* bias, const Correlation& c) {
  using A = accumulate_t<T>;
  const Strips s = cut<T>(c, true);
  const auto group_in = c.group_in(), group_out = c.group_out();
  const auto padded = padded_channels<A>(group_out);
  const auto blocks = (group_out + block_channels<A> - 1) / block_channels<A>;
  constexpr std::int64_t units = 32;  // enough to divide among threads; more strips need no parts
  const auto parts = std::clamp<std::int64_t>(units / (s.count * c.g.groups + 1), 1, blocks);

  parallel_for(s.count * c.g.groups * parts, [&](std::int64_t unit) {
    const auto part = unit % parts, group = unit / parts % c.g.groups;
    const auto strip = s.at(unit / parts / c.g.groups, c);
    Scratch scratch;
    const A* input = nullptr;
    if constexpr (std::is_same_v<T, A>) {
      if (s.in_place) {
        input = in + strip.image * s.image + (strip.row * s.step + s.first_row) * s.row +
                s.first_col * s.pixel + group * group_in;
      }
    }
    if (!input) {
      const auto copy = scratch.take<A>(s.elements());
      copy_strip(copy.data(), in, strip, group, s, c);
      input = copy.data();
    }
    const auto pixels = scratch.take<const A*>(s.pixels() + tile_pixels);
    const auto place = scratch.take<std::int64_t>(s.pixels());
    const auto runs = scratch.take<Run>(c.g.kh * c.g.kw);

    const A* phase = packed + group * c.g.kh * c.g.kw * group_in * padded;
    for (std::int64_t r = 0; r < c.phases * c.phases; ++r) {
      const auto rows = c.rows(r / c.phases), cols = c.cols(r % c.phases);
      const auto taps = rows.taps * cols.taps;
      const auto run_count = find_runs(runs.data(), rows, cols, s, group_in);
      std::size_t count = 0;
      for (auto n = strip.image; n < strip.image_end; ++n) {
        for (auto a = strip.row; a < std::min(strip.row_end, rows.count); ++a) {
          const A* from = input + (n - strip.image) * s.image + (a - strip.row) * s.step * s.row;
          const auto to = (n * c.out_h + rows.origin + a * rows.spread) * c.out_w + cols.origin;
          for (std::int64_t b = 0; b < cols.count; ++b, ++count) {
            pixels[count] = from + b * s.step * s.pixel;
            place[count] = (to + b * cols.spread) * c.out_c;
          }
        }
      }
      if (count == 0) {
        phase += taps * group_in * padded;
        continue;
      }
      std::fill_n(pixels.data() + count, tile_pixels, pixels[count - 1]);
      for (auto block = part * blocks / parts; block < (part + 1) * blocks / parts; ++block) {
        const auto first = block * block_channels<A>;
        const A* weights = phase + first * taps * group_in;
        const A* shift = bias ? bias + group * group_out + first : nullptr;
        const auto run = padded - first > simd::width<A> ? detail::multiply_block<T, 2>
                                                         : detail::multiply_block<T, 1>;
        run(out + group * group_out + first, place.data(), pixels.data(),
            static_cast<std::int64_t>(count), runs.data(), run_count, weights, group_out - first,
            shift, store);
      }
      phase += taps * group_in * padded;
    }
  });
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
