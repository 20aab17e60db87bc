#pragma once

#include <algorithm>
#include <cstdint>

#include <tinynet/core/parallel.hpp>
#include <tinynet/core/pieces.hpp>
#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/gemm/contract.hpp>

/// The blocked product, whatever multiplies the tiles: cuts C into blocks for the threads, packs
/// strips of A and B, and calls
///
///     struct Tile {
///       using packed = ...;                        // type of packed elements
///       using sum = ...;                           // type of the sums
///       static constexpr std::int64_t rows, cols;  // of the tile of C
///       static constexpr std::int64_t depth_step;  // packed depth is a multiple of it
///       static constexpr std::int64_t depth_block; // deepest strip worth packing
///       static constexpr std::int64_t unit_macs;   // work that is worth a thread
///       struct Section;                            // owned by a thread while it works
///       static void pack_rows(packed*, Matrix<const T> strip_of_a);
///       static void pack_cols(packed*, Matrix<const T> strip_of_b);
///       static void product(sum* tile, const packed* a, const packed* b, depth, bool accumulate);
///       static void store(Matrix<C> part_of_c, const sum* tile, const sum* bias, Store);
///     };
///
/// Each element of C is summed over k by one thread in one order, so that neither the cut into
/// blocks nor the number of threads shows in the bits.
namespace tinynet::inline TINYNET_ABI::kernels {

/// How a product is cut into units of work, by its size alone.
struct GemmCut {
  std::int64_t rows = 0, cols = 0;  // of a block of C
  std::int64_t depth = 0;           // of a part of the sum
  std::int64_t row_blocks = 1, col_blocks = 1;
  std::int64_t parts = 1;           // partial sums, at most 8
};

namespace detail {

/// The size of `count` pieces of `size` that are as equal as multiples of `step` allow.
constexpr std::int64_t even_piece(std::int64_t size, std::int64_t count, std::int64_t step) {
  return round_up(pieces(size, count), step);
}

template <class T>
Matrix<T> block(const Matrix<T>& x, std::int64_t row, std::int64_t col, std::int64_t rows,
                std::int64_t cols) {
  return {&x(row, col), std::min(rows, x.rows - row), std::min(cols, x.cols - col), x.row_stride,
          x.col_stride};
}

}  // namespace detail

/// Blocks of at most 256 x 512, so that packing A and B is paid for by 512 and 256 products an
/// element and packed A stays in the second-level cache; smaller ones where that gives eight threads
/// work; and where C alone is too small for that, parts of a long sum.
template <class Tile>
GemmCut cut_gemm(const GemmGeometry& g) {
  using namespace detail;
  constexpr std::int64_t units = 8, max_rows = 256, max_cols = 512, min_side = 64, min_depth = 512;
  const auto macs = g.m * g.n * g.k;
  GemmCut cut;
  cut.row_blocks = pieces(g.m, max_rows);
  cut.col_blocks = pieces(g.n, max_cols);
  while (cut.row_blocks * cut.col_blocks < units &&
         macs / (2 * cut.row_blocks * cut.col_blocks) >= Tile::unit_macs) {
    const auto rows = g.m / cut.row_blocks, cols = g.n / cut.col_blocks;
    if (std::max(rows, cols) < 2 * min_side) break;
    (rows > cols ? cut.row_blocks : cut.col_blocks) *= 2;
  }
  const auto blocks = cut.row_blocks * cut.col_blocks;
  cut.parts = std::clamp<std::int64_t>(
      std::min({units / blocks, macs / (blocks * Tile::unit_macs), g.k / min_depth}), 1, units);

  cut.rows = even_piece(g.m, cut.row_blocks, Tile::rows);
  cut.cols = even_piece(g.n, cut.col_blocks, Tile::cols);
  cut.depth = std::max(even_piece(g.k, cut.parts, Tile::depth_step), Tile::depth_step);
  cut.row_blocks = pieces(g.m, cut.rows);
  cut.col_blocks = pieces(g.n, cut.cols);
  cut.parts = std::max<std::int64_t>(pieces(g.k, cut.depth), 1);
  return cut;
}

/// One unit: a block of C on one thread.
template <class Tile, class A, class B, class C>
void gemm_block(Matrix<const A> a, Matrix<const B> b, Matrix<C> c,
                const typename Tile::sum* bias, Store store) {
  using namespace detail;
  using Sum = typename Tile::sum;
  using Packed = typename Tile::packed;
  constexpr auto tile_size = Tile::rows * Tile::cols;

  const auto depth_blocks = std::max<std::int64_t>(pieces(a.cols, Tile::depth_block), 1);
  const auto depth = even_piece(a.cols, depth_blocks, Tile::depth_step);
  const auto row_tiles = pieces(c.rows, Tile::rows), col_tiles = pieces(c.cols, Tile::cols);
  Scratch scratch;
  const auto packed_a = scratch.take<Packed>(row_tiles * Tile::rows * depth).data();
  const auto packed_b = scratch.take<Packed>(Tile::cols * depth).data();
  // Sums that wait for the next block of k; with a single block, one tile serves all.
  const auto sums =
      scratch.take<Sum>((depth_blocks == 1 ? 1 : row_tiles * col_tiles) * tile_size).data();

  [[maybe_unused]] const typename Tile::Section section;
  for (std::int64_t d = 0; d < depth_blocks; ++d) {
    const auto strip_depth = std::min(depth, a.cols - d * depth);
    const auto packed_depth = round_up(strip_depth, Tile::depth_step);
    for (std::int64_t i = 0; i < row_tiles; ++i) {
      Tile::template pack_rows<A>(packed_a + i * Tile::rows * packed_depth,
                                  block(a, i * Tile::rows, d * depth, Tile::rows, depth));
    }
    for (std::int64_t j = 0; j < col_tiles; ++j) {
      Tile::template pack_cols<B>(packed_b,
                                  block(b, d * depth, j * Tile::cols, depth, Tile::cols));
      for (std::int64_t i = 0; i < row_tiles; ++i) {
        const auto tile = depth_blocks == 1 ? sums : sums + (j * row_tiles + i) * tile_size;
        Tile::product(tile, packed_a + i * Tile::rows * packed_depth, packed_b, packed_depth,
                      d > 0);
        if (d + 1 < depth_blocks) continue;
        Tile::template store<C>(
            block(c, i * Tile::rows, j * Tile::cols, Tile::rows, Tile::cols), tile,
            bias ? bias + j * Tile::cols : nullptr, store);
      }
    }
  }
}

/// C = A * B (+ bias), or C += , by `Tile`.
template <class Tile, class A, class B, class C>
void blocked_gemm(Matrix<const A> a, Matrix<const B> b, Matrix<C> c,
                  const accumulate_t<C>* bias, Store store) {
  using Sum = typename Tile::sum;
  if (c.rows == 0 || c.cols == 0) return;
  const auto cut = cut_gemm<Tile>({c.rows, c.cols, a.cols});
  const auto blocks = cut.row_blocks * cut.col_blocks;

  const auto run = [&](auto to, std::int64_t part, std::int64_t index, const Sum* to_bias,
                       Store how) {
    const auto row = index % cut.row_blocks * cut.rows, col = index / cut.row_blocks * cut.cols;
    const auto depth = part * cut.depth;
    gemm_block<Tile, A, B>(detail::block(a, row, depth, cut.rows, cut.depth),
                           detail::block(b, depth, col, cut.depth, cut.cols),
                           detail::block(to, row, col, cut.rows, cut.cols),
                           to_bias ? to_bias + col : nullptr, how);
  };
  if (cut.parts == 1) {
    parallel_for(blocks, [&](std::int64_t index) { run(c, 0, index, bias, store); });
    return;
  }
  Scratch scratch;
  const auto size = c.rows * c.cols;
  const auto partial = scratch.take<Sum>(cut.parts * size).data();
  parallel_for(cut.parts * blocks, [&](std::int64_t unit) {
    const auto part = unit / blocks;
    run(matrix(partial + part * size, c.rows, c.cols), part, unit % blocks, nullptr,
        Store::overwrite);
  });
  for (std::int64_t i = 0; i < c.rows; ++i) {
    Sum* sums = partial + i * c.cols;
    for (std::int64_t part = 1; part < cut.parts; ++part) {
      for (std::int64_t j = 0; j < c.cols; ++j) sums[j] += sums[part * size + j];
    }
    for (std::int64_t j = 0; j < c.cols; ++j) {
      if (bias) sums[j] += bias[j];
      if (store == Store::add) sums[j] += static_cast<Sum>(c(i, j));
      c(i, j) = static_cast<C>(sums[j]);
    }
  }
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
