#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <tinynet/data/permutation.hpp>
#include <tinynet/tensor/tensor.hpp>

namespace tinynet::inline TINYNET_ABI::data {

/// The two halves that most data sets come in.
enum class Split { train, test };

/// Labelled images as they lie in a file, a byte per value. A view: copies, subsets and splits
/// share the images and hold at most a list of rows.
class Dataset {
 public:
  /// Throws ShapeError if the images are not [n, h, w, c], DataError if there are not as many
  /// labels or one is not in [0, classes.size()).
  Dataset(std::string name, Tensor<std::uint8_t> images, Tensor<std::int32_t> labels,
          std::vector<std::string> classes)
      : source_(std::make_shared<Source>(
            Source{std::move(name), std::move(images), std::move(labels), std::move(classes)})) {
    check();
  }
  // Not inlined: programs hand data sets about in many places.
  [[gnu::noinline]] Dataset(const Dataset&) = default;
  [[gnu::noinline]] Dataset(Dataset&&) noexcept = default;
  [[gnu::noinline]] Dataset& operator=(const Dataset&) = default;
  [[gnu::noinline]] Dataset& operator=(Dataset&&) noexcept = default;
  [[gnu::noinline]] ~Dataset() {}

  std::int64_t size() const { return rows_ ? std::int64_t(rows_->size()) : source_->labels.size(); }
  /// [h, w, c]
  [[gnu::noinline]] Shape image_shape() const {
    const auto& shape = source_->images.shape();
    return {shape[1], shape[2], shape[3]};
  }
  /// The pixels of one image, row by row, channels last.
  std::span<const std::uint8_t> image(std::int64_t i) const {
    const auto pixels = static_cast<std::size_t>(image_shape().elements());
    const auto& all = source_->images;
    return all.span().subspan(static_cast<std::size_t>(row(i)) * pixels, pixels);
  }
  std::int32_t label(std::int64_t i) const { return source_->labels.data()[row(i)]; }
  /// The place of sample `i` in the data set that this view was taken from. Augmentation is keyed
  /// by it, so that an image is treated alike in every view. Throws ShapeError if there is none.
  std::int64_t row(std::int64_t i) const {
    if (i < 0 || i >= size()) {
      throw ShapeError(
          Message("dataset", {"no sample ", i}).fact("dataset", name(), {size(), " samples"}));
    }
    return rows_ ? (*rows_)[static_cast<std::size_t>(i)] : i;
  }

  const std::string& name() const { return source_->name; }
  const std::vector<std::string>& classes() const { return source_->classes; }

  /// The samples at `indices`, in that order; an index may occur twice.
  Dataset subset(std::span<const std::int64_t> indices) const {
    std::vector<std::int64_t> rows;
    rows.reserve(indices.size());
    for (const auto i : indices) rows.push_back(row(i));
    return Dataset(source_, std::move(rows));
  }
  Dataset subset(std::initializer_list<std::int64_t> indices) const {
    return subset(std::span<const std::int64_t>(indices.begin(), indices.size()));
  }
  /// The first `count` samples, or all where there are fewer.
  Dataset take(std::int64_t count) const {
    std::vector<std::int64_t> rows;
    for (std::int64_t i = 0; i < std::min(count, size()); ++i) rows.push_back(row(i));
    return Dataset(source_, std::move(rows));
  }

  /// `first` samples drawn at random, and the others. The same key gives the same split.
  std::pair<Dataset, Dataset> split(std::integral auto first, random::Key key = {}) const {
    const auto count = static_cast<std::int64_t>(first);
    if (count < 0 || count > size()) {
      throw ShapeError(Message("split", {"cannot take ", count, " samples"})
                           .fact("dataset", name(), {size(), " samples"}));
    }
    std::vector<std::int64_t> order(static_cast<std::size_t>(size()));
    permutation({order.data(), order.size()}, key.fold("split"));
    const auto cut = static_cast<std::size_t>(count);
    return {subset({order.data(), cut}), subset({order.data() + cut, order.size() - cut})};
  }
  /// A share of the samples, 0 to 1 and rounded to whole samples, and the others.
  std::pair<Dataset, Dataset> split(std::floating_point auto fraction, random::Key key = {}) const {
    if (!(fraction >= 0 && fraction <= 1)) {
      throw ShapeError(Message("split", "a fraction lies between 0 and 1").fact("came", fraction));
    }
    return split(static_cast<std::int64_t>(double(fraction) * double(size()) + 0.5), key);
  }

 private:
  struct Source {
    std::string name;
    Tensor<std::uint8_t> images;  // [n, h, w, c]
    Tensor<std::int32_t> labels;  // [n]
    std::vector<std::string> classes;
  };

  Dataset(std::shared_ptr<const Source> source, std::vector<std::int64_t> rows)
      : source_(std::move(source)),
        rows_(std::make_shared<const std::vector<std::int64_t>>(std::move(rows))) {}

  void check() const {
    const auto& [name, images, labels, classes] = *source_;
    if (images.shape().axes() != 4) {
      throw ShapeError(Message("dataset", "images need four axes")
                           .fact("expected", "[n, h, w, c]")
                           .fact("came", images.shape(), name));
    }
    if (images.shape()[0] != labels.size()) {
      throw DataError(
          Message("dataset", {images.shape()[0], " images, but ", labels.size(), " labels"})
              .fact("dataset", name));
    }
    for (std::int64_t i = 0; i < labels.size(); ++i) {
      const auto label = labels.data()[i];
      if (label >= 0 && label < std::int64_t(classes.size())) continue;
      throw DataError(Message("dataset", {"label ", label, " is out of range"})
                          .fact("dataset", name, {classes.size(), " classes"})
                          .fact("sample", i));
    }
  }

  std::shared_ptr<const Source> source_;
  std::shared_ptr<const std::vector<std::int64_t>> rows_;  // none: all of them
};

}  // namespace tinynet::inline TINYNET_ABI::data
