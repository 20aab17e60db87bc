#pragma once

#include <span>

#include <tinynet/kernels/batch_norm_statistics.hpp>

/// Batch normalisation over the rows of x [rows, c].
///
///   xhat = (x - mean) * inverse_std,   y = gamma * xhat + beta
///
/// Statistics and parameters are [c] in param_t. Mean and inverse_std are the batch's in training
/// and the running ones in evaluation.
namespace tinynet::inline TINYNET_ABI::kernels {

namespace reference {

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

/// Both gradients: in training the batch's statistics depend on x, in evaluation nothing does.
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

/// The gradient in evaluation, where mean and inverse_std are constants:
///   dx = gamma * inverse_std * dy.
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
