#pragma once

#include <utility>

#include <tinynet/kernels/gemm/blocked.hpp>
#include <tinynet/kernels/gemm/pack.hpp>

namespace tinynet::inline TINYNET_ABI::kernels {

/// The product in vectors of the build's width: a tile of C stays in registers, two vectors wide
/// and as many rows high as leaves registers for a pair of B and one of A.
///
/// Floor: 2 m n k operations at the FMA peak. Measured on one busy core with AVX-512, in shares of
/// the peak measured beside it: the microkernel 0.99; with packing and stores 512^3 0.73,
/// [128 x 1152] * [1152 x 512] 0.67, its weight gradient 0.74. The gap is packing, 0.3 to 0.6
/// cycles an element: with 128 rows every element of B serves only four cycles of products.
/// (benchmarks/kernels --benchmark_filter=gemm)
template <class X>
struct SimdTile {
  using packed = X;
  using sum = X;
  static constexpr std::int64_t rows = simd::registers == 32 ? 14 : 6;
  static constexpr std::int64_t cols = 2 * simd::width<X>;
  static constexpr std::int64_t depth_step = 1;
  static constexpr std::int64_t depth_block = 256;  // a strip of B: 32 KB with AVX-512, 16 KB below
  static constexpr std::int64_t unit_macs = 1 << 18;
  struct Section {};

  template <class T>
  static void pack_rows(X* to, Matrix<const T> strip) {
    pack_panel(to, rows, strip);
  }
  template <class T>
  static void pack_cols(X* to, Matrix<const T> strip) {
    pack_panel(to, cols, strip.transposed());
  }
  static void product(X* tile, const X* a, const X* b, std::int64_t depth, bool accumulate) {
    product_of(std::make_index_sequence<rows>(), tile, a, b, depth, accumulate);
  }

  template <class C>
  static void store(Matrix<C> c, const X* tile, const X* bias, Store how) {
    constexpr auto width = simd::width<X>;
    for (std::int64_t i = 0; i < c.rows; ++i) {
      for (std::int64_t j = 0; j < c.cols; j += width) {
        const auto count = c.cols - j;
        auto x = simd::load(tile + i * cols + j);
        C* to = c.data + i * c.row_stride + j;
        if (count >= width) {
          if (bias) x = x + simd::load(bias + j);
          if (how == Store::add) x = x + simd::load(to);
          simd::store(to, x);
        } else {
          if (bias) x = x + simd::load_partial(bias + j, count);
          if (how == Store::add) x = x + simd::load_partial(to, count);
          simd::store_partial(to, x, count);
        }
      }
    }
  }

 private:
  // Indices, not a loop over rows: only with constant subscripts do the sums stay in registers at
  // every level of optimisation.
  template <std::size_t... Row>
  static void product_of(std::index_sequence<Row...>, X* tile, const X* a, const X* b,
                         std::int64_t depth, bool accumulate) {
    using Vector = simd::batch<X>;
    constexpr auto width = simd::width<X>;
    Vector left[rows], right[rows];
    if (accumulate) {
      ((left[Row] = simd::load(tile + Row * cols)), ...);
      ((right[Row] = simd::load(tile + Row * cols + width)), ...);
    } else {
      ((left[Row] = right[Row] = Vector(X(0))), ...);
    }
    for (std::int64_t p = 0; p < depth; ++p, a += rows, b += cols) {
      const auto b_left = simd::load(b), b_right = simd::load(b + width);
      Vector x;
      ((x = Vector(a[Row]), left[Row] = simd::fma(x, b_left, left[Row]),
        right[Row] = simd::fma(x, b_right, right[Row])),
       ...);
    }
    (simd::store(tile + Row * cols, left[Row]), ...);
    (simd::store(tile + Row * cols + width, right[Row]), ...);
  }
};

template <class A, class B, class C>
void gemm_simd(Matrix<const A> a, Matrix<const B> b, Matrix<C> c, const accumulate_t<C>* bias,
               Store store) {
  blocked_gemm<SimdTile<accumulate_t<C>>>(a, b, c, bias, store);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
