#pragma once

#include <cmath>
#include <span>

#include <tinynet/kernels/softmax.hpp>

/// Softmax and cross entropy in one, over logits [n, k].
///
///   loss = -sum_j t'[j] * log softmax(x)[j],   t' = (1 - smoothing) * t + smoothing / k
///
/// where t is one at the label and zero elsewhere, or a given distribution: PyTorch's definition of
/// label smoothing. dx = scale * (softmax(x) * sum_j t'[j] - t').
namespace tinynet::inline TINYNET_ABI::kernels {

namespace reference {

template <Scalar T>
void cross_entropy_forward(std::span<accumulate_t<T>> losses,
                           std::span<accumulate_t<T>> probabilities, std::span<const T> logits,
                           std::span<const std::int32_t> labels, std::int64_t k,
                           accumulate_t<T> smoothing) {
  for (std::size_t row = 0; row < labels.size(); ++row) {
    const T* x = logits.data() + row * k;
    const double log_sum = log_sum_exp(x, k);
    double loss = (1.0 - smoothing) * (log_sum - x[labels[row]]);
    for (std::int64_t j = 0; j < k; ++j) {
      probabilities[row * k + j] = static_cast<accumulate_t<T>>(std::exp(x[j] - log_sum));
      if (smoothing > 0) loss += smoothing / double(k) * (log_sum - x[j]);
    }
    losses[row] = static_cast<accumulate_t<T>>(loss);
  }
}

template <Scalar T>
void soft_cross_entropy_forward(std::span<accumulate_t<T>> losses,
                                std::span<accumulate_t<T>> probabilities, std::span<const T> logits,
                                std::span<const param_t<T>> targets, std::int64_t k,
                                accumulate_t<T> smoothing) {
  for (std::size_t row = 0; row < losses.size(); ++row) {
    const T* x = logits.data() + row * k;
    const double log_sum = log_sum_exp(x, k);
    double loss = 0;
    for (std::int64_t j = 0; j < k; ++j) {
      const double target = (1.0 - smoothing) * targets[row * k + j] + smoothing / double(k);
      probabilities[row * k + j] = static_cast<accumulate_t<T>>(std::exp(x[j] - log_sum));
      loss += target * (log_sum - x[j]);
    }
    losses[row] = static_cast<accumulate_t<T>>(loss);
  }
}

template <Scalar T>
void cross_entropy_backward(std::span<T> dx, Store store,
                            std::span<const accumulate_t<T>> probabilities,
                            std::span<const std::int32_t> labels, std::int64_t k,
                            accumulate_t<T> scale, accumulate_t<T> smoothing) {
  for (std::size_t row = 0; row < labels.size(); ++row) {
    for (std::int64_t j = 0; j < k; ++j) {
      const double target = (j == labels[row] ? 1.0 - smoothing : 0.0) + smoothing / double(k);
      put(dx[row * k + j],
          static_cast<accumulate_t<T>>(scale * (probabilities[row * k + j] - target)), store);
    }
  }
}

template <Scalar T>
void soft_cross_entropy_backward(std::span<T> dx, Store store,
                                 std::span<const accumulate_t<T>> probabilities,
                                 std::span<const param_t<T>> targets, std::int64_t k,
                                 accumulate_t<T> scale, accumulate_t<T> smoothing) {
  for (std::size_t row = 0; row < targets.size(); row += k) {
    double total = smoothing;
    for (std::int64_t j = 0; j < k; ++j) total += (1.0 - smoothing) * targets[row + j];
    for (std::int64_t j = 0; j < k; ++j) {
      const double target = (1.0 - smoothing) * targets[row + j] + smoothing / double(k);
      put(dx[row + j],
          static_cast<accumulate_t<T>>(scale * (probabilities[row + j] * total - target)), store);
    }
  }
}

}  // namespace reference

namespace vectors {

/// Fills a row of probabilities, calls `loss(z, log_sum)` with z = x - max and
/// log_sum = log sum exp(z), and stores its value.
template <Scalar T, class F>
void cross_entropy_rows(std::span<accumulate_t<T>> losses, std::span<accumulate_t<T>> probabilities,
                        std::span<const T> logits, std::int64_t k, const F& loss) {
  using A = accumulate_t<T>;
  const auto beyond = beyond_row<A>(k);
  parallel_ranges(std::ssize(losses), grain_rows(k), [&](Range unit) {
    Scratch scratch;
    A* block = scratch.take<A>(rows_at_once<A>(k) * padded<A>(k)).data();
    A* e = scratch.take<A>(padded<A>(k)).data();
    for_rows_at_once<A>(unit, k, [&](Range rows) {
      shift_rows(block, logits.data(), rows, k, beyond);
      const A* z = block;
      for (auto row = rows.begin; row < rows.end; ++row, z += padded<A>(k)) {
        const A total = exp_row(e, z, k), scale = 1 / total;
        for_lanes<A>(k, [&](std::int64_t j, auto lanes) {
          lanes.store(probabilities.data() + row * k + j, simd::load(e + j) * scale);
        });
        losses[row] = loss(row, z, std::log(total));
      }
    });
  });
}

/// The part of the loss that label smoothing adds: smoothing / k * sum_j -log softmax(x)[j].
template <class A>
A uniform_loss(const A* z, A log_sum, std::int64_t k, A smoothing) {
  if (smoothing == 0) return 0;  // a logit of -infinity must not turn 0 * infinity into NaN
  const A total = row_sum<A>(k, [&](std::int64_t j, auto lanes) { return lanes.load(z + j); });
  return smoothing * (log_sum - total / static_cast<A>(k));
}

template <Scalar T>
void cross_entropy_forward(std::span<accumulate_t<T>> losses,
                           std::span<accumulate_t<T>> probabilities, std::span<const T> logits,
                           std::span<const std::int32_t> labels, std::int64_t k,
                           accumulate_t<T> smoothing) {
  using A = accumulate_t<T>;
  cross_entropy_rows<T>(losses, probabilities, logits, k,
                        [&](std::int64_t row, const A* z, A log_sum) {
                          return (1 - smoothing) * (log_sum - z[labels[row]]) +
                                 uniform_loss(z, log_sum, k, smoothing);
                        });
}

template <Scalar T>
void soft_cross_entropy_forward(std::span<accumulate_t<T>> losses,
                                std::span<accumulate_t<T>> probabilities, std::span<const T> logits,
                                std::span<const param_t<T>> targets, std::int64_t k,
                                accumulate_t<T> smoothing) {
  using A = accumulate_t<T>;
  cross_entropy_rows<T>(
      losses, probabilities, logits, k, [&](std::int64_t row, const A* z, A log_sum) {
        const A expected = row_sum<A>(k, [&](std::int64_t j, auto lanes) {
          return lanes.load(targets.data() + row * k + j) * (log_sum - lanes.load(z + j));
        });
        return (1 - smoothing) * expected + uniform_loss(z, log_sum, k, smoothing);
      });
}

template <Scalar T>
void cross_entropy_backward(std::span<T> dx, Store store,
                            std::span<const accumulate_t<T>> probabilities,
                            std::span<const std::int32_t> labels, std::int64_t k,
                            accumulate_t<T> scale, accumulate_t<T> smoothing) {
  using A = accumulate_t<T>;
  parallel_ranges(std::ssize(labels), grain_rows(k), [&](Range rows) {
    Scratch scratch;
    A* target = scratch.take<A>(k).data();
    std::fill_n(target, k, smoothing / static_cast<A>(k));
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      target[labels[row]] += 1 - smoothing;
      for_lanes<A>(k, [&](std::int64_t j, auto lanes) {
        const auto p = lanes.load(probabilities.data() + row * k + j);
        put(dx.data() + row * k + j, scale * (p - lanes.load(target + j)), store, lanes);
      });
      target[labels[row]] = smoothing / static_cast<A>(k);
    }
  });
}

template <Scalar T>
void soft_cross_entropy_backward(std::span<T> dx, Store store,
                                 std::span<const accumulate_t<T>> probabilities,
                                 std::span<const param_t<T>> targets, std::int64_t k,
                                 accumulate_t<T> scale, accumulate_t<T> smoothing) {
  using A = accumulate_t<T>;
  const A uniform = smoothing / static_cast<A>(k);
  parallel_ranges(std::ssize(targets) / k, grain_rows(k), [&](Range rows) {
    for (std::int64_t i = rows.begin * k; i < rows.end * k; i += k) {
      const A* t = targets.data() + i;
      const A sum = row_sum<A>(k, [&](std::int64_t j, auto lanes) { return lanes.load(t + j); });
      const A total = (1 - smoothing) * sum + smoothing;
      for_lanes<A>(k, [&](std::int64_t j, auto lanes) {
        const auto p = lanes.load(probabilities.data() + i + j);
        const auto target = (1 - smoothing) * lanes.load(t + j) + uniform;
        put(dx.data() + i + j, scale * (p * total - target), store, lanes);
      });
    }
  });
}

}  // namespace vectors

