#pragma once

#include <tinynet/core/cache.hpp>
#include <tinynet/core/parallel.hpp>
#include <tinynet/kernels/conv2d/amx_quad.hpp>
#include <tinynet/kernels/conv2d/tile_pack.hpp>

#ifdef TINYNET_TILES

/// From the sums of a quad of outputs to the tensor: bias, rounding, and the moments of the channels.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles {

/// Where the outputs of a lane begin, and how many of its rows and columns lie in the image.
struct LaneOutput {
  std::int64_t origin = 0;
  std::int64_t rows = 0, cols = 0;
};

/// `width` outputs of a row, from (row, col) on, of `count` lanes.
struct QuadOutputs {
  const LaneOutput* lanes;
  std::int64_t count, row, col, width;

  /// How many there are of a lane: the last part of an image may be smaller.
  std::int64_t of(std::int64_t lane) const {
    return row < lanes[lane].rows ? std::min(width, lanes[lane].cols - col) : 0;
  }
};

/// Where the results of a unit go.
struct Destination {
  std::byte* data;
  Store store;
  std::int64_t element;                              // bytes
  std::int64_t height = 0, width = 0, channels = 0;  // of the output tensor
  /// Writes the sums of a quad.
  void (*write)(const Destination&, float* sums, const QuadOutputs&);
  const float* bias = nullptr;        // of the first channel of a unit, or null
  const float* center = nullptr;      // the same, of the moments
  double* moments = nullptr;          // [2, channels], or null
  std::int64_t first = 0, count = 0;  // channels of a unit
};

inline void find_outputs(LaneOutput (&outputs)[Lanes::most], const Destination& to,
                         const Lanes& lanes, std::int64_t block) {
  for (std::int64_t i = 0; i < lanes.in_block(block); ++i) {
    const auto place = lanes.place(block * lanes.block + i);
    const auto row = place.row_part * lanes.rows.outputs;
    const auto col = place.col_part * lanes.cols.outputs;
    outputs[i] = {((place.image * to.height + row) * to.width + col) * to.channels, to.height - row,
                  to.width - col};
  }
}

/// Asks memory for outputs of some lanes of a quad, which are written when their sums are there.
/// Inlined: GCC takes a function of nothing but hints for one without effect, and leaves calls of it out.
[[gnu::always_inline]] inline void ask_for_outputs(const Destination& to,
                                                   const QuadOutputs& outputs, Range lanes) {
  const auto* pixel =
      to.data + ((outputs.row * to.width + outputs.col) * to.channels + to.first) * to.element;
  for (auto i = lanes.begin; i < lanes.end; ++i) {
    for (std::int64_t x = 0; x < outputs.of(i); ++x) {
      prefetch<Access::write_later>(
          pixel + (outputs.lanes[i].origin + x * to.channels) * to.element, to.count * to.element);
    }
  }
}

/// Adds the outputs of a quad to the moments of their channels, before they are rounded: after it would
/// take twice the time.
TINYNET_TARGET_BF16 inline void add_quad_moments(const Destination& to, const float* sums,
                                                 const QuadOutputs& outputs) {
  for (std::int64_t c = 0; c < to.count; c += 32) {
    const auto mask = chunk_mask(to.count, c);
    const auto zero = _mm512_setzero_ps();
    Rest<float> bias{zero, zero}, center{zero, zero}, first{zero, zero}, second{zero, zero};
    if (to.bias) load_rest(bias, to.bias + c, mask);
    if (to.center) load_rest(center, to.center + c, mask);
    center.low = _mm512_sub_ps(center.low, bias.low);
    center.high = _mm512_sub_ps(center.high, bias.high);
    for (std::int64_t i = 0; i < outputs.count; ++i) {
      const auto end = outputs.of(i);
      for (std::int64_t x = 0; x < end; ++x) {
        const float* from = sums + x * quad_sums + i * quad_width + c;
        const auto low = _mm512_sub_ps(_mm512_load_ps(from), center.low);
        const auto high = _mm512_sub_ps(_mm512_load_ps(from + 16), center.high);
        first.low = _mm512_add_ps(first.low, low);
        first.high = _mm512_add_ps(first.high, high);
        second.low = _mm512_fmadd_ps(low, low, second.low);
        second.high = _mm512_fmadd_ps(high, high, second.high);
      }
    }
    float values[2][32];
    _mm512_storeu_ps(values[0], first.low);
    _mm512_storeu_ps(values[0] + 16, first.high);
    _mm512_storeu_ps(values[1], second.low);
    _mm512_storeu_ps(values[1] + 16, second.high);
    for (std::int64_t i = 0; i < std::min<std::int64_t>(to.count - c, 32); ++i) {
      to.moments[to.first + c + i] += double{values[0][i]};
      to.moments[to.channels + to.first + c + i] += double{values[1][i]};
    }
  }
}

template <Scalar T>
TINYNET_TARGET_BF16 void write_quad(const Destination& to, float* sums,
                                    const QuadOutputs& outputs) {
  T* pixel = reinterpret_cast<T*>(to.data) + (outputs.row * to.width + outputs.col) * to.channels +
             to.first;
  for (std::int64_t i = 0; i < outputs.count; ++i) {
    const auto end = outputs.of(i);
    for (std::int64_t x = 0; to.store == Store::add && x < end; ++x) {
      for (std::int64_t c = 0; c < to.count; c += 32) {
        add_stored(sums + x * quad_sums + i * quad_width + c,
                   pixel + outputs.lanes[i].origin + x * to.channels + c, chunk_mask(to.count, c));
      }
    }
    for (std::int64_t x = 0; x < end; ++x) {
      for (std::int64_t c = 0; c < to.count; c += 32) {
        const auto mask = chunk_mask(to.count, c);
        const float* from = sums + x * quad_sums + i * quad_width + c;
        auto low = _mm512_load_ps(from), high = _mm512_load_ps(from + 16);
        if (to.bias) {
          Rest<float> bias;
          load_rest(bias, to.bias + c, mask);
          low = _mm512_add_ps(low, bias.low);
          high = _mm512_add_ps(high, bias.high);
        }
        store_sums(pixel + outputs.lanes[i].origin + x * to.channels + c, low, high, mask);
      }
    }
  }
  if (to.moments) add_quad_moments(to, sums, outputs);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles

#endif
