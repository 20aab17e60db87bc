#pragma once

#include <tinynet/core/cpu.hpp>
#include <tinynet/core/tiles.hpp>
#include <tinynet/kernels/gemm/amx_product.hpp>
#include <tinynet/kernels/gemm/avx512_product.hpp>
#include <tinynet/kernels/gemm/blocked.hpp>
#include <tinynet/kernels/gemm/tile_pack.hpp>

#ifdef TINYNET_TILES

namespace tinynet::inline TINYNET_ABI::tiles {

/// Writes 16 sums, of which `mask` selects some, as float or bfloat16.
TINYNET_TARGET_BF16 inline void store_16(float* to, const float* sums, const float* bias,
                                         std::uint32_t mask, Store how) {
  const auto some = static_cast<__mmask16>(mask);
  auto x = _mm512_load_ps(sums);
  if (bias) x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(some, bias));
  if (how == Store::add) x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(some, to));
  _mm512_mask_storeu_ps(to, some, x);
}
TINYNET_TARGET_BF16 inline void store_16(bfloat16* to, const float* sums, const float* bias,
                                         std::uint32_t mask, Store how) {
  const auto some = static_cast<__mmask16>(mask);
  auto x = _mm512_load_ps(sums);
  if (bias) x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(some, bias));
  if (how == Store::add) {
    x = _mm512_add_ps(x, widened(_mm256_maskz_loadu_epi16(some, to)));
  }
  _mm256_mask_storeu_epi16(to, some, (__m256i)_mm512_cvtneps_pbh(x));
}

/// Writes a tile of at most 32 x 32 sums.
template <class C>
TINYNET_TARGET_BF16 void store_tile(Matrix<C> c, const float* sums, const float* bias, Store how) {
  const auto mask = c.cols >= 32 ? ~std::uint32_t{0} : (std::uint32_t{1} << c.cols) - 1;
  for (std::int64_t i = 0; i < c.rows; ++i, sums += 32) {
    C* to = c.data + i * c.row_stride;
    store_16(to, sums, bias, mask & 0xffff, how);
    if (mask >> 16) store_16(to + 16, sums + 16, bias ? bias + 16 : nullptr, mask >> 16, how);
  }
}

}  // namespace tinynet::inline TINYNET_ABI::tiles

namespace tinynet::inline TINYNET_ABI::kernels {

/// The product in bfloat16 tiles with float sums, by AMX or by dot products of AVX-512. Both operands are
/// rounded to bfloat16 on packing.
///
/// Floor: 2 m n k operations at the AMX peak, 16 times that of float FMA. Measured on one busy
/// core, in shares of the tile peak measured beside it: 512^3 0.48, [128 x 1152] * [1152 x 512]
/// 0.43, 12544 pixels of a 1x1 convolution 64 -> 64 0.77. Packing takes most of the rest, 0.3 to
/// 0.5 cycles an element: weights that serve many products should be packed once, outside.
/// (benchmarks/kernels --benchmark_filter=gemm)
template <tiles::TileUnit unit>
struct Bfloat16Tile {
  using packed = bfloat16;
  using sum = float;
  static constexpr std::int64_t rows = 32, cols = 32;
  static constexpr std::int64_t depth_step = tiles::tile_depth;
  static constexpr std::int64_t depth_block = unit == tiles::TileUnit::amx ? 768 : 256;
  static constexpr std::int64_t unit_macs = 1 << 20;
  struct Section {
    tiles::TileSection section{unit};
  };

  template <class T>
  static void pack_rows(bfloat16* to, Matrix<const T> strip) {
    tiles::pack_tiles(to, strip, tiles::TileOrder::lanes);
  }
  template <class T>
  static void pack_cols(bfloat16* to, Matrix<const T> strip) {
    tiles::pack_tiles(to, strip.transposed(), tiles::TileOrder::pairs);
  }
  static void product(float* tile, const bfloat16* a, const bfloat16* b, std::int64_t depth,
                      bool accumulate) {
    const tiles::Step whole;
    const auto sum_steps =
        unit == tiles::TileUnit::amx ? tiles::sum_steps<2, 2> : tiles::sum_steps_by_dots<2, 2>;
    sum_steps(tile, a, b, &whole, 1, depth / tiles::tile_depth, accumulate);
  }
  template <class C>
  static void store(Matrix<C> c, const float* tile, const float* bias, Store how) {
    tiles::store_tile(c, tile, bias, how);
  }
};

/// Tiles take bfloat16 beside bfloat16 or float. Two floats are refused: rounding both is for the
/// owner of the numbers to decide.
template <class A, class B, class C>
inline constexpr bool gemm_fits_tiles =
    is_any_of<A, bfloat16, float>&& is_any_of<B, bfloat16, float>&& is_any_of<C, bfloat16, float> &&
    (is_any_of<bfloat16, A, B>);

template <class A, class B, class C>
const char* gemm_refuses_tiles(const GemmGeometry& g) {
  if (!gemm_fits_tiles<A, B, C>) return "no operand is bfloat16";
  if (g.m * g.n * g.k < 1 << 13) return "too small a product to fill tiles";
  return nullptr;
}
template <class A, class B, class C>
const char* gemm_amx_refuses(const GemmGeometry& g) {
  if (gemm_fits_tiles<A, B, C> && !cpu().amx_bf16) return cpu().amx_refusal.c_str();
  return gemm_refuses_tiles<A, B, C>(g);
}
template <class A, class B, class C>
const char* gemm_avx512_refuses(const GemmGeometry& g) {
  if (gemm_fits_tiles<A, B, C> && !cpu().fast_bf16_dots) return cpu().bf16_dots_refusal.c_str();
  return gemm_refuses_tiles<A, B, C>(g);
}

template <class A, class B, class C, tiles::TileUnit unit>
void gemm_tiles(Matrix<const A> a, Matrix<const B> b, Matrix<C> c, const accumulate_t<C>* bias,
                Store store) {
  if constexpr (gemm_fits_tiles<A, B, C>) blocked_gemm<Bfloat16Tile<unit>>(a, b, c, bias, store);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels

#endif
