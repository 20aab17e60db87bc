#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <tinynet/core/parallel.hpp>
#include <tinynet/core/scratch.hpp>
#include <tinynet/data/augment.hpp>
#include <tinynet/data/dataset.hpp>
#include <tinynet/data/normalize.hpp>
#include <tinynet/kernels/layout.hpp>

namespace tinynet::inline TINYNET_ABI::data {

/// Some samples, ready for a network.
template <Scalar T>
struct Batch {
  Tensor<T> images;                   // [n, h, w, c], normalised
  Tensor<std::int32_t> labels;        // [n]
  std::vector<std::int64_t> samples;  // their places in the loader's data set
  std::int64_t index = 0;             // of this batch in its epoch

  std::int64_t size() const { return labels.size(); }
};

/// Turns samples of a data set into batches: copies, augments, normalises.
template <Scalar T>
class BatchMaker {
 public:
  /// Throws ShapeError if the normalization does not fit the channels.
  BatchMaker(Dataset dataset, Transform augment, const Normalization& normalization,
             random::Key key)
      : dataset_(std::move(dataset)), augment_(std::move(augment)), key_(key) {
    const auto channels = static_cast<std::size_t>(dataset_.image_shape()[2]);
    const auto values = [&](const std::vector<float>& given, float without) {
      if (given.empty()) return std::vector<param_t<T>>(channels, without);
      if (given.size() == channels) return std::vector<param_t<T>>(given.begin(), given.end());
      throw ShapeError(Message("normalize", "needs one mean and one deviation for each channel")
                           .fact("expected", channels)
                           .fact("came", given.size(), dataset_.name()));
    };
    mean_ = values(normalization.mean, 0);
    deviation_ = values(normalization.deviation, 1);
    for (std::size_t c = 0; c < channels; ++c) {
      if (deviation_[c] > 0) continue;
      throw ShapeError(Message("normalize", "needs deviations above zero")
                           .fact("came", deviation_[c], {"channel ", c}));
    }
  }

  const Dataset& dataset() const { return dataset_; }

  /// A batch with storage for up to `count` samples.
  Batch<T> allocate(std::int64_t count) const {
    Batch<T> batch{Tensor<T>(shape(count)), Tensor<std::int32_t>({count}), {}, 0};
    batch.samples.reserve(static_cast<std::size_t>(count));
    return batch;
  }

  /// Replaces the contents of an allocated batch.
  void fill(Batch<T>& batch, std::span<const std::int64_t> samples, std::int64_t epoch) const {
    const auto count = std::ssize(samples);
    batch.images = writable(batch.images, shape(count));
    batch.labels = writable(batch.labels, {count});
    batch.samples.assign(samples.begin(), samples.end());
    const auto pixels = dataset_.image_shape().elements();
    constexpr std::int64_t grain = 8;  // images; enough work to be worth handing to a thread
    parallel_ranges(count, grain, [&](Range range) {
      Scratch scratch;
      const auto bytes = scratch.take<std::uint8_t>(range.size() * pixels);
      for (auto i = range.begin; i < range.end; ++i) {
        const auto sample = samples[static_cast<std::size_t>(i)];
        const auto image = dataset_.image(sample);
        const auto copy =
            bytes.subspan(static_cast<std::size_t>((i - range.begin) * pixels), image.size());
        std::copy(image.begin(), image.end(), copy.begin());
        if (augment_) augment(copy, sample, epoch);
        batch.labels.data()[i] = dataset_.label(sample);
      }
      const std::span<T> images(batch.images.data() + range.begin * pixels, bytes.size());
      kernels::normalise<T>(images, bytes, mean_, deviation_, std::ssize(mean_));
    });
  }

 private:
  Shape shape(std::int64_t count) const {
    const auto image = dataset_.image_shape();
    return {count, image[0], image[1], image[2]};
  }

  /// The tensor's storage under another shape; other storage where somebody still holds it.
  template <class U>
  static Tensor<U> writable(const Tensor<U>& tensor, const Shape& shape) {
    if (!tensor.unique()) return Tensor<U>(Buffer(tensor.buffer().capacity()), 0, shape);
    return Tensor<U>(tensor.buffer(), 0, shape);
  }

  void augment(std::span<std::uint8_t> pixels, std::int64_t sample, std::int64_t epoch) const {
    const auto size = dataset_.image_shape();
    const auto row = dataset_.row(sample);
    Image image{pixels, size[0], size[1], size[2], dataset_.label(sample), row, epoch};
    const auto key = key_.fold(static_cast<std::uint64_t>(epoch));
    random::Generator generator(key.fold(static_cast<std::uint64_t>(row)));
    augment_(image, generator);
  }

  Dataset dataset_;
  Transform augment_;
  random::Key key_;
  std::vector<param_t<T>> mean_, deviation_;  // a value for each channel
};

}  // namespace tinynet::inline TINYNET_ABI::data
