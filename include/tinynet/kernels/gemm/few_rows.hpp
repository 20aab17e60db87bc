#pragma once

#include <type_traits>
#include <utility>

#include <tinynet/kernels/gemm/simd.hpp>
#include <tinynet/kernels/loops.hpp>

/// Products of few rows: a linear layer on a few images. An element of the large matrix serves so
/// few products that packing it would cost more than they do, so it is read (or written, where it
/// is the gradient of the weights) once, as it lies. The small matrices are converted beforehand,
/// so that the loops are compiled once for float and once for double.
///
/// Floor: the bytes of the large matrix over the bandwidth of memory.
namespace tinynet::inline TINYNET_ABI::kernels {

/// Two passes of four rows take a vector of the large matrix 4 cycles where two FMA fit in one;
/// from memory it takes 10 and more.
inline constexpr std::int64_t few_rows = 8;

namespace detail {

/// Rows that share a load of the large matrix.
inline constexpr std::int64_t row_group = 4;

template <std::int64_t count>
inline constexpr auto indices = std::make_index_sequence<static_cast<std::size_t>(count)>();

/// sums[r][q] = sum over k of a[r][p] * b[q][p], for some rows r of a and `cols` rows q of b.
template <std::int64_t cols, class X, std::size_t... I>
void dot_rows(std::index_sequence<I...>, X* sums, std::int64_t sums_step, const X* a,
              std::int64_t a_step, const X* b, std::int64_t b_step, std::int64_t k) {
  using V = simd::batch<X>;
  constexpr auto width = simd::width<X>;
  V s[] = {(static_cast<void>(I), V(X(0)))...};
  std::int64_t p = 0;
  for (; p + width <= k; p += width) {
    ((s[I] = simd::fma(simd::load(a + I / cols * a_step + p), simd::load(b + I % cols * b_step + p),
                       s[I])),
     ...);
  }
  if (const auto left = k - p; left > 0) {
    ((s[I] = simd::fma(simd::load_partial(a + I / cols * a_step + p, left),
                       simd::load_partial(b + I % cols * b_step + p, left), s[I])),
     ...);
  }
  ((sums[I / cols * sums_step + I % cols] = simd::sum(s[I])), ...);
}

/// c[r][j] = or += sum over `depth` of a[r * a_row + p * a_depth] * b[p * b_step + j], for some
/// rows and `vectors` vectors of columns.
template <std::int64_t vectors, class X, class Lanes, std::size_t... I>
void scale_rows(std::index_sequence<I...>, X* c, std::int64_t c_step, const X* a,
                std::int64_t a_row, std::int64_t a_depth, const X* b, std::int64_t b_step,
                std::int64_t depth, bool accumulate, Lanes lanes) {
  using V = simd::batch<X>;
  constexpr auto width = simd::width<X>;
  V s[] = {(static_cast<void>(I), V(X(0)))...};
  if (accumulate) ((s[I] = lanes.load(c + I / vectors * c_step + I % vectors * width)), ...);
  for (std::int64_t p = 0; p < depth; ++p, a += a_depth, b += b_step) {
    ((s[I] = simd::fma(V(a[I / vectors * a_row]), lanes.load(b + I % vectors * width), s[I])), ...);
  }
  (lanes.store(c + I / vectors * c_step + I % vectors * width, s[I]), ...);
}

/// The same for two vectors, or what is left of them.
template <std::int64_t rows, class X>
void scale_strip(X* c, std::int64_t c_step, const X* a, std::int64_t a_row, std::int64_t a_depth,
                 const X* b, std::int64_t b_step, std::int64_t depth, std::int64_t columns,
                 bool accumulate) {
  constexpr auto width = simd::width<X>;
  if constexpr (rows > 1) {
    if (columns >= 2 * width) {
      return scale_rows<2>(indices<2 * rows>, c, c_step, a, a_row, a_depth, b, b_step, depth,
                           accumulate, FullLanes{});
    }
  }
  const auto end = std::min(columns, 2 * width);
  for (std::int64_t j = 0; j < end; j += width) {
    scale_rows<1>(indices<rows>, c + j, c_step, a, a_row, a_depth, b + j, b_step, depth, accumulate,
                  PartLanes{std::min(width, end - j)});
  }
}

/// The same for all rows of a, whole groups.
template <std::int64_t cols, class X>
void dot_columns(X* sums, std::int64_t sums_step, Matrix<const X> a, const X* b,
                 std::int64_t b_step) {
  const auto k = a.cols;
  for (std::int64_t r = 0; r < a.rows; r += row_group) {
    dot_rows<cols>(indices<row_group * cols>, sums + r * sums_step, sums_step, &a(r, 0), k, b,
                   b_step, k);
  }
}

/// C = A * B for a B that is dense along its columns, as the weights of a linear layer are. A unit
/// is a strip of columns, read four at a time.
template <class X>
void dot_product(Matrix<const X> a, Matrix<const X> b, const GemmResult<X>& c, const X* bias,
                 Store store) {
  constexpr std::int64_t strip = SimdTile<X>::cols, some = simd::registers == 32 ? 4 : 2;
  const auto n = b.cols;
  parallel_for(pieces(n, strip), Cost::of_elements(n * b.rows), [&](std::int64_t unit) {
    const auto first = unit * strip, end = std::min(strip, n - first);
    Scratch scratch;
    X* sums = scratch.take<X>(a.rows * strip).data();
    std::int64_t j = 0;
    for (; j + some <= end; j += some) {
      dot_columns<some>(sums + j, strip, a, &b(0, first + j), b.col_stride);
    }
    for (; j < end; ++j) dot_columns<1>(sums + j, strip, a, &b(0, first + j), b.col_stride);
    c.store(block(c.view, 0, first, c.view.rows, strip), sums, bias ? bias + first : nullptr,
            store);
  });
}

/// scale_strip for all rows of a and all columns of b. C lies in strips of columns, `c_strip`
/// apart.
template <class X>
void scale_panel(X* c, std::int64_t c_row, std::int64_t c_strip, Matrix<const X> a,
                 Matrix<const X> b, bool accumulate) {
  constexpr std::int64_t strip = SimdTile<X>::cols;
  for (std::int64_t r = 0; r < a.rows;) {
    const bool full = a.rows - r >= row_group;
    const auto scale = full ? scale_strip<row_group, X> : scale_strip<1, X>;
    for (std::int64_t j = 0; j < b.cols; j += strip) {
      scale(c + r * c_row + j / strip * c_strip, c_row, &a(r, 0), a.row_stride, a.col_stride,
            &b(0, j), b.row_stride, a.cols, b.cols - j, accumulate);
    }
    r += full ? row_group : 1;
  }
}

/// C = A * B for a B that is dense along its rows, as weights are for the input gradient: a few
/// rows of B at a time, while the sums of a block of columns stay in L1. Long sums are cut into
/// parts.
template <class X>
void scaled_sum(Matrix<const X> a, Matrix<const X> b, const GemmResult<X>& c, const X* bias,
                Store store) {
  constexpr std::int64_t strip = SimdTile<X>::cols, depth = 16, least = 64;
  const auto n = b.cols, k = b.rows, strips = pieces(n, strip), tile = a.rows * strip;
  const auto parts = std::clamp<std::int64_t>(k / least, 1, 8);
  const auto wide = std::max<std::int64_t>(1, 4096 / tile), blocks = pieces(strips, wide);
  Scratch scratch;
  X* sums = scratch.take<X>(parts * strips * tile).data();
  parallel_for(parts * blocks, Cost::of_elements(n * k), [&](std::int64_t unit) {
    const auto part = unit / blocks, first = unit % blocks * wide * strip;
    const auto end = k * (part + 1) / parts;
    X* to = sums + part * strips * tile + first / strip * tile;
    auto p = k * part / parts;
    bool accumulate = false;
    do {  // also without anything to sum
      const auto some = std::min(depth, end - p);
      scale_panel(to, strip, tile, block(a, 0, p, a.rows, some),
                  block(b, p, first, some, wide * strip), accumulate);
      accumulate = true;
      p += some;
    } while (p < end);
  });
  for (std::int64_t s = 0; s < strips; ++s) {
    X* total = sums + s * tile;
    for (std::int64_t part = 1; part < parts; ++part) {
      const X* more = total + part * strips * tile;
      for (std::int64_t i = 0; i < tile; i += simd::width<X>) {
        simd::store(total + i, simd::load(total + i) + simd::load(more + i));
      }
    }
    c.store(block(c.view, 0, s * strip, c.view.rows, strip), total,
            bias ? bias + s * strip : nullptr, store);
  }
}

/// C = or += A * B for a few products an element, such as the weight gradient of a few images: B
/// stays in L1, C is written along its rows.
template <class X>
void outer_product(Matrix<const X> a, Matrix<const X> b, Matrix<X> c, const X* bias, Store store) {
  constexpr std::int64_t strip = SimdTile<X>::cols;
  const auto wide = round_up(4096 / few_rows, strip);
  const auto rows =
      round_up(std::max<std::int64_t>(1, (1 << 14) / std::max<std::int64_t>(c.cols, 1)), row_group);
  parallel_for(pieces(c.rows, rows), Cost::of_elements(c.rows * c.cols), [&](std::int64_t unit) {
    const auto left = block(a, unit * rows, 0, rows, a.cols);
    for (std::int64_t r = 0; bias && r < left.rows; ++r) {
      X* row = &c(unit * rows + r, 0);
      for (std::int64_t j = 0; j < c.cols; ++j) {
        row[j] = store == Store::add ? row[j] + bias[j] : bias[j];
      }
    }
    for (std::int64_t j = 0; j < c.cols; j += wide) {
      scale_panel(&c(unit * rows, j), c.row_stride, strip, left, block(b, 0, j, b.rows, wide),
                  bias || store == Store::add);
    }
  });
}

template <class X, class T>
void pack_any(X* to, std::int64_t panel, Matrix<const std::byte> strip) {
  pack_panel(to, panel, elements_of<const T>(strip));
}

}  // namespace detail

/// A matrix whose elements only the function that converts them knows, strides in bytes.
template <class X>
struct FewRowsOperand {
  Matrix<const std::byte> view;
  void (*pack)(X* to, std::int64_t panel, Matrix<const std::byte> strip);

