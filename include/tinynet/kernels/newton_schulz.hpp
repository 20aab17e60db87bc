#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/gemm.hpp>
#include <tinynet/kernels/loops.hpp>
#include <tinynet/kernels/reduce.hpp>

/// The nearest matrix with orthonormal rows or columns, by products alone.
namespace tinynet::inline TINYNET_ABI::kernels {

/// One iteration takes each singular value s to a*s + b*s^3 + c*s^5.
struct NewtonSchulz {
  double a, b, c;
  int iterations;
  double eps;  // added to the norm that the matrix is divided by
};

namespace reference {

template <Scalar S>
void polynomial_row(std::int64_t n, const S* x, S* square, accumulate_t<S> b, accumulate_t<S> c) {
  using A = accumulate_t<S>;
  for (std::int64_t j = 0; j < n; ++j) square[j] = S(b * A(x[j]) + c * A(square[j]));
}

template <Scalar From, Scalar To>
void scaled(Range range, const From* from, To* to, accumulate_t<From> factor) {
  for (std::int64_t i = range.begin; i < range.end; ++i) {
    to[i] = static_cast<To>(static_cast<accumulate_t<To>>(factor * from[i]));
  }
}

}  // namespace reference

namespace vectors {

template <Scalar S>
void polynomial_row(std::int64_t n, const S* x, S* square, accumulate_t<S> b, accumulate_t<S> c) {
  for_lanes<accumulate_t<S>>(n, [&](std::int64_t j, auto lanes) {
    lanes.store(square + j, b * lanes.load(x + j) + c * lanes.load(square + j));
  });
}

template <Scalar From, Scalar To>
void scaled(Range range, const From* from, To* to, accumulate_t<From> factor) {
  using A = accumulate_t<From>;
  if constexpr (std::is_same_v<A, accumulate_t<To>>) {
    for_lanes<A>(range.size(), [&](std::int64_t i, auto lanes) {
      lanes.store(to + range.begin + i, factor * lanes.load(from + range.begin + i));
    });
  } else {
    reference::scaled(range, from, to, factor);  // between double and bfloat16: hardly ever
  }
}

}  // namespace vectors

/// to = factor * from, rounded to the other type.
template <Scalar From, Scalar To>
void scaled(const From* from, To* to, std::int64_t size, accumulate_t<From> factor) {
  const auto run =
      simd_or_reference("scaled", vectors::scaled<From, To>, reference::scaled<From, To>);
  parallel_ranges(size, grain, [&](Range range) { run(range, from, to, factor); });
}

/// square = a * I + b * x + c * square, all [n, n].
template <Scalar S>
void polynomial(Matrix<const S> x, Matrix<S> square, const NewtonSchulz& f) {
  using A = accumulate_t<S>;
  const auto run =
      simd_or_reference("polynomial", vectors::polynomial_row<S>, reference::polynomial_row<S>);
  const auto a = static_cast<A>(f.a), b = static_cast<A>(f.b), c = static_cast<A>(f.c);
  const std::int64_t n = x.rows;
  parallel_ranges(n, grain_rows(n), [&](Range rows) {
    for (auto i = rows.begin; i < rows.end; ++i) {
      const A diagonal = a + b * A(x(i, i)) + c * A(square(i, i));  // rounded once
      run(n, &x(i, 0), &square(i, 0), b, c);
      square(i, i) = S(diagonal);
    }
  });
}

/// Replaces a dense matrix by U V^T of its singular value decomposition, nearly. Divided
/// by its Frobenius norm (in P), which brings them into [0, 1], then iterated in S: the products in
/// bfloat16 are those that tiles are made for, and an orthogonal matrix needs no more digits.
///
///     A = X X^T,  X = (a I + b A + c A^2) X           (from the right where rows > cols)
///
/// The iteration of Muon (Jordan et al. 2024; Bernstein and Newhouse 2024), with a I inside so that
/// the polynomial is one product.
template <Scalar S, class P>
void newton_schulz(Matrix<P> m, const NewtonSchulz& f) {
  const std::int64_t size = m.rows * m.cols;
  const bool wide = m.rows <= m.cols;
  const std::int64_t n = wide ? m.rows : m.cols;
  Scratch scratch;
  auto x = matrix(scratch.take<S>(size).data(), m.rows, m.cols);
  auto next = matrix(scratch.take<S>(size).data(), m.rows, m.cols);
  const auto gram = matrix(scratch.take<S>(n * n).data(), n, n);
  const auto factor = matrix(scratch.take<S>(n * n).data(), n, n);

  const double norm = std::sqrt(sum_squares<P>({m.data, static_cast<std::size_t>(size)}));
  scaled<P, S>(m.data, x.data, size, static_cast<P>(1 / (norm + f.eps)));
  for (int i = 0; i < f.iterations; ++i) {
    const Matrix<const S> from = x;
    if (wide) gemm<S, S, S>(from, from.transposed(), gram, nullptr, Store::overwrite);
    else gemm<S, S, S>(from.transposed(), from, gram, nullptr, Store::overwrite);
    if (f.c != 0) gemm<S, S, S>(gram, gram, factor, nullptr, Store::overwrite);
    else scaled<S, S>(gram.data, factor.data, n * n, 1);
    polynomial<S>(gram, factor, f);
    if (wide) gemm<S, S, S>(factor, from, next, nullptr, Store::overwrite);
    else gemm<S, S, S>(from, factor, next, nullptr, Store::overwrite);
    std::swap(x, next);
  }
  scaled<S, P>(x.data, m.data, size, 1);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
