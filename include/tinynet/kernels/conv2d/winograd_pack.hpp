#pragma once

#include <tinynet/kernels/conv2d/pack.hpp>
#include <tinynet/kernels/conv2d/winograd.hpp>

/// Weights for Winograd's passes: transformed, as [block][place][input channel][output channel of the block].
/// Input and output are those of the pass; missing output channels are zero.
namespace tinynet::inline TINYNET_ABI::kernels::winograd {

template <class A>
std::int64_t packed_bytes(const Tiling& t) {
  return places * t.in_c * padded_channels<A>(t.out_c) * std::int64_t{sizeof(A)};
}

/// to[place][channel] = G w G^T of a window [3, 3, channels], or of the window turned round.
template <class A>
void transform_window(A* to, std::int64_t place_stride, const A* w, std::int64_t tap_stride,
                      bool turned, std::int64_t channels) {
  using V = simd::batch<A>;
  const auto transform = [](V* u, const V& w0, const V& w1, const V& w2) {
    const V half(A(0.5)), outer = w0 + w2;
    u[0] = w0;
    u[1] = (outer + w1) * half;
    u[2] = (outer - w1) * half;
    u[3] = w2;
  };
  for_lanes<A>(channels, [&](std::int64_t c, auto lanes) {
    const auto tap = [&](std::int64_t i) {
      return lanes.load(w + (turned ? 8 - i : i) * tap_stride + c);
    };
    V columns[3][4], rows[4];
    for (int j = 0; j < 3; ++j) transform(columns[j], tap(j), tap(3 + j), tap(6 + j));
    for (int i = 0; i < 4; ++i) {
      transform(rows, columns[0][i], columns[1][i], columns[2][i]);
      for (int j = 0; j < 4; ++j) lanes.store(to + (4 * i + j) * place_stride + c, rows[j]);
    }
  });
}

/// A block of the input gradient, whose output channels follow each other in w[oc, 3, 3, ic].
template <class A>
void pack_backward_block(A* to, const A* w, std::int64_t first, std::int64_t size,
                         const Tiling& t) {
  const auto valid = std::min(size, t.out_c - first), in = t.in_c, ic = t.out_c;
  if (valid < size) std::fill_n(to, places * in * size, A(0));
  for (std::int64_t i = 0; i < in; ++i) {
    transform_window(to + i * size, in * size, w + i * 9 * ic + first, ic, true, valid);
  }
}

/// A block of the forward pass, whose input channels follow each other.
template <class A>
void pack_forward_block(A* to, const A* w, std::int64_t first, std::int64_t size, const Tiling& t) {
  const auto valid = std::min(size, t.out_c - first), in = t.in_c;
  Scratch scratch;
  const auto turned = scratch.take<A>(places * size * chunk_channels);  // [place][output][input]
  for (std::int64_t chunk = 0; chunk < in; chunk += chunk_channels) {
    const auto channels = std::min(chunk_channels, in - chunk), place_stride = size * channels;
    for (std::int64_t o = 0; o < valid; ++o) {
      transform_window(turned.data() + o * channels, place_stride, w + (first + o) * 9 * in + chunk,
                       in, false, channels);
    }
    for (std::int64_t place = 0; place < places; ++place) {
      pack_panel<A, A>(to + (place * in + chunk) * size, size,
                       {turned.data() + place * place_stride, valid, channels, channels, 1});
    }
  }
}

/// Packs w[oc, 3, 3, ic].
template <class A>
void pack(A* packed, const A* w, const Tiling& t, bool backward) {
  const auto padded = padded_channels<A>(t.out_c);
  const auto all = Cost::of_elements(places * t.in_c * padded);
  parallel_for(pieces(t.out_c, block_channels<A>), all, [&](std::int64_t block) {
    const auto first = block * block_channels<A>;
    const auto size = std::min(block_channels<A>, padded - first);
    A* to = packed + places * t.in_c * first;
    if (backward) {
      pack_backward_block(to, w, first, size, t);
    } else {
      pack_forward_block(to, w, first, size, t);
    }
  });
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::winograd
