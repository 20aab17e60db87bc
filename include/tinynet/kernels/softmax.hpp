#pragma once

#include <cmath>
#include <limits>
#include <span>

#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/loops.hpp>

/// Softmax and its logarithm over rows of k values, and their gradients.
///
/// The largest value of a row is subtracted first, so that nothing overflows. A row that holds NaN,
/// +infinity or nothing but -infinity becomes NaN, as in PyTorch.
namespace tinynet::inline TINYNET_ABI::kernels {

namespace reference {

template <Scalar T>
double log_sum_exp(const T* x, std::int64_t k) {
  double largest = -std::numeric_limits<double>::infinity(), total = 0;
  for (std::int64_t j = 0; j < k; ++j) largest = x[j] > largest ? double{x[j]} : largest;
  for (std::int64_t j = 0; j < k; ++j) total += std::exp(x[j] - largest);
  return largest + std::log(total);
}

template <Scalar T>
void log_softmax_forward(std::span<T> y, std::span<const T> x, std::int64_t k) {
  for (std::size_t row = 0; row < x.size(); row += k) {
    const double log_sum = log_sum_exp(x.data() + row, k);
    for (std::int64_t j = 0; j < k; ++j) y[row + j] = static_cast<T>(x[row + j] - log_sum);
  }
}

template <Scalar T>
void softmax_forward(std::span<T> y, std::span<const T> x, std::int64_t k) {
  for (std::size_t row = 0; row < x.size(); row += k) {
    const double log_sum = log_sum_exp(x.data() + row, k);
    for (std::int64_t j = 0; j < k; ++j) {
      y[row + j] = static_cast<T>(std::exp(x[row + j] - log_sum));
    }
  }
}

template <Scalar T>
void softmax_backward(std::span<T> dx, Store store, std::span<const T> dy, std::span<const T> y,
                      std::int64_t k) {
  using A = accumulate_t<T>;
  for (std::size_t row = 0; row < y.size(); row += k) {
    double dot = 0;
    for (std::int64_t j = 0; j < k; ++j) dot += double{dy[row + j]} * double{y[row + j]};
    for (std::int64_t j = 0; j < k; ++j) {
      put(dx[row + j], static_cast<A>(y[row + j] * (dy[row + j] - dot)), store);
    }
  }
}

template <Scalar T>
void log_softmax_backward(std::span<T> dx, Store store, std::span<const T> dy, std::span<const T> y,
                          std::int64_t k) {
  using A = accumulate_t<T>;
  for (std::size_t row = 0; row < y.size(); row += k) {
    double total = 0;
    for (std::int64_t j = 0; j < k; ++j) total += dy[row + j];
    for (std::int64_t j = 0; j < k; ++j) {
      put(dx[row + j], static_cast<A>(dy[row + j] - std::exp(double{y[row + j]}) * total), store);
    }
  }
}

}  // namespace reference

namespace vectors {

/// k rounded up to whole registers: a row in scratch has no tail.
template <class A>
constexpr std::int64_t padded(std::int64_t k) {
  return (k + simd::width<A> - 1) / simd::width<A> * simd::width<A>;
}

/// What is added to the last register of a row of k: zero, and -infinity in the lanes beyond the row.
template <class A>
simd::batch<A> beyond_row(std::int64_t k) {
  alignas(64) A lanes[simd::width<A>];
  const std::int64_t last = k - (padded<A>(k) - simd::width<A>);
  std::fill_n(lanes, last, A(0));
  std::fill(lanes + last, lanes + simd::width<A>, -std::numeric_limits<A>::infinity());
  return simd::batch<A>::load_aligned(lanes);
}

/// Calls f(j, x[j..]) for each register of a row, the last one padded with -infinity.
template <Scalar T, class F>
void for_padded(const T* x, std::int64_t k, const simd::batch<accumulate_t<T>>& beyond,
                const F& f) {
  constexpr auto w = simd::width<accumulate_t<T>>;
  std::int64_t j = 0;
  for (; j + w < k; j += w) f(j, simd::load(x + j));
  if (j + w == k) f(j, simd::load(x + j));
  else f(j, simd::batch<accumulate_t<T>>(simd::load_partial(x + j, k - j) + beyond));
}

/// Rows that are read before the first of their results is written. Operands of a network lie at
/// the same distance from the borders of pages, so that the store to a short row and the load of the
/// next one, which reads a register, touch the same place in their pages; the load would wait for the
/// store to end (k = 10: 250 cycles a row one by one, 80 so).
template <class A>
constexpr std::int64_t rows_at_once(std::int64_t k) {
  return std::max<std::int64_t>(1, 1024 / padded<A>(k));
}

/// Calls f(rows) for runs of `rows_at_once` rows.
template <class A, class F>
void for_rows_at_once(Range rows, std::int64_t k, const F& f) {
  const auto step = rows_at_once<A>(k);
  for (auto row = rows.begin; row < rows.end; row += step) {
    f(Range{row, std::min(row + step, rows.end)});
  }
}

/// The largest value of a row, NaN passed over.
template <Scalar T>
accumulate_t<T> row_max(const T* x, std::int64_t k, const simd::batch<accumulate_t<T>>& beyond) {
  using V = simd::batch<accumulate_t<T>>;
  V most(-std::numeric_limits<accumulate_t<T>>::infinity());
  for_padded(x, k, beyond,
             [&](std::int64_t, const V& v) { most = simd::select(v > most, v, most); });
  return simd::largest(most);
}

/// z = x - max for each row, -infinity from k to padded(k), which is a row's length in z.
template <Scalar T>
void shift_rows(accumulate_t<T>* z, const T* x, Range rows, std::int64_t k,
                const simd::batch<accumulate_t<T>>& beyond) {
  using V = simd::batch<accumulate_t<T>>;
  for (auto row = rows.begin; row < rows.end; ++row, z += padded<accumulate_t<T>>(k)) {
    const V most(row_max(x + row * k, k, beyond));
    for_padded(x + row * k, k, beyond,
               [&](std::int64_t j, const V& v) { simd::store(z + j, v - most); });
  }
}

/// e[j] = exp(z[j]) over whole registers (e may be z). Returns the sum.
template <class A>
A exp_row(A* e, const A* z, std::int64_t k) {
  simd::batch<A> total(A(0));
  for (std::int64_t j = 0; j < k; j += simd::width<A>) {
    const auto v = simd::exp(simd::load(z + j));
    simd::store(e + j, v);
    total += v;
  }
  return simd::sum(total);
}

template <Scalar T>
void softmax_forward(std::span<T> y, std::span<const T> x, std::int64_t k) {
  using A = accumulate_t<T>;
  const auto beyond = beyond_row<A>(k);
  parallel_ranges(std::ssize(x) / k, grain_rows(k), [&](Range unit) {
    Scratch scratch;
    A* block = scratch.take<A>(rows_at_once<A>(k) * padded<A>(k)).data();
    for_rows_at_once<A>(unit, k, [&](Range rows) {
      shift_rows(block, x.data(), rows, k, beyond);
      A* z = block;
      for (auto row = rows.begin; row < rows.end; ++row, z += padded<A>(k)) {
        const A scale = 1 / exp_row(z, z, k);
        for_lanes<A>(k, [&](std::int64_t j, auto lanes) {
          lanes.store(y.data() + row * k + j, simd::load(z + j) * scale);
        });
      }
    });
  });
}

template <Scalar T>
void log_softmax_forward(std::span<T> y, std::span<const T> x, std::int64_t k) {
  using A = accumulate_t<T>;
  const auto beyond = beyond_row<A>(k);
  parallel_ranges(std::ssize(x) / k, grain_rows(k), [&](Range unit) {
    Scratch scratch;
    A* block = scratch.take<A>(rows_at_once<A>(k) * padded<A>(k)).data();
    A* e = scratch.take<A>(padded<A>(k)).data();
    for_rows_at_once<A>(unit, k, [&](Range rows) {
      shift_rows(block, x.data(), rows, k, beyond);
      const A* z = block;
      for (auto row = rows.begin; row < rows.end; ++row, z += padded<A>(k)) {
        const A log_sum = std::log(exp_row(e, z, k));
        for_lanes<A>(k, [&](std::int64_t j, auto lanes) {
          lanes.store(y.data() + row * k + j, simd::load(z + j) - log_sum);
        });
      }
    });
  });
}

/// sum_j f(j, lanes) over a row; f is zero in the lanes beyond the row.
template <class A, class F>
A row_sum(std::int64_t k, const F& f) {
  simd::batch<A> total(A(0));
  for_lanes<A>(k, [&](std::int64_t j, auto lanes) { total += f(j, lanes); });
  return simd::sum(total);
}

template <Scalar T>
void softmax_backward(std::span<T> dx, Store store, std::span<const T> dy, std::span<const T> y,
                      std::int64_t k) {
  using A = accumulate_t<T>;
  parallel_ranges(std::ssize(y) / k, grain_rows(k), [&](Range rows) {
    for (std::int64_t i = rows.begin * k; i < rows.end * k; i += k) {
      const T *dy_row = dy.data() + i, *y_row = y.data() + i;
      const A dot = row_sum<A>(k, [&](std::int64_t j, auto lanes) {
        return lanes.load(dy_row + j) * lanes.load(y_row + j);
      });
      for_lanes<A>(k, [&](std::int64_t j, auto lanes) {
        const auto difference = lanes.load(dy_row + j) - dot;
        put(dx.data() + i + j, lanes.load(y_row + j) * difference, store, lanes);
      });
    }
  });
}

template <Scalar T>
void log_softmax_backward(std::span<T> dx, Store store, std::span<const T> dy, std::span<const T> y,
                          std::int64_t k) {
  using A = accumulate_t<T>;
  parallel_ranges(std::ssize(y) / k, grain_rows(k), [&](Range rows) {
    for (std::int64_t i = rows.begin * k; i < rows.end * k; i += k) {
      const T *dy_row = dy.data() + i, *y_row = y.data() + i;
      const A total =
          row_sum<A>(k, [&](std::int64_t j, auto lanes) { return lanes.load(dy_row + j); });
      for_lanes<A>(k, [&](std::int64_t j, auto lanes) {
        const auto share = simd::exp(lanes.load(y_row + j)) * total;
        put(dx.data() + i + j, lanes.load(dy_row + j) - share, store, lanes);
      });
    }
  });
}

}  // namespace vectors

/// y = exp(x) / sum exp(x) over each of the rows of x [rows, k].
template <Scalar T>
void softmax_forward(std::span<T> y, std::span<const T> x, std::int64_t k) {
  simd_or_reference("softmax_forward", vectors::softmax_forward<T>,
                    reference::softmax_forward<T>)(y, x, k);
}

/// y = x - log sum exp(x) over each of the rows of x [rows, k].
template <Scalar T>
void log_softmax_forward(std::span<T> y, std::span<const T> x, std::int64_t k) {
  simd_or_reference("log_softmax_forward", vectors::log_softmax_forward<T>,
                    reference::log_softmax_forward<T>)(y, x, k);
}

/// dx = y * (dy - sum(dy * y)), from the result y of `softmax_forward`.
template <Scalar T>
void softmax_backward(std::span<T> dx, Store store, std::span<const T> dy, std::span<const T> y,
                      std::int64_t k) {
  simd_or_reference("softmax_backward", vectors::softmax_backward<T>,
                    reference::softmax_backward<T>)(dx, store, dy, y, k);
}

/// dx = dy - exp(y) * sum(dy), from the result y of `log_softmax_forward`.
template <Scalar T>
void log_softmax_backward(std::span<T> dx, Store store, std::span<const T> dy, std::span<const T> y,
                          std::int64_t k) {
  simd_or_reference("log_softmax_backward", vectors::log_softmax_backward<T>,
                    reference::log_softmax_backward<T>)(dx, store, dy, y, k);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
