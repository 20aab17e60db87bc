#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <tinynet/core/parallel.hpp>
#include <tinynet/core/pieces.hpp>
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

/// A, B or C of a product by tiles: elements whose type only the function that packs or stores them
/// knows, strides in bytes. So the loops below are compiled once for a Tile, whatever it multiplies.
template <class Packed>
struct GemmOperand {
  Matrix<const std::byte> view;
  void (*pack)(Packed* to, Matrix<const std::byte> strip);
};
template <class Sum>
struct GemmResult {
  Matrix<std::byte> view;
  void (*store)(Matrix<std::byte> part, const Sum* tile, const Sum* bias, Store);
};

namespace detail {

template <class T, class Byte>
auto bytes_of(Matrix<T> m) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(T));
  return Matrix<Byte>{reinterpret_cast<Byte*>(m.data), m.rows, m.cols, m.row_stride * size,
                      m.col_stride * size};
}
template <class T, class Byte>
auto elements_of(Matrix<Byte> m) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(T));
  return Matrix<T>{reinterpret_cast<T*>(m.data), m.rows, m.cols, m.row_stride / size,
                   m.col_stride / size};
}

template <class Tile, class T>
void pack_rows(typename Tile::packed* to, Matrix<const std::byte> strip) {
  Tile::template pack_rows<T>(to, elements_of<const T>(strip));
}
template <class Tile, class T>
void pack_cols(typename Tile::packed* to, Matrix<const std::byte> strip) {
  Tile::template pack_cols<T>(to, elements_of<const T>(strip));
}
template <class Tile, class T>
void store_part(Matrix<std::byte> part, const typename Tile::sum* tile,
                const typename Tile::sum* bias, Store store) {
  Tile::template store<T>(elements_of<T>(part), tile, bias, store);
}

template <class Operand>
Operand part_of(const Operand& x, std::int64_t row, std::int64_t col, std::int64_t rows,
                std::int64_t cols) {
  auto part = x;
  part.view = block(x.view, row, col, rows, cols);
  return part;
}

}  // namespace detail

/// C = A * B (+ bias) or C += , with every strip of the shared operand packed at once.
template <class Tile>
void gemm_shared(const GemmOperand<typename Tile::packed>& a,
                 const GemmOperand<typename Tile::packed>& b,
                 const GemmResult<typename Tile::sum>& c, const typename Tile::sum* bias,
                 Store store, bool share_rows, std::int64_t units) {
  using namespace detail;
  using Packed = typename Tile::packed;
  constexpr auto tile_size = Tile::rows * Tile::cols;
  const auto k = a.view.cols;
  const auto depth_blocks = std::max<std::int64_t>(pieces(k, Tile::depth_block), 1);
  const auto depth = even_piece(k, depth_blocks, Tile::depth_step);
  const auto shared_side = share_rows ? Tile::rows : Tile::cols;
  const auto own_side = share_rows ? Tile::cols : Tile::rows;
  const auto shared_strips = pieces(share_rows ? c.view.rows : c.view.cols, shared_side);
  const auto own_strips = pieces(share_rows ? c.view.cols : c.view.rows, own_side);

  const auto pack = [&](Packed* to, bool rows, std::int64_t strip, std::int64_t d) {
    if (rows) {
      a.pack(to, block(a.view, strip * Tile::rows, d * depth, Tile::rows, depth));
    } else {
      b.pack(to, block(b.view, d * depth, strip * Tile::cols, depth, Tile::cols));
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
            pieces(std::min(depth, k - d * depth), Tile::depth_step) * Tile::depth_step;
        for (std::int64_t s = 0; s < shared_strips; ++s) {
          auto* tile = depth_blocks == 1 ? sums : sums + s * tile_size;
          const Packed* strip = strip_at(s, d);
          Tile::product(tile, share_rows ? strip : own, share_rows ? own : strip, packed_depth,
                        d > 0);
          if (d + 1 < depth_blocks) continue;
          const auto row = (share_rows ? s : o) * Tile::rows;
          const auto col = (share_rows ? o : s) * Tile::cols;
          c.store(block(c.view, row, col, Tile::rows, Tile::cols), tile,
                  bias ? bias + col : nullptr, store);
        }
      }
    }
  });
}

