#pragma once

#include <tinynet/kernels/conv2d/tile_source.hpp>

#ifdef TINYNET_TILES

/// Copying images into tiles, a row of all lanes of a block at a time. Walking along one image
/// keeps the reads in order; what is written lands in L2, a line of 64 bytes in each pixel's tiles.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles {

/// Pixels that are copied of one lane before the next: their tiles, 2 KB or more each, stay in L1.
inline constexpr std::int64_t copied_pixels = 8;

/// Pixels of a lane's row that a map is applied to just before they are copied, in L1.
class MappedPixels {
 public:
  MappedPixels(Scratch& scratch, const Source& s)
      : s_(s), pixel_(s.channels * s.element), offset_(s.channel * s.element) {
    if (s.map) buffer_ = scratch.take<std::byte>(copied_pixels * pixel_).data();
  }

  /// The row for [first, last), copied_pixels at most.
  LaneRow of(const LaneRow& row, std::int64_t first, std::int64_t last) const {
    return s_.map ? mapped(row, first, last) : row;
  }

 private:
  [[gnu::noinline]] LaneRow mapped(const LaneRow& row, std::int64_t first,
                                   std::int64_t last) const {
    const auto begin = std::max(first, row.begin), end = std::min(last, row.end);
    if (begin >= end) return row;
    const auto* from = row.from - offset_;
    if (row.step == pixel_) {
      s_.map(buffer_, from + begin * pixel_, end - begin);
    } else {
      for (auto x = begin; x < end; ++x) {
        s_.map(buffer_ + (x - begin) * pixel_, from + x * row.step, 1);
      }
    }
    return {buffer_ + offset_ - begin * pixel_, pixel_, begin, end};
  }

  const Source& s_;
  std::int64_t pixel_, offset_;  // bytes
  std::byte* buffer_ = nullptr;
};

/// Copies a row of all lanes for products that sum over channels, pixels `step` apart.
inline void copy_row(bfloat16* to, std::int64_t step, const Source& s, const Lanes& lanes,
                     std::int64_t block, const Axis& rows, const Axis& cols, std::int64_t v) {
  Scratch scratch;
  const LaneRows table(scratch, s, lanes, block, rows, cols, v);
  const MappedPixels mapped(scratch, s);
  for (std::int64_t first = 0; first < cols.inputs; first += copied_pixels) {
    const auto last = std::min(first + copied_pixels, cols.inputs);
    for (std::int64_t lane = 0; lane < lanes.block; ++lane) {
      s.copy(to + lane * depth, step, mapped.of(table.of[lane], first, last), first, last, s.count);
    }
  }
}

/// Copies a row of all lanes for products that sum over lanes.
inline void pair_row(bfloat16* to, std::int64_t chunk_step, const Source& s, const Lanes& lanes,
                     std::int64_t block, const Axis& rows, const Axis& cols, std::int64_t v) {
  Scratch scratch;
  const LaneRows table(scratch, s, lanes, block, rows, cols, v);
  const MappedPixels even(scratch, s), odd(scratch, s);
  for (std::int64_t first = 0; first < cols.inputs; first += copied_pixels) {
    const auto last = std::min(first + copied_pixels, cols.inputs);
    for (std::int64_t lane = 0; lane < lanes.block; lane += 2) {
      s.pair(to + lane / 2 * depth, chunk_step, even.of(table.of[lane], first, last),
             odd.of(table.of[lane + 1], first, last), first, last, s.count);
    }
  }
}

/// Turns tiles of pairs of lanes x 16 channels into tiles of 16 channels x 32 lanes, in place;
/// `count` tiles in each pixel.
TINYNET_TARGET_BF16 inline void turn_tiles(bfloat16* tiles, std::int64_t pixels,
                                           std::int64_t count) {
  for (std::int64_t i = 0; i < pixels; ++i, tiles += pixel_step(count)) {
    for (std::int64_t t = 0; t < count; ++t) {
      tiles::turn_tile(tiles + t * tiles::tile_elements);
    }
  }
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles

#endif
