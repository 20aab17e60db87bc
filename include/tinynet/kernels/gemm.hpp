#pragma once

#include <array>

#include <tinynet/kernels/gemm/contract.hpp>
#include <tinynet/kernels/gemm/few_rows.hpp>
#include <tinynet/kernels/gemm/reference.hpp>
#include <tinynet/kernels/gemm/simd.hpp>
#include <tinynet/kernels/gemm/tiles.hpp>

namespace tinynet::inline TINYNET_ABI::kernels {

/// The versions of the product, fastest first. Ask `refuses` before `run`.
template <class A, class B, class C>
inline constexpr std::array gemm_versions = {
    Gemm<A, B, C>{Path::simd, gemm_few_rows_refuses<A, B, C>, gemm_few_rows<A, B, C>},
#ifdef TINYNET_TILES
    Gemm<A, B, C>{Path::amx, gemm_amx_refuses<A, B, C>, gemm_tiles<A, B, C, tiles::TileUnit::amx>},
    Gemm<A, B, C>{Path::avx512, gemm_avx512_refuses<A, B, C>,
                  gemm_tiles<A, B, C, tiles::TileUnit::avx512>},
#endif
    Gemm<A, B, C>{Path::simd, accepts_all, gemm_simd<A, B, C>},
    Gemm<A, B, C>{Path::reference, accepts_all, gemm_reference<A, B, C>},
};

/// C[m, n] = A[m, k] * B[k, n] + bias[n], or C += . `bias` may be null.
template <class A, class B, class C>
void gemm(Matrix<const A> a, Matrix<const B> b, Matrix<C> c, const accumulate_t<C>* bias,
          Store store) {
  const GemmGeometry g{c.rows, c.cols, a.cols};
  choose("gemm", gemm_versions<A, B, C>, g).run(a, b, c, bias, store);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