/// Several parts of a long sum, each in a matrix of its own, added in their order.
template <class Tile>
void gemm_parts(const GemmOperand<typename Tile::packed>& a,
                const GemmOperand<typename Tile::packed>& b,
                const GemmResult<typename Tile::sum>& c, const typename Tile::sum* bias,
                Store store, const GemmCut& cut) {
  using Sum = typename Tile::sum;
  const auto m = c.view.rows, n = c.view.cols, size = m * n;
  // A part goes through the shared operand in pieces that the cache holds.
  const auto piece = detail::even_piece(
      cut.depth, pieces(cut.depth * std::min(m, n), detail::shared_limit<Tile>),
      Tile::depth_step);
  Scratch scratch;
  Sum* partial = scratch.take<Sum>(cut.parts * size).data();
  parallel_for(cut.parts, [&](std::int64_t part) {
    const GemmResult<Sum> sums{
        detail::bytes_of<Sum, std::byte>(matrix(partial + part * size, m, n)),
        detail::store_part<Tile, Sum>};
    const auto begin = part * cut.depth, end = std::min(begin + cut.depth, a.view.cols);
    for (auto k = begin; k < end; k += piece) {
      const auto depth = std::min(piece, end - k);
      gemm_shared<Tile>(detail::part_of(a, 0, k, m, depth), detail::part_of(b, k, 0, depth, n),
                        sums, nullptr, k == begin ? Store::overwrite : Store::add, cut.share_rows,
                        1);
    }
  });
  for (std::int64_t part = 1; part < cut.parts; ++part) {
    for (std::int64_t i = 0; i < size; ++i) partial[i] += partial[part * size + i];
  }
  Sum* tile = scratch.take<Sum>(Tile::rows * Tile::cols).data();
  for (std::int64_t row = 0; row < m; row += Tile::rows) {
    for (std::int64_t col = 0; col < n; col += Tile::cols) {
      const auto to = detail::block(c.view, row, col, Tile::rows, Tile::cols);
      for (std::int64_t i = 0; i < to.rows; ++i) {
        std::copy_n(partial + (row + i) * n + col, to.cols, tile + i * Tile::cols);
      }
      c.store(to, tile, bias ? bias + col : nullptr, store);
    }
  }
}

/// The product over operands that hide their types.
template <class Tile>
void gemm_blocks(const GemmOperand<typename Tile::packed>& a,
                 const GemmOperand<typename Tile::packed>& b,
                 const GemmResult<typename Tile::sum>& c, const typename Tile::sum* bias,
                 Store store) {
  const auto m = c.view.rows, n = c.view.cols, k = a.view.cols;
  if (m == 0 || n == 0) return;
  const auto cut = cut_gemm<Tile>({m, n, k});
  if (cut.parts > 1) return gemm_parts<Tile>(a, b, c, bias, store, cut);
  // Where the shared operand outgrows the cache, C is cut across it.
  const auto side = cut.share_rows ? m : n;
  const auto count = pieces(side * k, 4 * detail::shared_limit<Tile>);
  const auto piece = detail::even_piece(side, std::max<std::int64_t>(count, 1),
                                        cut.share_rows ? Tile::rows : Tile::cols);
  for (std::int64_t first = 0; first < side; first += piece) {
    const auto row = cut.share_rows ? first : 0, col = cut.share_rows ? 0 : first;
    const auto rows = cut.share_rows ? piece : m, cols = cut.share_rows ? n : piece;
    gemm_shared<Tile>(detail::part_of(a, row, 0, rows, k), detail::part_of(b, 0, col, k, cols),
                      detail::part_of(c, row, col, rows, cols), bias ? bias + col : nullptr, store,
                      cut.share_rows, cut.units);
  }
}

/// C = A * B (+ bias), or C += , by `Tile`.
template <class Tile, class A, class B, class C>
void blocked_gemm(Matrix<const A> a, Matrix<const B> b, Matrix<C> c, const typename Tile::sum* bias,
                  Store store) {
  using namespace detail;
  gemm_blocks<Tile>({bytes_of<const A, const std::byte>(a), pack_rows<Tile, A>},
                    {bytes_of<const B, const std::byte>(b), pack_cols<Tile, B>},
                    {bytes_of<C, std::byte>(c), store_part<Tile, C>}, bias, store);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
