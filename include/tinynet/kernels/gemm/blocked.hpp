#pragma once

#include <algorithm>
#include <cstdint>

#include <tinynet/core/parallel.hpp>
#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/gemm/contract.hpp>

/// The blocked product, whatever multiplies the tiles:
///
///     struct Tile {
///       using packed = ...;                        // type of packed elements
///       using sum = ...;                           // type of the sums
///       static constexpr std::int64_t rows, cols;  // of the tile of C
///       static constexpr std::int64_t depth_step;  // packed depth is a multiple of it
///       static constexpr std::int64_t depth_block; // depth of a strip that stays in the L1 cache
///       static constexpr std::int64_t unit_macs;   // work that is worth a thread
///       struct Section;                            // owned by a thread while it works
///       static void pack_rows(packed*, Matrix<const T> strip_of_a);
///       static void pack_cols(packed*, Matrix<const T> strip_of_b);
///       static void product(sum* tile, const packed* a, const packed* b, depth, bool accumulate);
///       static void store(Matrix<C> part_of_c, const sum* tile, const sum* bias, Store);
///     };
///
/// Packing is what costs beside the products, so every element is packed once: all strips of the
/// smaller operand first, for everybody; then each unit packs strips of the other, one at a time,
/// and multiplies it with all of the first. A small C that sums over many k is cut along k instead.
namespace tinynet::inline TINYNET_ABI::kernels {

/// How a product is cut into units of work, by its size alone.
struct GemmCut {
  bool share_rows = true;  // pack A once for everybody, B by unit; else the other way round
  std::int64_t units = 1;  // along the operand that is not shared
  std::int64_t parts = 1;  // of the sum, at most 8
  std::int64_t depth = 0;  // of a part
};

namespace detail {

constexpr std::int64_t pieces(std::int64_t size, std::int64_t piece) {
  return (size + piece - 1) / piece;
}
/// The size of `count` pieces of `size` that are as equal as multiples of `step` allow.
constexpr std::int64_t even_piece(std::int64_t size, std::int64_t count, std::int64_t step) {
  return std::max(pieces(pieces(size, count), step) * step, step);
}

template <class T>
Matrix<T> block(const Matrix<T>& x, std::int64_t row, std::int64_t col, std::int64_t rows,
                std::int64_t cols) {
  return {&x(row, col), std::min(rows, x.rows - row), std::min(cols, x.cols - col), x.row_stride,
          x.col_stride};
}

/// Packed elements of the shared operand that a second-level cache holds beside the rest.
template <class Tile>
inline constexpr std::int64_t shared_limit = (1 << 20) / sizeof(typename Tile::packed);

}  // namespace detail

template <class Tile>
GemmCut cut_gemm(const GemmGeometry& g) {
  using detail::pieces;
  constexpr std::int64_t most = 8, min_depth = 512, max_partial = 1 << 18;
  GemmCut cut;
  cut.share_rows = g.m <= g.n;
  const auto strips = cut.share_rows ? pieces(g.n, Tile::cols) : pieces(g.m, Tile::rows);
  const auto worth = g.m * g.n * g.k / Tile::unit_macs;
  const auto shared = std::min(g.m, g.n) * g.k;
  if ((strips < most || shared > detail::shared_limit<Tile>)&&g.m * g.n <= max_partial) {
    cut.parts = std::clamp<std::int64_t>(std::min(worth, g.k / min_depth), 1, most);
  }
  cut.depth = detail::even_piece(g.k, cut.parts, Tile::depth_step);
  cut.parts = std::max<std::int64_t>(pieces(g.k, cut.depth), 1);
  cut.units = cut.parts > 1 ? 1 : std::clamp<std::int64_t>(worth, 1, strips);
  return cut;
}

/// C = A * B (+ bias) or C += , with every strip of the shared operand packed at once.
template <class Tile, class A, class B, class C>
void gemm_shared(Matrix<const A> a, Matrix<const B> b, Matrix<C> c, const typename Tile::sum* bias,
                 Store store, bool share_rows, std::int64_t units) {
  using namespace detail;
  using Packed = typename Tile::packed;
  constexpr auto tile_size = Tile::rows * Tile::cols;
  const auto depth_blocks = std::max<std::int64_t>(pieces(a.cols, Tile::depth_block), 1);
  const auto depth = even_piece(a.cols, depth_blocks, Tile::depth_step);
  const auto shared_side = share_rows ? Tile::rows : Tile::cols;
  const auto own_side = share_rows ? Tile::cols : Tile::rows;
  const auto shared_strips = pieces(share_rows ? c.rows : c.cols, shared_side);
  const auto own_strips = pieces(share_rows ? c.cols : c.rows, own_side);

  const auto pack = [&](Packed* to, bool rows, std::int64_t strip, std::int64_t d) {
    if (rows) {
      Tile::template pack_rows<A>(to, block(a, strip * Tile::rows, d * depth, Tile::rows, depth));
    } else {
      Tile::template pack_cols<B>(to, block(b, d * depth, strip * Tile::cols, depth, Tile::cols));
    }
  };
  Scratch scratch;
  Packed* shared = scratch.take<Packed>(depth_blocks * shared_strips * shared_side * depth).data();
  const auto strip_at = [&](std::int64_t strip, std::int64_t d) {
    return shared + (d * shared_strips + strip) * shared_side * depth;
  };
  // A second start of the threads pays only where there is something to pack.
  const auto strips = depth_blocks * shared_strips;
  const bool little = units == 1 || strips * shared_side * depth < 1 << 14;
  parallel_ranges(strips, little ? strips : pieces(strips, 8), [&](Range range) {
    for (auto i = range.begin; i < range.end; ++i) {
      const auto strip = i % shared_strips, d = i / shared_strips;
      pack(strip_at(strip, d), share_rows, strip, d);
    }
  });

  parallel_for(units, [&](std::int64_t unit) {
    Scratch private_scratch;
    Packed* own = private_scratch.take<Packed>(own_side * depth).data();
    // Sums that wait for the next block of k; with a single block, one tile serves all.
    auto* sums = private_scratch
                     .take<typename Tile::sum>((depth_blocks == 1 ? 1 : shared_strips) * tile_size)
                     .data();
    [[maybe_unused]] const typename Tile::Section section;
    for (auto o = own_strips * unit / units; o < own_strips * (unit + 1) / units; ++o) {
      for (std::int64_t d = 0; d < depth_blocks; ++d) {
        pack(own, !share_rows, o, d);
        const auto packed_depth =
            pieces(std::min(depth, a.cols - d * depth), Tile::depth_step) * Tile::depth_step;
        for (std::int64_t s = 0; s < shared_strips; ++s) {
          auto* tile = depth_blocks == 1 ? sums : sums + s * tile_size;
          const Packed* strip = strip_at(s, d);
          Tile::product(tile, share_rows ? strip : own, share_rows ? own : strip, packed_depth,
                        d > 0);
          if (d + 1 < depth_blocks) continue;
          const auto row = (share_rows ? s : o) * Tile::rows;
          const auto col = (share_rows ? o : s) * Tile::cols;
          Tile::template store<C>(block(c, row, col, Tile::rows, Tile::cols), tile,
                                  bias ? bias + col : nullptr, store);
        }
      }
    }
  });
}

/// Several parts of a long sum, each in a matrix of its own, added in their order.
template <class Tile, class A, class B, class C>
void gemm_parts(Matrix<const A> a, Matrix<const B> b, Matrix<C> c, const typename Tile::sum* bias,
                Store store, const GemmCut& cut) {
  using Sum = typename Tile::sum;
  const auto size = c.rows * c.cols;
  // A part goes through the shared operand in pieces that the cache holds.
  const auto piece = detail::even_piece(
      cut.depth, detail::pieces(cut.depth * std::min(c.rows, c.cols), detail::shared_limit<Tile>),
      Tile::depth_step);
  Scratch scratch;
  Sum* partial = scratch.take<Sum>(cut.parts * size).data();
  parallel_for(cut.parts, [&](std::int64_t part) {
    const auto begin = part * cut.depth, end = std::min(begin + cut.depth, a.cols);
    for (auto k = begin; k < end; k += piece) {
      const auto depth = std::min(piece, end - k);
      gemm_shared<Tile, A, B>(detail::block(a, 0, k, c.rows, depth),
                              detail::block(b, k, 0, depth, c.cols),
                              matrix(partial + part * size, c.rows, c.cols), nullptr,
                              k == begin ? Store::overwrite : Store::add, cut.share_rows, 1);
    }
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

/// C = A * B (+ bias), or C += , by `Tile`.
template <class Tile, class A, class B, class C>
void blocked_gemm(Matrix<const A> a, Matrix<const B> b, Matrix<C> c, const typename Tile::sum* bias,
                  Store store) {
  if (c.rows == 0 || c.cols == 0) return;
  const auto cut = cut_gemm<Tile>({c.rows, c.cols, a.cols});
  if (cut.parts > 1) return gemm_parts<Tile>(a, b, c, bias, store, cut);
  // Where the shared operand outgrows the cache, C is cut across it.
  const auto side = cut.share_rows ? c.rows : c.cols;
  const auto count = detail::pieces(side * a.cols, 4 * detail::shared_limit<Tile>);
  const auto piece = detail::even_piece(side, std::max<std::int64_t>(count, 1),
                                        cut.share_rows ? Tile::rows : Tile::cols);
  for (std::int64_t first = 0; first < side; first += piece) {
    const auto row = cut.share_rows ? first : 0, col = cut.share_rows ? 0 : first;
    const auto rows = cut.share_rows ? piece : c.rows, cols = cut.share_rows ? c.cols : piece;
    gemm_shared<Tile, A, B>(detail::block(a, row, 0, rows, a.cols),
                            detail::block(b, 0, col, b.rows, cols),
                            detail::block(c, row, col, rows, cols), bias ? bias + col : nullptr,
                            store, cut.share_rows, cut.units);
  }
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
