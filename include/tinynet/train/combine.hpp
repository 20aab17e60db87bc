#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include <tinynet/core/require_setting.hpp>
#include <tinynet/train/predict.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// How several opinions on the same samples become one: the mean of probabilities, the mean of logits
/// (a geometric mean of probabilities, where one firm "no" outweighs several "perhaps"), or a vote
/// for the largest, in which the mean of probabilities decides between classes with as many votes.
enum class Combine { probabilities, logits, votes };

/// Sums up opinions on the same samples.
class Combination {
 public:
  explicit Combination(Combine how) : how_(how) {}

  /// Throws ShapeError if it has another shape than the first, StateError for a weight that is not
  /// above zero.
  void add(const Tensor<float>& logits, double weight = 1) {  // [n, k]
    require_setting(weight > 0 && std::isfinite(weight), "combine", "weight", weight, "above 0");
    if (sums_.empty()) {
      shape_ = logits.shape();
      sums_.assign(static_cast<std::size_t>(logits.size()), 0);
      if (how_ == Combine::votes) votes_ = sums_;
    }
    if (logits.shape() != shape_) {
      throw ShapeError(Message("combine", "opinions must be on the same samples and classes")
                           .fact("expected", shape_, "(n, classes)")
                           .fact("came", logits.shape()));
    }
    weight_ += weight;
    const auto k = static_cast<std::size_t>(shape_[1]);
    for (std::size_t at = 0; at < sums_.size(); at += k) {
      const auto row = logits.span().subspan(at, k);
      add_row(sums_.data() + at, row, weight);
      if (how_ != Combine::votes) continue;
      if (const auto winner = argmax<float>(row); winner >= 0) {
        votes_[at + static_cast<std::size_t>(winner)] += weight;
      }
    }
  }

  /// The mean logits, or the logarithms of the mean probabilities or shares of votes.
  Tensor<float> logits() const {
    Tensor<float> result(shape_);
    const auto k = static_cast<std::size_t>(shape_[1]);
    std::vector<double> means(k);
    for (std::size_t at = 0; at < sums_.size(); at += k) {
      for (std::size_t j = 0; j < k; ++j) means[j] = sums_[at + j] / weight_;
      if (how_ == Combine::votes) put_votes_first(means, {votes_.data() + at, k});
      for (std::size_t j = 0; j < k; ++j) {
        result.data()[at + j] =
            static_cast<float>(how_ == Combine::logits ? means[j] : std::log(means[j]));
      }
    }
    return result;
  }

 private:
  void add_row(double* sums, std::span<const float> logits, double weight) const {
    if (how_ == Combine::logits) {
      for (std::size_t j = 0; j < logits.size(); ++j) sums[j] += weight * double{logits[j]};
      return;
    }
    const double log_sum =
        kernels::reference::log_sum_exp(logits.data(), static_cast<std::int64_t>(logits.size()));
    for (std::size_t j = 0; j < logits.size(); ++j)
      sums[j] += weight * std::exp(logits[j] - log_sum);
  }

  /// Turns mean probabilities into shares of votes to which they add less than any two shares differ by.
  void put_votes_first(std::span<double> means, std::span<const double> votes) const {
    std::vector<double> sorted(votes.begin(), votes.end());
    std::sort(sorted.begin(), sorted.end());
    double apart = weight_;  // the smallest difference; rounding makes none
    for (std::size_t j = 1; j < sorted.size(); ++j) {
      const double difference = sorted[j] - sorted[j - 1];
      if (difference > 1e-9 * weight_) apart = std::min(apart, difference);
    }
    const double part = apart / (2 * weight_);
    for (std::size_t j = 0; j < means.size(); ++j) {
      means[j] = (votes[j] / weight_ + part * means[j]) / (1 + part);
    }
  }

  Combine how_;
  Shape shape_;
  std::vector<double> sums_, votes_;  // [n, k]
  double weight_ = 0;
};

}  // namespace tinynet::inline TINYNET_ABI::train
