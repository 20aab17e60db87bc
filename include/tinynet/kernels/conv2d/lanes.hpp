#pragma once

#include <algorithm>
#include <limits>
#include <numeric>
#include <span>

#include <tinynet/core/pieces.hpp>
#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/conv2d/contract.hpp>

/// How tiles see a convolution. The 16 rows of a tile must do the same thing; along an image they do
/// not, at its edges, at a stride, in a width of 7. So a row is a *lane*: the same pixel of another
/// image, or of another part of an image where the batch is small. Whatever the window, the stride
/// and the padding, all lanes meet the same taps, and which those are is a table for each axis.
/// Taps that fall into the padding are not in it and cost nothing: at 4 x 4 a 3 x 3 window is left
/// with 69 % of its products, at 28 x 28 with 95 %.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles {

/// An input that an output reads, and the tap of the window that it is multiplied with, counted
/// from the end for the input gradient.
struct Term {
  std::int32_t tap = 0;
  std::int32_t in = 0;  // Axis::first + in * Axis::sample
};

/// One axis of the forward pass, or of the input gradient, whose outputs are the pixels of x.
struct Axis {
  std::int64_t out_size = 0, in_size = 0, taps = 0;  // of the image and the window
  std::int64_t stride = 1, padding = 0, dilation = 1;
  bool backward = false;

  std::int64_t parts = 1;              // that an image is cut into along this axis, a lane each
  std::int64_t outputs = 0;            // of a part
  std::int64_t shift = 0;              // inputs from a part's first to the next part's
  std::int64_t first = 0;              // input that the first part reads first
  std::int64_t sample = 1;             // pixels from there to the next that any output reads
  std::int64_t inputs = 1;             // how many a part reads
  Slice<Term> terms = {};              // of output 0, then 1, ...
  std::span<std::int32_t> begin = {};  // where the terms of an output begin; one more at the end

  Slice<const Term> of(std::int64_t output) const {
    const auto at = static_cast<std::size_t>(output);
    return terms.subspan(static_cast<std::size_t>(begin[at]),
                         static_cast<std::size_t>(begin[at + 1] - begin[at]));
  }
  /// One past the last input that outputs before `end` read, counted from `first`; never falls.
  std::int64_t inputs_before(std::int64_t end) const {
    std::int64_t last = 0;
    for (std::int32_t i = 0; i < begin[static_cast<std::size_t>(end)]; ++i) {
      last = std::max<std::int64_t>(last, terms[static_cast<std::size_t>(i)].in + 1);
    }
    return last;
  }

  /// Cuts images into `count` parts at most; parts keep the residues of the stride together.
  void cut(std::int64_t count) {
    const auto step = backward ? stride : 1;
    outputs = count == 1 ? out_size : round_up(pieces(out_size, count), step);
    parts = pieces(out_size, std::max<std::int64_t>(outputs, 1));
    shift = backward ? outputs / stride : outputs * stride;
  }

  /// The first input that outputs from `out` on read, counted like inputs_before.
  std::int64_t inputs_from(std::int64_t out) const {
    auto least = inputs;
    for (auto i = begin[static_cast<std::size_t>(out)]; i < std::ssize(terms); ++i) {
      least = std::min<std::int64_t>(least, terms[static_cast<std::size_t>(i)].in);
    }
    return least;
  }