  /// In X and dense along its rows; `rows`, where it has fewer, are filled up with zeros.
  Matrix<const X> rows(Scratch& scratch, std::int64_t rows) const {
    const auto to = scratch.take<X>(rows * view.cols);
    pack(to.data(), view.cols, view.transposed());
    std::fill(to.begin() + view.rows * view.cols, to.end(), X(0));
    return {to.data(), rows, view.cols, view.cols, 1};
  }
  /// In X and dense along its columns.
  Matrix<const X> columns(Scratch& scratch) const {
    const auto to = scratch.take<X>(view.rows * view.cols);
    pack(to.data(), view.rows, view);
    return {to.data(), view.rows, view.cols, 1, view.rows};
  }
};

/// A product of few rows with a B that is dense in one direction.
template <class X>
[[gnu::noinline]] void few_rows_product(const FewRowsOperand<X>& a, Matrix<const X> b,
                                        const GemmResult<X>& c, const X* bias, Store store) {
  Scratch scratch;
  const auto left = a.rows(scratch, round_up(c.view.rows, detail::row_group));
  if (b.col_stride == 1) detail::scaled_sum(left, b, c, bias, store);
  else detail::dot_product(left, b, c, bias, store);
}

/// A product of few columns of A with few rows of B.
template <class X>
[[gnu::noinline]] void few_terms_product(const FewRowsOperand<X>& a, const FewRowsOperand<X>& b,
                                         Matrix<X> c, const X* bias, Store store) {
  Scratch scratch;
  const auto left = a.columns(scratch), right = b.rows(scratch, b.view.rows);
  detail::outer_product(left, right, c, bias, store);
}

template <class A, class B, class C>
const char* gemm_few_rows_refuses(const GemmGeometry& g) {
  using X = accumulate_t<C>;
  if (std::is_same_v<B, X> && g.m <= few_rows) return nullptr;
  if (std::is_same_v<C, X> && g.k <= few_rows) return nullptr;
  return "neither few rows nor few products an element";
}

template <class A, class B, class C>
void gemm_few_rows(Matrix<const A> a, Matrix<const B> b, Matrix<C> c, const accumulate_t<C>* bias,
                   Store store) {
  using namespace detail;
  using X = accumulate_t<C>;
  if (c.rows == 0 || c.cols == 0) return;
  const FewRowsOperand<X> left{bytes_of<const A, const std::byte>(a), pack_any<X, A>};
  if constexpr (std::is_same_v<B, X>) {
    if (c.rows <= few_rows) {
      // Matrices with gaps in both directions are nobody's weights.
      if (b.row_stride != 1 && b.col_stride != 1) return gemm_simd(a, b, c, bias, store);
      return few_rows_product<X>(left, b, {bytes_of<C, std::byte>(c), store_part<SimdTile<X>, C>},
                                 bias, store);
    }
  }
  if constexpr (std::is_same_v<C, X>) {
    few_terms_product<X>(left, {bytes_of<const B, const std::byte>(b), pack_any<X, B>}, c, bias,
                         store);
  }
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
