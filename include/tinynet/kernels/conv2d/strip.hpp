#pragma once

#include <algorithm>
#include <limits>
#include <utility>

#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/conv2d/correlation.hpp>
#include <tinynet/kernels/conv2d/pack.hpp>
#include <tinynet/kernels/conv2d/register_tile.hpp>
#include <tinynet/kernels/loops.hpp>

/// Strips: the pieces of images that convolution works on, and the copy of the input that a piece
/// reads. The copy is padded with zeros and widened to the type of the sums, so that the loops in
/// registers meet neither edges nor conversions; where there is nothing to do, the input is read
/// in place.
namespace tinynet::inline TINYNET_ABI::kernels {

/// Rows [row, row_end) of images [image, image_end), in outputs of one residue.
struct Strip {
  std::int64_t image = 0, image_end = 0;
  std::int64_t row = 0, row_end = 0;
};

/// How a correlation is cut into strips, and how a strip's input lies in memory. A function of the
/// shape alone, batch included: so are the order of all sums and the work of each unit.
struct Strips {
  std::int64_t images = 1, rows = 0;           // of a strip
  std::int64_t per_image = 1, count = 0;       // strips
  std::int64_t grid_rows = 0, grid_cols = 0;   // outputs of the largest residue
  std::int64_t first_row = 0, first_col = 0;   // input read first for output 0, may be negative
  std::int64_t last_row = -1, last_col = -1;   // input read last for output 0
  std::int64_t step = 1;                       // pixels of the strip from output to output
  std::int64_t sample = 1;                     // pixels of the input from one to the next
  std::int64_t height = 0, width = 0;          // of the copy, pixels
  std::int64_t pixel = 0, row = 0, image = 0;  // strides, elements
  bool in_place = false;

