#pragma once

#include <tinynet/kernels/gemm/contract.hpp>

namespace tinynet::inline TINYNET_ABI::kernels {

/// The definition of the product: one sum per element, in order of k.
template <class A, class B, class C>
void gemm_reference(Matrix<const A> a, Matrix<const B> b, Matrix<C> c, const accumulate_t<C>* bias,
                    Store store) {
  using X = accumulate_t<C>;
  for (std::int64_t i = 0; i < c.rows; ++i) {
    for (std::int64_t j = 0; j < c.cols; ++j) {
      X sum = 0;
      for (std::int64_t p = 0; p < a.cols; ++p) {
        sum += static_cast<X>(a(i, p)) * static_cast<X>(b(p, j));
      }
      if (bias) sum += bias[j];
      if (store == Store::add) sum += static_cast<X>(c(i, j));
      c(i, j) = static_cast<C>(sum);
    }
  }
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
