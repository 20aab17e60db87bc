#pragma once

#include <span>

#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/column_sums.hpp>
#include <tinynet/kernels/loops.hpp>

/// Mean and variance of each channel, in one pass over memory.
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

}  // namespace reference

namespace vectors {

/// Mean and sum of squared deviations of the rows of `unit`, for each channel. Deviations of a block
/// of rows are those from the mean of all rows before it (of the first block, which stays in L1: from
/// its own), so that they are small however large the mean is: where a block lies elsewhere, what
/// rounding takes from its sum of squares is as small beside the distance squared, which the result
/// holds. Blocks are joined by the formula of Chan, Golub and LeVeque (1979), in double.
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
    if (begin == unit.begin) {
      column_sums<A, 1>({center}, block, c, [&](std::int64_t row, std::int64_t ch, auto lanes) {
        return std::array{lanes.load(x + row * c + ch)};
      });
      const A inverse_rows = A(1) / static_cast<A>(block.size());
      for (std::int64_t ch = 0; ch < c; ++ch) center[ch] *= inverse_rows;
    } else {
      for (std::int64_t ch = 0; ch < c; ++ch) center[ch] = static_cast<A>(mean[ch]);
    }
    column_sums<A, 2>({first, second}, block, c,
                      [&](std::int64_t row, std::int64_t ch, auto lanes) {
                        const auto d = lanes.load(x + row * c + ch) - lanes.load(center + ch);
                        return std::array{d, d * d};
                      });
    const double before = double(block.begin - unit.begin), rows = double(block.size());
    const double share = rows / (before + rows), weight = before * share, each = 1 / rows;
    for (std::int64_t ch = 0; ch < c; ++ch) {
      const double offset = first[ch] * each;
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

}  // namespace vectors

/// Mean and biased variance [c] of each channel of x [rows, c], in one pass over memory; exact to a
/// few roundings also where the mean is much larger than the deviation.
template <Scalar T>
void batch_norm_statistics(std::span<param_t<T>> mean, std::span<param_t<T>> variance,
                           std::span<const T> x, std::int64_t c) {
  simd_or_reference("batch_norm_statistics", vectors::batch_norm_statistics<T>,
                    reference::batch_norm_statistics<T>)(mean, variance, x, c);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
