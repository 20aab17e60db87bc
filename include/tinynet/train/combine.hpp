#pragma once

#include <cmath>
#include <cstdint>
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
    }
    if (logits.shape() != shape_) {
      throw ShapeError(Message("combine", "opinions must be on the same samples and classes")
                           .fact("expected", shape_, "(n, classes)")
                           .fact("came", logits.shape()));
    }
    weight_ += weight;
    const auto k = static_cast<std::size_t>(shape_[1]);
    for (std::size_t at = 0; at < sums_.size(); at += k) {
      add_row(sums_.data() + at, logits.span().subspan(at, k), weight);
    }
  }

  /// The mean logits, or the logarithms of the mean probabilities or shares of votes.
  Tensor<float> logits() const {
    Tensor<float> result(shape_);
    // A vote weighs more than all that the probabilities of all opinions can differ by.
    const double total = how_ == Combine::votes ? 2 * weight_ : weight_;
    for (std::size_t i = 0; i < sums_.size(); ++i) {
      const double mean = sums_[i] / total;
      result.data()[i] = static_cast<float>(how_ == Combine::logits ? mean : std::log(mean));
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
    const auto winner = argmax<float>(logits);
    if (how_ == Combine::votes && winner >= 0) sums[winner] += weight;
  }

  Combine how_;
  Shape shape_;
  std::vector<double> sums_;  // [n, k]
  double weight_ = 0;
};

}  // namespace tinynet::inline TINYNET_ABI::train
