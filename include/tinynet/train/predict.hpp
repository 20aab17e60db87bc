#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <tinynet/data/loader.hpp>
#include <tinynet/kernels/softmax.hpp>
#include <tinynet/train/metrics.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// What a model says of samples, beside what is true. Every metric is a function of this.
struct Predictions {
  Tensor<float> logits{Shape{0, 0}};  // [n, k]; log probabilities will do: softmax keeps them
  Tensor<std::int32_t> labels;        // [n]
  std::vector<std::int64_t> samples;  // [n], their places in the loader's data set

  std::int64_t size() const { return labels.size(); }
  std::int64_t classes() const { return logits.shape()[1]; }
  std::span<const float> row(std::int64_t i) const {
    const auto k = static_cast<std::size_t>(classes());
    return logits.span().subspan(static_cast<std::size_t>(i) * k, k);
  }
  std::int32_t label(std::int64_t i) const { return labels.data()[i]; }
  /// The class with the largest logit; -1 where one is NaN.
  std::int32_t predicted(std::int64_t i) const { return argmax<float>(row(i)); }
};

/// Whether two models said something of the same samples, in the same order.
template <class = void>
bool same_samples(const Predictions& a, const Predictions& b) {
  return a.samples == b.samples && a.size() == b.size() &&
         std::equal(a.labels.data(), a.labels.data() + a.size(), b.labels.data());
}

/// softmax(logits): [n, k]
template <class = void>
Tensor<float> probabilities(const Predictions& predictions) {
  Tensor<float> result(predictions.logits.shape());
  if (result.empty()) return result;
  kernels::softmax_forward<float>(result.span(), predictions.logits.span(), predictions.classes());
  return result;
}

namespace detail {

/// Puts the logits of batch after batch into one tensor, whose size is known from the loader.
class PredictionWriter {
 public:
  PredictionWriter(Predictions& to, std::int64_t capacity) : to_(to), capacity_(capacity) {
    to_.labels = Tensor<std::int32_t>({capacity});
    to_.samples.reserve(static_cast<std::size_t>(capacity));
  }

  template <Scalar T>
  void add(const Tensor<T>& logits, const Tensor<std::int32_t>& labels,
           std::span<const std::int64_t> samples) {
    require(logits.shape(), labels.shape());
    const auto n = logits.shape()[0], k = logits.shape()[1];
    if (n > capacity_ - written_) {
      throw ShapeError(Message("predict", "there are more images than the loader has in an epoch")
                           .fact("expected", capacity_)
                           .fact("came", written_ + n));
    }
    if (written_ == 0) to_.logits = Tensor<float>({capacity_, k});
    std::transform(logits.data(), logits.data() + n * k, to_.logits.data() + written_ * k,
                   [](T value) { return static_cast<float>(value); });
    std::copy_n(labels.data(), n, to_.labels.data() + written_);
    to_.samples.insert(to_.samples.end(), samples.begin(), samples.end());
    written_ += n;
  }

 private:
  void require(const Shape& logits, const Shape& labels) const {
    const bool fits = logits.axes() == 2 && labels == Shape{logits[0]};
    if (fits && (written_ == 0 || logits[1] == to_.classes())) return;
    throw ShapeError(Message("predict", "the model must give one row of logits for each image")
                         .fact("expected", {"[", labels[0], ", classes]"})
                         .fact("came", logits));
  }

  Predictions& to_;
  std::int64_t capacity_, written_ = 0;
};

}  // namespace detail

/// Runs a model over one epoch of a loader, in evaluation mode and without a tape. The model is
/// anything that can be called as model(images, ctx) and gives logits [n, classes]. A loader with
/// several views of a sample gives a row for each of them.
template <class Model, Scalar T>
[[gnu::noinline]] Predictions predict(Model& model, const data::Loader<T>& loader) {
  Predictions all;
  detail::PredictionWriter writer(all, loader.images());
  for (const auto& batch : loader.epoch()) {
    auto ctx = Context::evaluation();
    writer.add(model(Variable<T>(batch.images), ctx).value(), batch.labels, batch.samples);
  }
  return all;
}

}  // namespace tinynet::inline TINYNET_ABI::train
