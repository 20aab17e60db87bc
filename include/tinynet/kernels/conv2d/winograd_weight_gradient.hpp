#pragma once

#include <tinynet/kernels/conv2d/weight_gradient.hpp>
#include <tinynet/kernels/conv2d/winograd_correlate.hpp>

/// Winograd's weight gradient: sums over tiles of transformed inputs times transformed gradients, at 16
/// places, which become the gradients of nine taps at the end.
///
/// A unit has a range of tiles and of blocks of output channels, and a partial sum of its own, as in
/// weight_gradient.hpp; partials are added in order.
namespace tinynet::inline TINYNET_ABI::kernels::winograd {

/// to[place][tile][channel of the block] = A dy A^T of rows [begin, end) of tiles.
template <class T>
void transform_gradient(accumulate_t<T>* to, std::int64_t place_stride, std::int64_t size,
                        const T* dy, std::int64_t valid, const Tiling& t, std::int64_t begin,
                        std::int64_t end) {
  using A = accumulate_t<T>;
  using V = simd::batch<A>;
  const auto pixel = t.out_c, line = t.out_w * pixel;
  for (auto row = begin; row < end; ++row) {
    const auto image = row / t.rows(), oh = row % t.rows() * 2;
    const T* from = dy + (image * t.out_h + oh) * line;
    const bool below = oh + 1 < t.out_h;
    for (std::int64_t ow = 0; ow < t.out_w; ow += 2, from += 2 * pixel, to += size) {
      const bool right = ow + 1 < t.out_w;
      for_lanes<A>(valid, [&](std::int64_t c, auto lanes) {
        const V zero(A(0));
        const V y00 = lanes.load(from + c), y01 = right ? lanes.load(from + pixel + c) : zero;
        const V y10 = below ? lanes.load(from + line + c) : zero;
        const V y11 = right && below ? lanes.load(from + line + pixel + c) : zero;
        const V left[4] = {y00, y00 + y10, y00 - y10, zero - y10};
        const V other[4] = {y01, y01 + y11, y01 - y11, zero - y11};
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
          A* place = to + 4 * i * place_stride + c;
          simd::store(place, left[i]);
          simd::store(place + place_stride, left[i] + other[i]);
          simd::store(place + 2 * place_stride, left[i] - other[i]);
          simd::store(place + 3 * place_stride, zero - other[i]);
        }
      });
    }
  }
}

namespace detail {

/// How sums lie: [partial][block][place][input channel][channel of the block].
template <class A>
struct PlaceSums {
  Tiling t;
  std::int64_t partials = 1, parts = 1;
  A* sums = nullptr;

  std::int64_t rows() const { return padded_rows(t.in_c); }
  std::int64_t channels() const { return padded_channels<A>(t.out_c); }
  std::int64_t partial_size() const { return places * rows() * channels(); }
  std::int64_t blocks() const { return pieces(t.out_c, block_channels<A>); }
  std::int64_t block_size(std::int64_t first) const {
    return std::min(block_channels<A>, channels() - first);
  }
  A* block(std::int64_t partial, std::int64_t first) const {
    return sums + partial * partial_size() + places * rows() * first;
  }
};

/// One partial sum of a part of the blocks.
template <Scalar T>
struct SumTiles {
  using A = accumulate_t<T>;
  PlaceSums<A> to;
  const T* dy;
  const T* x;
  InputMap map;

  [[gnu::noinline]] void operator()(std::int64_t unit) const {
    const auto& t = to.t;
    const auto part = unit % to.parts, partial = unit / to.parts;
    const auto first = part * to.blocks() / to.parts * block_channels<A>;
    const auto last =
        std::min((part + 1) * to.blocks() / to.parts * block_channels<A>, to.channels());
    std::fill(to.block(partial, first), to.block(partial, last), A(0));

    const auto stride = spread<A>(t.in_c);
    // Transforms in L2, and enough tiles between loading and storing sums; 512 KB and 2 MB, 24 and 96 were slower.
    constexpr std::int64_t bytes = 1 << 20, fewest = 48;
    const auto in_cache = bytes / (places * (stride + last - first) * std::int64_t{sizeof(A)});
    const auto step = std::max<std::int64_t>(std::max(in_cache, fewest) / t.cols(), 1);
    Scratch scratch;
    const auto input_place = spread<A>(step * t.cols() * stride);
    const auto gradient_place = spread<A>(step * t.cols() * block_channels<A>);
    const auto inputs = scratch.take<A>(places * input_place);
    const auto gradients =
        scratch.take<A>(places * gradient_place * pieces(last - first, block_channels<A>));
    const auto gradients_of = [&](std::int64_t channel) {
      return gradients.data() + (channel - first) / block_channels<A> * places * gradient_place;
    };
    const auto end = (partial + 1) * t.all_rows() / to.partials;
    for (auto row = partial * t.all_rows() / to.partials; row < end; row += step) {
      const auto row_end = std::min(row + step, end), count = (row_end - row) * t.cols();
      transform_rows(inputs.data(), input_place, x, map, t, row, row_end);
      for (auto o = first; o < last; o += block_channels<A>) {
        const auto size = to.block_size(o);
        transform_gradient(gradients_of(o), gradient_place, size, dy + o,
                           std::min(size, t.out_c - o), t, row, row_end);
      }
      for (std::int64_t place = 0; place < places; ++place) {
        const A* from = inputs.data() + place * input_place;
        for (auto o = first; o < last; o += block_channels<A>) {
          const auto size = to.block_size(o);
          const Run run{0, t.in_c};
          const auto add = size == block_channels<A> ? add_block<A, 2> : add_block<A, 1>;
          add(to.block(partial, o) + place * to.rows() * size, &run, 1, &from, 1, count, stride,
              gradients_of(o) + place * gradient_place);
        }
      }
    }
  }
};

/// dw of some input channels of a block, from all its partial sums.
template <class A>
struct StoreTaps {
  PlaceSums<A> from;
  A* dw;
  Store store;
  static constexpr std::int64_t chunk = 16;  // input channels