/// Loss [n] of each row of logits [n, k] against its label, and the softmax [n, k] that the
/// gradient needs. Labels lie in [0, k).
template <Scalar T>
void cross_entropy_forward(std::span<accumulate_t<T>> losses,
                           std::span<accumulate_t<T>> probabilities, std::span<const T> logits,
                           std::span<const std::int32_t> labels, std::int64_t k,
                           accumulate_t<T> smoothing) {
  simd_or_reference("cross_entropy_forward", vectors::cross_entropy_forward<T>,
                    reference::cross_entropy_forward<T>)(losses, probabilities, logits, labels, k,
                                                         smoothing);
}

/// The same against distributions, targets [n, k].
template <Scalar T>
void cross_entropy_forward(std::span<accumulate_t<T>> losses,
                           std::span<accumulate_t<T>> probabilities, std::span<const T> logits,
                           std::span<const param_t<T>> targets, std::int64_t k,
                           accumulate_t<T> smoothing) {
  simd_or_reference("soft_cross_entropy_forward", vectors::soft_cross_entropy_forward<T>,
                    reference::soft_cross_entropy_forward<T>)(losses, probabilities, logits,
                                                              targets, k, smoothing);
}

/// dx [n, k] = scale * (probabilities - target distribution); scale is the gradient of each loss.
template <Scalar T>
void cross_entropy_backward(std::span<T> dx, Store store,
                            std::span<const accumulate_t<T>> probabilities,
                            std::span<const std::int32_t> labels, std::int64_t k,
                            accumulate_t<T> scale, accumulate_t<T> smoothing) {
  simd_or_reference("cross_entropy_backward", vectors::cross_entropy_backward<T>,
                    reference::cross_entropy_backward<T>)(dx, store, probabilities, labels, k,
                                                          scale, smoothing);
}

/// The same against distributions, targets [n, k].
template <Scalar T>
void cross_entropy_backward(std::span<T> dx, Store store,
                            std::span<const accumulate_t<T>> probabilities,
                            std::span<const param_t<T>> targets, std::int64_t k,
                            accumulate_t<T> scale, accumulate_t<T> smoothing) {
  simd_or_reference("soft_cross_entropy_backward", vectors::soft_cross_entropy_backward<T>,
                    reference::soft_cross_entropy_backward<T>)(dx, store, probabilities, targets,
                                                               k, scale, smoothing);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