  /// Fills the tables.
  void list(Scratch& scratch) {
    terms = scratch.list<Term>(outputs * taps);
    begin = scratch.take<std::int32_t>(outputs + 1);
    auto low = std::numeric_limits<std::int64_t>::max(), high = -low;
    std::int32_t count = 0;
    for (std::int64_t out = 0; out < outputs; ++out) {
      begin[static_cast<std::size_t>(out)] = count;
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        // Backward the window is read from its end, so that in both passes inputs grow with taps.
        const auto reach = backward ? out + padding - (taps - 1 - tap) * dilation
                                    : out * stride - padding + tap * dilation;
        if (backward && reach % stride != 0) continue;
        const auto in = backward ? reach / stride : reach;
        bool reached = false;
        for (std::int64_t part = 0; part < parts; ++part) {
          const auto at = in + part * shift;
          reached |= at >= 0 && at < in_size && out + part * outputs < out_size;
        }
        if (!reached) continue;
        low = std::min(low, in);
        high = std::max(high, in);
        terms[static_cast<std::size_t>(count++)] = {static_cast<std::int32_t>(tap),
                                                    static_cast<std::int32_t>(in)};
      }
    }
    begin[static_cast<std::size_t>(outputs)] = count;
    terms = terms.first(static_cast<std::size_t>(count));
    if (count == 0) low = high = 0;
    first = low;
    sample = high - low;  // a 1x1 window at stride 2 leaves every other pixel out
    for (const auto& term : terms) sample = std::gcd(sample, term.in - low);
    sample = std::max<std::int64_t>(sample, 1);
    inputs = (high - low) / sample + 1;
    for (auto& term : terms) term.in = static_cast<std::int32_t>((term.in - low) / sample);
  }
};

/// All lanes of a convolution, in blocks: of 16 where a tile's rows are lanes, of 32 where a product
/// sums over them.
struct Lanes {
  static constexpr std::int64_t most = 32;

  Conv2dGeometry g;
  std::int64_t block = most;
  Axis rows, cols;

  std::int64_t count() const { return g.n * rows.parts * cols.parts; }
  std::int64_t blocks() const { return pieces(count(), block); }
  std::int64_t in_block(std::int64_t b) const { return std::min(block, count() - b * block); }

  /// Where a lane lies: its image, and its part along each axis.
  struct Place {
    std::int64_t image, row_part, col_part;
  };
  Place place(std::int64_t lane) const {
    if (rows.parts == 1 && cols.parts == 1) return {lane, 0, 0};
    return {lane / (rows.parts * cols.parts), lane / cols.parts % rows.parts, lane % cols.parts};
  }
};

/// Images are cut into parts where the batch alone would leave most lanes empty. `together` outputs
/// of a row are summed as one.
inline void cut_into_lanes(Lanes& lanes, std::int64_t together) {
  lanes.rows.cut(1);
  lanes.cols.cut(1);
  if (lanes.g.n >= lanes.block) return;
  constexpr std::int64_t most = 16;
  auto best = std::numeric_limits<std::int64_t>::max();
  std::int64_t best_rows = 1, best_cols = 1;
  for (std::int64_t r = 1; r <= std::min(most, lanes.rows.out_size); ++r) {
    for (std::int64_t c = 1; c <= std::min(most, lanes.cols.out_size); ++c) {
      auto rows = lanes.rows, cols = lanes.cols;
      rows.cut(r);
      cols.cut(c);
      const auto blocks = pieces(lanes.g.n * rows.parts * cols.parts, lanes.block);
      // What is multiplied, and what is copied with the pixels around each part.
      const auto width = round_up(cols.outputs, together);
      const auto cost =
          blocks * (rows.outputs * width * lanes.g.kh * lanes.g.kw +
                    (rows.outputs + lanes.g.kh - 1) * (cols.outputs + lanes.g.kw - 1));
      if (cost >= best) continue;
      best = cost;
      best_rows = r;
      best_cols = c;
    }
  }
  lanes.rows.cut(best_rows);
  lanes.cols.cut(best_cols);
}

/// The lanes of the forward pass (and of the weight gradient), or of the input gradient.
inline Lanes make_lanes(const Conv2dGeometry& g, bool backward, std::int64_t block,
                        std::int64_t together, Scratch& scratch) {
  const auto axis = [&](std::int64_t out, std::int64_t in, std::int64_t taps) {
    return Axis{.out_size = backward ? in : out,
                .in_size = backward ? out : in,
                .taps = taps,
                .stride = g.stride,
                .padding = g.padding,
                .dilation = g.dilation,
                .backward = backward};
  };
  Lanes lanes{g, block, axis(g.oh, g.h, g.kh), axis(g.ow, g.w, g.kw)};
  cut_into_lanes(lanes, together);
  lanes.rows.list(scratch);
  lanes.cols.list(scratch);
  return lanes;
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles
