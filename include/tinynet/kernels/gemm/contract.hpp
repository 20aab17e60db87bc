#pragma once

#include <cstdint>

#include <tinynet/core/types.hpp>
#include <tinynet/kernels/choose.hpp>

/// Matrix product: C[m, n] = sum_k A[m, k] * B[k, n], or C += .
namespace tinynet::inline TINYNET_ABI::kernels {

/// A view of a matrix with any two strides, in elements; a transposed matrix is the same memory.
template <class T>
struct Matrix {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t row_stride = 0;
  std::int64_t col_stride = 1;

  T& operator()(std::int64_t row, std::int64_t col) const {
    return data[row * row_stride + col * col_stride];
  }
  Matrix transposed() const { return {data, cols, rows, col_stride, row_stride}; }
  operator Matrix<const T>() const { return {data, rows, cols, row_stride, col_stride}; }
};

/// A dense row-major matrix.
template <class T>
Matrix<T> matrix(T* data, std::int64_t rows, std::int64_t cols) {
  return {data, rows, cols, cols, 1};
}

/// The size of a product, which is all that a choice of version looks at.
struct GemmGeometry {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
};

/// A version of the product. C is written row-major (col_stride 1); with `bias` (length n, may be
/// null) C = A * B + bias for Store::overwrite. Sums are formed in accumulate_t; the versions in tiles
/// round both operands to bfloat16 first, so they accept products of which one is bfloat16 already.
template <class A, class B, class C>
struct Gemm {
  Path path;
  const char* (*refuses)(const GemmGeometry&);
  void (*run)(Matrix<const A> a, Matrix<const B> b, Matrix<C> c, const accumulate_t<C>* bias,
              Store store);
};

}  // namespace tinynet::inline TINYNET_ABI::kernels
