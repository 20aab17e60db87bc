#pragma once

#include <span>

#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/column_sums.hpp>
#include <tinynet/kernels/loops.hpp>

/// Batch normalisation over the rows of x [rows, c].
///
///   xhat = (x - mean) * inverse_std,   y = gamma * xhat + beta
///
/// Statistics and parameters are [c] in param_t. Mean and inverse_std are the batch's in training
/// and the running ones in evaluation.
namespace tinynet::inline TINYNET_ABI::kernels {

namespace reference {

template <Scalar T>
void batch_norm_statistics(std::span<param_t<T>> mean, std::span<param_t<T>> variance,
                           std::span<const T> x, std::int64_t c) {
  const std::int64_t rows = std::ssize(x) / c;
  for (std::int64_t ch = 0; ch < c; ++ch) {
    double sum = 0, squares = 0;
    for (std::int64_t row = 0; row < rows; ++row) sum += x[row * c + ch];
    const double m = sum / double(rows);
    for (std::int64_t row = 0; row < rows; ++row) {
      squares += (x[row * c + ch] - m) * (x[row * c + ch] - m);
    }
    mean[ch] = static_cast<param_t<T>>(m);
    variance[ch] = static_cast<param_t<T>>(squares / double(rows));
  }
}

template <Scalar T>
void batch_norm_normalize(std::span<T> y, std::span<const T> x, std::span<const param_t<T>> mean,
                          std::span<const param_t<T>> inverse_std,
                          std::span<const param_t<T>> gamma, std::span<const param_t<T>> beta,
                          std::int64_t c) {
  for (std::int64_t i = 0; i < std::ssize(x); ++i) {
    const std::int64_t ch = i % c;
    y[i] = static_cast<T>((x[i] - mean[ch]) * (inverse_std[ch] * gamma[ch]) + beta[ch]);
  }
}

/// sums[ch] = sum dy, sums[c + ch] = sum dy * xhat.
template <Scalar T>
void batch_norm_sums(std::span<double> sums, std::span<const T> dy, std::span<const T> x,
                     std::span<const param_t<T>> mean, std::span<const param_t<T>> inverse_std,
                     std::int64_t c) {
  std::fill(sums.begin(), sums.end(), 0.0);
  for (std::int64_t i = 0; i < std::ssize(x); ++i) {
    const std::int64_t ch = i % c;
    sums[ch] += dy[i];
    sums[c + ch] += double{dy[i]} * (double{x[i]} - mean[ch]) * inverse_std[ch];
  }
}

/// dx = scale * (dy - shift - (x - mean) * slope), all but x and dy [c].
template <Scalar T>
void batch_norm_input_gradient(std::span<T> dx, Store store, std::span<const T> dy,
                               std::span<const T> x, const param_t<T>* mean,
                               const param_t<T>* scale, const param_t<T>* shift,
                               const param_t<T>* slope, std::int64_t c) {
  for (std::int64_t i = 0; i < std::ssize(x); ++i) {
    const std::int64_t ch = i % c;
    put(dx[i], scale[ch] * (dy[i] - shift[ch] - (x[i] - mean[ch]) * slope[ch]), store);
  }
}

}  // namespace reference

namespace vectors {

/// Mean and sum of squared deviations of `unit`, for each channel. A block of rows that stays in the
/// first-level cache is read twice: its rounded mean first, then the deviations from it, which are
/// small however large the mean is. Blocks are joined by the formula of Chan, Golub and LeVeque
/// (1979), in double.
template <Scalar T>
void channel_moments(double* mean, double* deviation, const T* x, Range unit, std::int64_t c) {
  using A = accumulate_t<T>;
  Scratch scratch;
  A* center = scratch.take<A>(c).data();
  A* first = scratch.take<A>(c).data();
  A* second = scratch.take<A>(c).data();
  std::fill_n(mean, c, 0.0);
  std::fill_n(deviation, c, 0.0);
  const std::int64_t step = cached_rows<T>(c);
  for (std::int64_t begin = unit.begin; begin < unit.end; begin += step) {
    const Range block{begin, std::min(begin + step, unit.end)};
    column_sums<A, 1>({center}, block, c, [&](std::int64_t row, std::int64_t ch, auto lanes) {
      return std::array{lanes.load(x + row * c + ch)};
    });
    const A inverse_rows = A(1) / static_cast<A>(block.size());
    for (std::int64_t ch = 0; ch < c; ++ch) center[ch] *= inverse_rows;
    column_sums<A, 2>({first, second}, block, c,
                      [&](std::int64_t row, std::int64_t ch, auto lanes) {
                        const auto d = lanes.load(x + row * c + ch) - lanes.load(center + ch);
                        return std::array{d, d * d};
                      });
    const double before = double(block.begin - unit.begin), rows = double(block.size());
    const double share = rows / (before + rows), weight = before * share, each = 1 / rows;
    for (std::int64_t ch = 0; ch < c; ++ch) {
      const double offset = first[ch] * each;  // what rounding took from the block's mean
      const double delta = center[ch] + offset - mean[ch];
      mean[ch] += delta * share;
      deviation[ch] += second[ch] - first[ch] * offset + delta * delta * weight;
    }
  }
}

template <Scalar T>
void batch_norm_statistics(std::span<param_t<T>> mean, std::span<param_t<T>> variance,
                           std::span<const T> x, std::int64_t c) {
  using P = param_t<T>;
  const std::int64_t rows = std::ssize(x) / c, per_unit = reduction_rows(rows, c);
  const std::int64_t units = (rows + per_unit - 1) / per_unit;
  Scratch scratch;
  const auto moments = scratch.take<double>(units * 2 * c);
  parallel_ranges(rows, per_unit, [&](Range unit) {
    double* unit_mean = moments.data() + unit.begin / per_unit * 2 * c;
    channel_moments(unit_mean, unit_mean + c, x.data(), unit, c);
  });
  for (std::int64_t ch = 0; ch < c; ++ch) {
    double m = moments[ch], deviation = moments[c + ch];
    for (std::int64_t unit = 1; unit < units; ++unit) {
      const double before = double(unit * per_unit);
      const double share = 1 - before / double(std::min(rows, (unit + 1) * per_unit));
      const double delta = moments[unit * 2 * c + ch] - m;
      m += delta * share;
      deviation += moments[(unit * 2 + 1) * c + ch] + delta * delta * before * share;
    }
    mean[ch] = static_cast<P>(m);
    variance[ch] = static_cast<P>(deviation / double(rows));
  }
}

template <Scalar T>
void batch_norm_normalize(std::span<T> y, std::span<const T> x, std::span<const param_t<T>> mean,
                          std::span<const param_t<T>> inverse_std,
                          std::span<const param_t<T>> gamma, std::span<const param_t<T>> beta,
                          std::int64_t c) {
  using A = accumulate_t<T>;
  Scratch scratch;
  const auto slope = scratch.take<A>(c);
  for (std::int64_t ch = 0; ch < c; ++ch) slope[ch] = inverse_std[ch] * gamma[ch];
  const A *m = mean.data(), *s = slope.data(), *b = beta.data();
  parallel_ranges(std::ssize(x) / c, grain_rows(c), [&](Range rows) {
    for (std::int64_t i = rows.begin * c; i < rows.end * c; i += c) {
      for_lanes<A>(c, [&](std::int64_t ch, auto lanes) {
        const auto centered = lanes.load(x.data() + i + ch) - lanes.load(m + ch);
        lanes.store(y.data() + i + ch, simd::fma(centered, lanes.load(s + ch), lanes.load(b + ch)));
      });
    }
  });
}

template <Scalar T>
void batch_norm_sums(std::span<double> sums, std::span<const T> dy, std::span<const T> x,
                     std::span<const param_t<T>> mean, std::span<const param_t<T>> inverse_std,
                     std::int64_t c) {
  using A = accumulate_t<T>;
  const A* m = mean.data();
  reduce_rows<A, T, 2>(sums, std::ssize(x) / c, c,
                       [=, x = x.data(), dy = dy.data()](std::int64_t row, std::int64_t ch,
                                                         auto lanes) {
                         const auto g = lanes.load(dy + row * c + ch);
                         const auto centered = lanes.load(x + row * c + ch) - lanes.load(m + ch);
                         return std::array{g, g * centered};
                       });
  for (std::int64_t ch = 0; ch < c; ++ch) sums[c + ch] *= inverse_std[ch];
}

template <Scalar T>
void batch_norm_input_gradient(std::span<T> dx, Store store, std::span<const T> dy,
                               std::span<const T> x, const param_t<T>* mean,
                               const param_t<T>* scale, const param_t<T>* shift,
                               const param_t<T>* slope, std::int64_t c) {
  using A = accumulate_t<T>;
  parallel_ranges(std::ssize(x) / c, grain_rows(c), [&](Range rows) {
    for (std::int64_t i = rows.begin * c; i < rows.end * c; i += c) {
      for_lanes<A>(c, [&](std::int64_t ch, auto lanes) {
        const auto centered = lanes.load(x.data() + i + ch) - lanes.load(mean + ch);
        const auto g = lanes.load(dy.data() + i + ch) - lanes.load(shift + ch) -
                       centered * lanes.load(slope + ch);
        put(dx.data() + i + ch, g * lanes.load(scale + ch), store, lanes);
      });
    }
  });
}

}  // namespace vectors

/// Mean and biased variance [c] of each channel of x [rows, c], in one pass over memory; exact to a
/// few roundings also where the mean is much larger than the deviation.
template <Scalar T>
void batch_norm_statistics(std::span<param_t<T>> mean, std::span<param_t<T>> variance,
                           std::span<const T> x, std::int64_t c) {
  simd_or_reference("batch_norm_statistics", vectors::batch_norm_statistics<T>,
                    reference::batch_norm_statistics<T>)(mean, variance, x, c);
}

/// y = (x - mean) * inverse_std * gamma + beta. y may be x.
template <Scalar T>
void batch_norm_normalize(std::span<T> y, std::span<const T> x, std::span<const param_t<T>> mean,
                          std::span<const param_t<T>> inverse_std,
                          std::span<const param_t<T>> gamma, std::span<const param_t<T>> beta,
                          std::int64_t c) {
  simd_or_reference("batch_norm_normalize", vectors::batch_norm_normalize<T>,
                    reference::batch_norm_normalize<T>)(y, x, mean, inverse_std, gamma, beta, c);
}

namespace detail {

/// Both gradients: in training the batch's mean and variance depend on x, in evaluation nothing does.
template <Scalar T>
void batch_norm_backward(bool statistics_depend_on_x, std::span<T> dx, Store store,
                         std::span<param_t<T>> dgamma, std::span<param_t<T>> dbeta,
                         Store parameter_store, std::span<const T> dy, std::span<const T> x,
                         std::span<const param_t<T>> mean, std::span<const param_t<T>> inverse_std,
                         std::span<const param_t<T>> gamma, std::int64_t c) {
  using P = param_t<T>;
  Scratch scratch;
  const auto sums = scratch.take<double>(2 * c);
  simd_or_reference("batch_norm_backward", vectors::batch_norm_sums<T>,
                    reference::batch_norm_sums<T>)(sums, dy, x, mean, inverse_std, c);
  for (std::int64_t ch = 0; ch < c; ++ch) {
    put(dbeta[ch], static_cast<P>(sums[ch]), parameter_store);
    put(dgamma[ch], static_cast<P>(sums[c + ch]), parameter_store);
  }
  if (dx.empty()) return;

  P* scale = scratch.take<P>(c).data();
  P* shift = scratch.take<P>(c).data();
  P* slope = scratch.take<P>(c).data();
  const double each = statistics_depend_on_x ? double(c) / double(x.size()) : 0;
  for (std::int64_t ch = 0; ch < c; ++ch) {
    scale[ch] = gamma[ch] * inverse_std[ch];
    shift[ch] = static_cast<P>(sums[ch] * each);
    slope[ch] = static_cast<P>(sums[c + ch] * each * inverse_std[ch]);
  }
  simd_or_reference("batch_norm_backward", vectors::batch_norm_input_gradient<T>,
                    reference::batch_norm_input_gradient<T>)(dx, store, dy, x, mean.data(), scale,
                                                             shift, slope, c);
}

}  // namespace detail

/// The gradient in training, where mean and inverse_std came from x itself:
///   dbeta = sum dy,  dgamma = sum dy * xhat,
///   dx = gamma * inverse_std * (dy - dbeta / rows - xhat * dgamma / rows).
/// An empty dx is not computed.
template <Scalar T>
void batch_norm_backward(std::span<T> dx, Store store, std::span<param_t<T>> dgamma,
                         std::span<param_t<T>> dbeta, Store parameter_store, std::span<const T> dy,
                         std::span<const T> x, std::span<const param_t<T>> mean,
                         std::span<const param_t<T>> inverse_std,
                         std::span<const param_t<T>> gamma, std::int64_t c) {
  detail::batch_norm_backward<T>(true, dx, store, dgamma, dbeta, parameter_store, dy, x, mean,
                                 inverse_std, gamma, c);
}

/// The gradient in evaluation, where mean and inverse_std are constants: dx = gamma * inverse_std * dy.
template <Scalar T>
void batch_norm_backward_eval(std::span<T> dx, Store store, std::span<param_t<T>> dgamma,
                              std::span<param_t<T>> dbeta, Store parameter_store,
                              std::span<const T> dy, std::span<const T> x,
                              std::span<const param_t<T>> mean,
                              std::span<const param_t<T>> inverse_std,
                              std::span<const param_t<T>> gamma, std::int64_t c) {
  detail::batch_norm_backward<T>(false, dx, store, dgamma, dbeta, parameter_store, dy, x, mean,
                                 inverse_std, gamma, c);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