  Strip at(std::int64_t index, const Correlation& c) const {
    const auto n = index / per_image * images, a = index % per_image * rows;
    return {n, std::min(n + images, c.g.n), a, std::min(a + rows, grid_rows)};
  }
  std::int64_t pixels() const { return images * rows * grid_cols; }
  std::int64_t elements() const { return images * image; }
};

namespace detail {

/// The number of pieces of `size` pixels, in (most/2, most], that leaves least of the tiles empty.
constexpr std::int64_t best_count(std::int64_t size, std::int64_t most) {
  const auto tiles = [&](std::int64_t n) { return pieces(n * size, tile_pixels); };
  auto best = std::max<std::int64_t>(most, 1);
  for (auto n = best - 1; n > most / 2; --n) {
    if (n * tiles(best) > best * tiles(n)) best = n;  // pixels per tile
  }
  return best;
}

}  // namespace detail

/// Cuts for sums of `bytes` each. `in_place`: the input has their type, and its reader never looks
/// past the end of a run.
inline Strips cut(const Correlation& c, std::int64_t bytes, bool in_place) {
  constexpr std::int64_t most_pixels = 1024, fewest_pixels = 4 * tile_pixels, units = 32;
  const std::int64_t most_elements = (512 << 10) / bytes;  // a strip and a panel share L2
  const std::int64_t line = 64 / bytes;

  Strips s;
  constexpr auto huge = std::numeric_limits<std::int64_t>::max();
  s.first_row = s.first_col = huge;
  std::int64_t end_row = 0, end_col = 0;  // of the input that any output reads
  for (std::int64_t r = 0; r < c.phases; ++r) {
    const auto rows = c.rows(r), cols = c.cols(r);
    s.step = rows.step;
    s.grid_rows = std::max(s.grid_rows, rows.count);
    s.grid_cols = std::max(s.grid_cols, cols.count);
    if (rows.count && rows.taps) {
      s.first_row = std::min(s.first_row, rows.offset(0));
      s.last_row = std::max(s.last_row, rows.offset(rows.taps - 1));
      end_row = std::max(end_row, (rows.count - 1) * rows.step + rows.offset(rows.taps - 1) + 1);
    }
    if (cols.count && cols.taps) {
      s.first_col = std::min(s.first_col, cols.offset(0));
      s.last_col = std::max(s.last_col, cols.offset(cols.taps - 1));
      end_col = std::max(end_col, (cols.count - 1) * cols.step + cols.offset(cols.taps - 1) + 1);
    }
  }
  if (s.first_row == huge) s.first_row = s.last_row = 0;  // no tap reaches any pixel
  if (s.first_col == huge) s.first_col = s.last_col = 0;
  s.last_row = std::max(s.last_row, s.first_row);
  s.last_col = std::max(s.last_col, s.first_col);

  s.in_place =
      in_place && s.first_row >= 0 && s.first_col >= 0 && end_row <= c.in_h && end_col <= c.in_w;
  const bool point = s.first_row == s.last_row && s.first_col == s.last_col;
  if (!s.in_place && point) s.sample = std::exchange(s.step, 1);  // copy only what is read

  const auto group_in = c.group_in();
  if (s.in_place) {
    s.pixel = c.in_c;
  } else if (group_in < line || (point && group_in < 8 * line)) {
    s.pixel = group_in;  // neighbouring taps make one run; single taps copy whole rows at once
  } else {
    s.pixel = (pieces(group_in, line) | 1) * line;  // odd lines: pixels spread over all sets
  }
  s.width = (s.grid_cols - 1) * s.step + s.last_col - s.first_col + 1;
  s.row = (s.in_place ? c.in_w : s.width) * s.pixel;
  const auto copied_rows = [&](std::int64_t rows) {
    return (rows - 1) * s.step + s.last_row - s.first_row + 1;
  };

  const auto image_pixels = s.grid_rows * s.grid_cols;
  const auto wanted = std::clamp(c.g.n * image_pixels / units, fewest_pixels, most_pixels);
  if (image_pixels <= wanted) {
    s.rows = s.grid_rows;
    const auto fit = most_elements / std::max<std::int64_t>(copied_rows(s.rows) * s.row, 1);
    const auto most = std::min({wanted / std::max<std::int64_t>(image_pixels, 1), fit, c.g.n});
    s.images = detail::best_count(image_pixels, most);
  } else {
    auto most = std::max<std::int64_t>(wanted / s.grid_cols, 1);
    while (most > 1 && copied_rows(most) * s.row > most_elements) --most;
    s.rows = std::min(detail::best_count(s.grid_cols, most), s.grid_rows);
  }
  s.height = copied_rows(s.rows);
  s.image = s.in_place ? c.in_h * s.row : s.height * s.row;
  s.per_image = pieces(s.grid_rows, s.rows);
  s.count = pieces(c.g.n, s.images) * s.per_image;
  return s;
}

/// Copies the map of the input of a strip for one group of channels. `in` is the whole input.
template <class T>
void copy_strip(accumulate_t<T>* to, const T* in, InputMap map, const Strip& strip,
                std::int64_t group, const Strips& s, const Correlation& c) {
  using A = accumulate_t<T>;
  const auto channels = c.group_in();
  Scratch scratch;
  T* mapped = map ? scratch.take<T>(c.in_w * c.in_c).data() : nullptr;
  // columns [begin, end) of the copy lie inside the image
  const auto begin = std::min(s.first_col < 0 ? pieces(-s.first_col, s.sample) : 0, s.width);
  const auto inside = s.first_col < c.in_w ? pieces(c.in_w - s.first_col, s.sample) : 0;
  const auto end = std::clamp(inside, begin, s.width);
  const auto height = (strip.row_end - strip.row - 1) * s.step + s.last_row - s.first_row + 1;
  for (auto n = strip.image; n < strip.image_end; ++n) {
    for (std::int64_t i = 0; i < height; ++i) {
      A* row = to + (n - strip.image) * s.image + i * s.row;
      const auto ih = (strip.row * s.step + i) * s.sample + s.first_row;
      if (ih < 0 || ih >= c.in_h) {
        std::fill(row, row + s.row, A(0));
        continue;
      }
      std::fill(row, row + begin * s.pixel, A(0));
      std::fill(row + end * s.pixel, row + s.row, A(0));
      const T* line = in + (n * c.in_h + ih) * c.in_w * c.in_c;
      if (map) {
        map(mapped, line, c.in_w);
        line = mapped;
      }
      const T* from = line + s.first_col * c.in_c + group * channels;
      if (s.sample == 1 && s.pixel == c.in_c && c.g.groups == 1) {
        widen(row + begin * s.pixel, from + begin * c.in_c, (end - begin) * c.in_c);
        continue;
      }
      for (auto j = begin; j < end; ++j) {
        widen(row + j * s.pixel, from + j * s.sample * c.in_c, channels);
      }
    }
  }
}

/// The runs that the taps of a phase read, counted from a pixel's place in the strip; the number of
/// them. They take the channels in chunks, all taps of a chunk before the next.
inline std::int64_t find_runs(Run* runs, const Phase& rows, const Phase& cols, const Strips& s,
                              std::int64_t channels, std::int64_t chunk) {
  std::int64_t count = 0;
  for (std::int64_t first = 0; first < channels; first += chunk) {
    const auto length = std::min(chunk, channels - first);
    for (std::int64_t i = 0; i < rows.taps; ++i) {
      for (std::int64_t j = 0; j < cols.taps; ++j) {
        const auto offset = (rows.offset(i) - s.first_row) * s.row +
                            (cols.offset(j) - s.first_col) * s.pixel + first;
        if (count > 0 && runs[count - 1].offset + runs[count - 1].length == offset) {
          runs[count - 1].length += length;
        } else {
          runs[count++] = {offset, length};
        }
      }
    }
  }
  return count;
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
