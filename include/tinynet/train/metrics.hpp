#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

#include <tinynet/autograd/variable.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// The mean of values that stand for different numbers of samples: batch losses, say.
class Mean {
 public:
  void add(double value, double weight = 1) {
    sum_ += value * weight;
    weight_ += weight;
  }
  /// NaN before the first value.
  double value() const { return sum_ / weight_; }

 private:
  double sum_ = 0, weight_ = 0;
};

/// The share of samples that were classified correctly.
class Accuracy {
 public:
  void add(std::int64_t correct, std::int64_t total) {
    correct_ += correct;
    total_ += total;
  }
  std::int64_t correct() const { return correct_; }
  std::int64_t total() const { return total_; }
  /// NaN before the first sample.
  double value() const { return static_cast<double>(correct_) / static_cast<double>(total_); }

 private:
  std::int64_t correct_ = 0, total_ = 0;
};

/// The place of the largest value, of the first where there are several; -1 where one is NaN, so
/// that a broken network is never right by chance.
template <Scalar T>
std::int32_t argmax(std::span<const T> values) {
  std::int32_t best = -1;
  accumulate_t<T> largest = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto value = static_cast<accumulate_t<T>>(values[i]);
    if (std::isnan(value)) return -1;
    if (best >= 0 && value <= largest) continue;
    best = static_cast<std::int32_t>(i);
    largest = value;
  }
  return best;
}

/// How many rows of logits are largest at their label.
template <Scalar T>
std::int64_t count_correct(const Tensor<T>& logits,               // [n, k]
                           const Tensor<std::int32_t>& labels) {  // [n]
  if (logits.shape().axes() != 2 || labels.shape() != Shape{logits.shape()[0]}) {
    throw ShapeError(Message("count_correct", "needs one label for each row of logits")
                         .fact("logits", logits.shape(), "(n, classes)")
                         .fact("labels", labels.shape(), "(n)"));
  }
  const auto classes = static_cast<std::size_t>(logits.shape()[1]);
  std::int64_t correct = 0;
  for (std::int64_t i = 0; i < labels.size(); ++i) {
    const auto row = logits.span().subspan(static_cast<std::size_t>(i) * classes, classes);
    correct += argmax<T>(row) == labels.data()[i];
  }
  return correct;
}
template <Scalar T>
std::int64_t count_correct(const Variable<T>& logits, const Tensor<std::int32_t>& labels) {
  return count_correct(logits.value(), labels);
}

struct Interval {
  double low = 0, high = 1;
};

/// Of the normal distribution: 2.5 % lie beyond it on either side.
inline constexpr double normal_quantile = 1.959963984540054;

/// The 95 % confidence interval of a share of which `correct` of `total` samples are known (Wilson
/// 1927): unlike the textbook's it holds near 0 and 1. [0, 1] without samples.
inline Interval wilson(std::int64_t correct, std::int64_t total) {
  if (total <= 0) return {};
  constexpr double z = normal_quantile;
  const auto n = static_cast<double>(total);
  const double share = static_cast<double>(correct) / n;
  const double middle = share + z * z / (2 * n);
  const double half = z * std::sqrt(share * (1 - share) / n + z * z / (4 * n * n));
  const double scale = 1 + z * z / n;
  return {std::max((middle - half) / scale, 0.0), std::min((middle + half) / scale, 1.0)};
}

}  // namespace tinynet::inline TINYNET_ABI::train
