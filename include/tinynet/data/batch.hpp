#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <tinynet/core/parallel.hpp>
#include <tinynet/core/scratch.hpp>
#include <tinynet/data/augment.hpp>
#include <tinynet/data/collage.hpp>
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
  Tensor<param_t<T>> targets = {};    // [n, classes], sums of one; empty if nothing was mixed

  std::int64_t size() const { return labels.size(); }
};

/// Which draw of a transform an image gets.
struct Draw {
  std::uint64_t seed = 1;
  std::int64_t epoch = 0;
  std::int64_t view = 0;  // of several in one epoch
};

/// Copies sample `i` and transforms it as a loader with that seed does.
inline void draw_sample(std::span<std::uint8_t> pixels, const Dataset& dataset, std::int64_t i,
                        const Transform& transform, const Draw& draw) {
  const auto source = dataset.image(i);
  std::copy(source.begin(), source.end(), pixels.begin());
  if (!transform) return;
  const auto size = dataset.image_shape();
  const auto row = dataset.row(i);
  Image image{pixels, size[0], size[1], size[2], dataset.label(i), row, draw.epoch};
  auto key = random::Key{draw.seed}.fold("augment");
  key = key.fold(static_cast<std::uint64_t>(draw.epoch)).fold(static_cast<std::uint64_t>(row));
  if (draw.view > 0) key = key.fold("view").fold(static_cast<std::uint64_t>(draw.view));
  random::Generator generator(key);
  transform(image, generator);
}

struct ImageSize {
  std::int64_t height = 0, width = 0;
};

/// What happens to samples on their way into a batch.
struct BatchOptions {
  Transform augment = {};  // none: images as they are
  /// Of the images, which are resized after augmentation; none: their own.
  std::optional<ImageSize> size = {};
  Mix mix = {};                  // of the images of a batch, after that; none: not mixed
  Normalization normalize = {};  // none: bytes scaled to [0, 1]
  std::int64_t views = 1;        // copies of each sample, each augmented by itself
  std::uint64_t seed = 1;        // of augmentation and mixing
};

/// A value for each channel. Throws ShapeError where `given` has other than none or one for each.
template <class P>
std::vector<P> channel_values(const std::vector<float>& given, float without,
                              const Dataset& dataset) {
  const auto channels = static_cast<std::size_t>(dataset.image_shape()[2]);
  if (given.empty()) return std::vector<P>(channels, without);
  if (given.size() == channels) return std::vector<P>(given.begin(), given.end());
  throw ShapeError(Message("normalize", "needs one mean and one deviation for each channel")
                       .fact("expected", channels)
                       .fact("came", given.size(), dataset.name()));
}

/// Turns samples of a data set into batches: copies, augments, normalises, mixes.
template <Scalar T>
class BatchMaker {
 public:
  /// Throws ShapeError if the normalization does not fit the channels, or for a size below one pixel.
  BatchMaker(Dataset dataset, BatchOptions options)
      : dataset_(std::move(dataset)),
        options_(std::move(options)),
        mean_(channel_values<param_t<T>>(options_.normalize.mean, 0, dataset_)),
        deviation_(channel_values<param_t<T>>(options_.normalize.deviation, 1, dataset_)) {
    if (options_.size && (options_.size->height < 1 || options_.size->width < 1)) {
      throw ShapeError(Message("loader", "images need a size of a pixel or more")
                           .fact("came", {options_.size->height, " x ", options_.size->width}));
    }
    for (std::size_t c = 0; c < deviation_.size(); ++c) {
      if (deviation_[c] > 0) continue;
      throw ShapeError(Message("normalize", "needs deviations above zero")
                           .fact("came", deviation_[c], {"channel ", c}));
    }
  }

  const Dataset& dataset() const { return dataset_; }
  /// Of the images in a batch: [h, w, c].
  Shape image_shape() const {
    auto image = dataset_.image_shape();
    if (options_.size) image[0] = options_.size->height, image[1] = options_.size->width;
    return image;
  }

  /// A batch with storage for the views of up to `count` samples.
  Batch<T> allocate(std::int64_t count) const {
    count *= options_.views;
    Batch<T> batch{Tensor<T>(shape(count)), Tensor<std::int32_t>({count}), {}};
    batch.samples.reserve(static_cast<std::size_t>(count));
    return batch;
  }

  /// Replaces the contents of an allocated batch, `index` in its epoch: the views of the first
  /// sample, those of the second, and so on.
  void fill(Batch<T>& batch, std::span<const std::int64_t> samples, std::int64_t epoch,
            std::int64_t index) const {
    const auto views = options_.views, count = std::ssize(samples) * views;
    batch.images = writable(batch.images, shape(count));
    batch.labels = writable(batch.labels, {count});
    batch.index = index;
    batch.targets = {};
    batch.samples.resize(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < batch.samples.size(); ++i) {
      batch.samples[i] = samples[i / static_cast<std::size_t>(views)];
    }
    const auto source = dataset_.image_shape(), image = image_shape();
    const auto pixels = image.elements();
    constexpr std::int64_t grain = 8;  // images; enough work to be worth handing to a thread
    parallel_ranges(count, grain, [&](Range range) {
      Scratch scratch;
      const auto bytes = scratch.take<std::uint8_t>(range.size() * pixels);
      const auto own = options_.size ? scratch.take<std::uint8_t>(source.elements()) : bytes;
      for (auto i = range.begin; i < range.end; ++i) {
        const auto sample = batch.samples[static_cast<std::size_t>(i)];
        const auto at = static_cast<std::size_t>((i - range.begin) * pixels);
        const auto to = bytes.subspan(at, static_cast<std::size_t>(pixels));
        draw_sample(options_.size ? own : to, dataset_, sample, options_.augment,
                    {options_.seed, epoch, i % views});
        if (options_.size) {
          resize({own.data(), source[0], source[1], source[2], source[1] * source[2]}, to, image);
        }
        batch.labels.data()[i] = dataset_.label(sample);
      }
      const std::span<T> images(batch.images.data() + range.begin * pixels, bytes.size());
      kernels::normalise<T>(images, bytes, mean_, deviation_, std::ssize(mean_));
    });
    if (options_.mix) mix(batch, epoch);
  }

 private:
  Shape shape(std::int64_t count) const {
    const auto image = image_shape();
    return {count, image[0], image[1], image[2]};
  }

  /// The tensor's storage under another shape; other storage where somebody still holds it.
  template <class U>
  static Tensor<U> writable(const Tensor<U>& tensor, const Shape& shape) {
    if (!tensor.unique()) return Tensor<U>(Buffer(tensor.buffer().capacity()), 0, shape);
    return Tensor<U>(tensor.buffer(), 0, shape);
  }

  void mix(Batch<T>& batch, std::int64_t epoch) const {
    const auto key = random::Key{options_.seed}.fold("mix").fold(static_cast<std::uint64_t>(epoch));
    random::Generator generator(key.fold(static_cast<std::uint64_t>(batch.index)));
    const auto image = image_shape();
    const auto collage = options_.mix(image, generator);
    if (collage.layers.empty()) return;
    options_.mix.template batch<T>()(batch.images, batch.targets, batch.labels,
                                     std::ssize(dataset_.classes()), collage, image);
  }

  Dataset dataset_;
  BatchOptions options_;
  std::vector<param_t<T>> mean_, deviation_;  // a value for each channel
};

}  // namespace tinynet::inline TINYNET_ABI::data
