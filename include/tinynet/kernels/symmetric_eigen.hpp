#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>

#include <tinynet/core/config.hpp>

namespace tinynet::inline TINYNET_ABI::kernels {

/// Eigenvalues, largest first, and eigenvectors of a symmetric matrix `a` [n, n], which is used up:
/// row i of `vectors` [n, n] has length 1 and belongs to `values[i]`.
///
/// Jacobi's method: rotations in the plane of two axes, each of which makes one element off the
/// diagonal zero, over all pairs again and again (Golub, Van Loan, "Matrix Computations", 8.5). It is
/// exact to the last digits also for small eigenvalues, and n^3 a sweep: for matrices of at most
/// some hundred rows, where a dependency on a library of linear algebra would cost more.
template <class = void>
void symmetric_eigen(std::span<double> values, std::span<double> vectors, std::span<double> a,
                     std::int64_t n) {
  const auto at = [n](std::span<double> m, std::int64_t row, std::int64_t col) -> double& {
    return m[static_cast<std::size_t>(row * n + col)];
  };
  const auto rotate = [](double& x, double& y, double cosine, double sine) {
    const double before = x;
    x = cosine * x - sine * y;
    y = sine * before + cosine * y;
  };
  for (std::int64_t i = 0; i < n * n; ++i) at(vectors, 0, i) = i % (n + 1) == 0 ? 1 : 0;

  constexpr int most_sweeps = 60;  // eight are usual; the limit is for NaN
  for (int sweep = 0; sweep < most_sweeps; ++sweep) {
    double all = 0, outside = 0;
    for (std::int64_t i = 0; i < n * n; ++i) {
      const double square = at(a, 0, i) * at(a, 0, i);
      all += square;
      if (i % (n + 1) != 0) outside += square;
    }
    if (outside <= 1e-32 * all) break;
    for (std::int64_t p = 0; p < n; ++p) {
      for (std::int64_t q = p + 1; q < n; ++q) {
        if (at(a, p, q) == 0) continue;
        const double theta = (at(a, q, q) - at(a, p, p)) / (2 * at(a, p, q));
        const double t = std::copysign(1 / (std::abs(theta) + std::hypot(theta, 1)), theta);
        const double cosine = 1 / std::hypot(t, 1), sine = t * cosine;
        for (std::int64_t k = 0; k < n; ++k) rotate(at(a, k, p), at(a, k, q), cosine, sine);
        for (std::int64_t k = 0; k < n; ++k) rotate(at(a, p, k), at(a, q, k), cosine, sine);
        for (std::int64_t k = 0; k < n; ++k) {
          rotate(at(vectors, p, k), at(vectors, q, k), cosine, sine);
        }
      }
    }
  }

  for (std::int64_t i = 0; i < n; ++i) at(values, 0, i) = at(a, i, i);
  for (std::int64_t i = 0; i < n; ++i) {
    const auto largest = std::max_element(values.begin() + i, values.end()) - values.begin();
    std::swap(at(values, 0, i), at(values, 0, largest));
    const auto row = [&](std::int64_t r) { return vectors.begin() + r * n; };
    if (largest != i) std::swap_ranges(row(i), row(i) + n, row(largest));
  }
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
