#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <tinynet/data/batch.hpp>
#include <tinynet/data/permutation.hpp>

/// Pictures of what a network is trained on, as tensors; io::write_png makes files of them.
namespace tinynet::inline TINYNET_ABI::data {

struct SheetOptions {
  std::int64_t columns = 8;    // images in a row
  std::int64_t scale = 2;      // pixels that a pixel of an image takes, each way
  std::int64_t gap = 2;        // pixels between images and around them
  std::uint8_t between = 255;  // their grey
};

/// Images [n, h, w, c] side by side, row after row: one image [height, width, c]. Throws ShapeError.
template <class = void>
Tensor<std::uint8_t> contact_sheet(const Tensor<std::uint8_t>& images,
                                   const SheetOptions& options = {}) {
  const auto& shape = images.shape();
  if (shape.axes() != 4 || images.empty()) {
    throw ShapeError(Message("contact_sheet", "needs images")
                         .fact("expected", "[n, h, w, c]")
                         .fact("came", shape));
  }
  if (options.columns < 1 || options.scale < 1 || options.gap < 0) {
    throw ShapeError(Message("contact_sheet", "columns and scale are 1 or more, gap is 0 or more")
                         .fact("columns", options.columns)
                         .fact("scale", options.scale)
                         .fact("gap", options.gap));
  }
  const auto n = shape[0], h = shape[1], w = shape[2], c = shape[3], scale = options.scale;
  const auto columns = std::min(options.columns, n), rows = pieces(n, columns);
  const auto step_y = h * scale + options.gap, step_x = w * scale + options.gap;
  auto sheet = Tensor<std::uint8_t>::full(
      {options.gap + rows * step_y, options.gap + columns * step_x, c}, options.between);
  const auto width = sheet.shape()[1];
  for (std::int64_t i = 0; i < n; ++i) {
    const auto top = options.gap + i / columns * step_y, left = options.gap + i % columns * step_x;
    for (std::int64_t y = 0; y < h * scale; ++y) {
      const auto* from = images.data() + (i * h + y / scale) * w * c;
      auto* to = sheet.data() + ((top + y) * width + left) * c;
      for (std::int64_t x = 0; x < w * scale; ++x) std::copy_n(from + x / scale * c, c, to + x * c);
    }
  }
  return sheet;
}

/// Images that a loader normalised, as bytes again: what a network saw of a batch, mixing included.
template <Scalar T>
Tensor<std::uint8_t> denormalise(const Tensor<T>& images, const Normalization& normalization) {
  Tensor<std::uint8_t> bytes(images.shape());
  const auto channels = static_cast<std::size_t>(images.shape()[-1]);
  for (const auto* values : {&normalization.mean, &normalization.deviation}) {
    if (values->empty() || values->size() == channels) continue;
    throw ShapeError(Message("denormalise", "needs one mean and one deviation for each channel")
                         .fact("images", images.shape(), "(n, h, w, c)")
                         .fact("came", values->size()));
  }
  for (std::size_t i = 0; i < bytes.span().size(); ++i) {
    auto value = static_cast<double>(images.span()[i]);
    if (!normalization.deviation.empty()) value *= double(normalization.deviation[i % channels]);
    if (!normalization.mean.empty()) value += double(normalization.mean[i % channels]);
    bytes.span()[i] = static_cast<std::uint8_t>(std::lround(std::clamp(255 * value, 0.0, 255.0)));
  }
  return bytes;
}

struct PreviewOptions {
  std::int64_t rows = 8;     // samples, drawn by the seed
  std::int64_t columns = 8;  // the sample as it is, then its views
  std::uint64_t seed = 1;    // of a loader whose images are to be seen
  std::int64_t epoch = 0;
  SheetOptions sheet = {};  // its columns are those above
};

/// A contact sheet of a transform: a row for each of some samples, first the image as it is, then
/// what a loader of that seed, epoch and `views` trains on. Throws DataError for an empty data set,
/// ShapeError for options without an image.
template <class = void>
Tensor<std::uint8_t> preview(const Dataset& dataset, const Transform& transform,
                             const PreviewOptions& options = {}) {
  if (dataset.size() == 0) {
    throw DataError(
        Message("preview", "the data set has no samples").fact("dataset", dataset.name()));
  }
  if (options.rows < 1 || options.columns < 1) {
    throw ShapeError(Message("preview", "rows and columns are 1 or more")
                         .fact("rows", options.rows)
                         .fact("columns", options.columns));
  }
  std::vector<std::int64_t> order(static_cast<std::size_t>(dataset.size()));
  permutation(order, random::Key{options.seed}.fold("preview"));
  const auto rows = std::min(options.rows, dataset.size()), columns = options.columns;
  const auto image = dataset.image_shape();
  Tensor<std::uint8_t> images({rows * columns, image[0], image[1], image[2]});
  const auto pixels = static_cast<std::size_t>(image.elements());
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    const auto view = i % columns - 1;
    draw_sample(images.span().subspan(static_cast<std::size_t>(i) * pixels, pixels), dataset,
                order[static_cast<std::size_t>(i / columns)], view < 0 ? Transform{} : transform,
                {options.seed, options.epoch, std::max(view, std::int64_t{0})});
  }
  auto sheet = options.sheet;
  sheet.columns = columns;
  return contact_sheet(images, sheet);
}

}  // namespace tinynet::inline TINYNET_ABI::data