  [[gnu::noinline]] void operator()(std::int64_t unit) const {
    const auto& t = from.t;
    const auto first = unit % from.blocks() * block_channels<A>, size = from.block_size(first);
    const auto k = unit / from.blocks() * chunk, rows = std::min(chunk, t.in_c - k);
    alignas(64) A taps[9 * chunk * block_channels<A>];
    for (std::int64_t e = 0; e < rows * size; e += simd::width<A>)
      gradient(taps + e, first, k * size + e);
    for (std::int64_t tap = 0; tap < 9; ++tap) {
      add_partials<A>(dw + (first * 9 + tap) * t.in_c + k, 9 * t.in_c, store,
                      std::min(size, t.out_c - first), rows, taps + tap * chunk * block_channels<A>,
                      size, 1, 0);
    }
  }

 private:
  /// The nine taps G^T u G of a vector of sums.
  void gradient(A* taps, std::int64_t first, std::int64_t element) const {
    using V = simd::batch<A>;
    const auto place_stride = from.rows() * from.block_size(first);
    const auto window = [](V* to, const V* u) {  // G^T u
      const V half(A(0.5)), even = (u[1] + u[2]) * half;
      to[0] = u[0] + even;
      to[1] = (u[1] - u[2]) * half;
      to[2] = even + u[3];
    };
    V columns[3][4], w[3];
    for (int j = 0; j < 4; ++j) {
      V u[4];
      for (int i = 0; i < 4; ++i) {
        const auto at = (4 * i + j) * place_stride + element;
        u[i] = simd::load(from.block(0, first) + at);
        for (std::int64_t p = 1; p < from.partials; ++p)
          u[i] = u[i] + simd::load(from.block(p, first) + at);
      }
      window(w, u);
      for (int i = 0; i < 3; ++i) columns[i][j] = w[i];
    }
    for (int i = 0; i < 3; ++i) {
      window(w, columns[i]);
      for (int j = 0; j < 3; ++j) simd::store(taps + (3 * i + j) * chunk * block_channels<A>, w[j]);
    }
  }
};

}  // namespace detail

/// dw[oc, 3, 3, ic] = gradient, or += .
template <Scalar T>
void backward_weight(std::span<param_t<T>> dw, Store store, std::span<const T> dy,
                     std::span<const T> x, InputMap map, const Conv2dGeometry& g) {
  using A = accumulate_t<T>;
  Scratch scratch;
  detail::PlaceSums<A> sums{forward_tiling(g)};
  const auto most = kernels::detail::most_partials(sums.partial_size() * std::int64_t{sizeof(A)});
  sums.partials = std::clamp<std::int64_t>(sums.t.all_rows(), 1, most);
  constexpr std::int64_t units = 8;  // the blocks are shared out where partials are fewer
  sums.parts = std::clamp<std::int64_t>(units / sums.partials, 1, sums.blocks());
  sums.sums = scratch.take<A>(sums.partials * sums.partial_size()).data();
  parallel_for(sums.partials * sums.parts, Cost::of_macs(places * sums.t.count() * g.ic * g.oc),
               detail::SumTiles<T>{sums, dy.data(), x.data(), map});
  using Taps = detail::StoreTaps<A>;
  parallel_for(sums.blocks() * pieces(g.ic, Taps::chunk),
               Cost::of_elements(sums.partials * sums.partial_size()),
               Taps{sums, dw.data(), store});
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::winograd

namespace tinynet::inline TINYNET_ABI::kernels {

template <Scalar T>
inline constexpr Conv2dBackwardWeight<T> conv2d_backward_weight_winograd = {
    Path::simd, winograd::refuses, winograd::backward_weight<T>, "simd by Winograd"};

}  // namespace tinynet::inline TINYNET_ABI::kernels
