#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include <tinynet/data/augment/options.hpp>
#include <tinynet/train/calibration.hpp>
#include <tinynet/train/combine.hpp>
#include <tinynet/train/evaluate.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// One way to look at an image: moved by whole pixels, then mirrored. As mild as it must be, for a
/// view that a network was not trained on makes it worse.
struct View {
  std::int64_t down = 0, right = 0;  // pixels that the content moves
  bool mirror = false;               // left to right
  double weight = 1;                 // of its opinion; the sum of all counts as one
};

/// The image and its mirror image.
template <class = void>
std::vector<View> mirror_views() {
  return {{}, {.mirror = true}};
}

/// The image and two diagonal shifts by a pixel, each with its mirror image. The shifts weigh as much
/// together as the image itself (airbench's level 2; Jordan 2024).
template <class = void>
std::vector<View> six_views() {
  std::vector<View> views;
  for (const bool mirror : {false, true}) {
    views.push_back({.mirror = mirror, .weight = 0.25});
    views.push_back({.down = 1, .right = 1, .mirror = mirror, .weight = 0.125});
    views.push_back({.down = -1, .right = -1, .mirror = mirror, .weight = 0.125});
  }
  return views;
}

/// Predicts from several views of each test image.
///
///     const auto plain = train::evaluate(model, tests);
///     const auto views = train::evaluate(model, tests, {.views = train::six_views(), .share = 0.25});
///     std::puts(train::warn_if_worse("test-time augmentation", plain, views).c_str());
struct TestTimeAugmentation {
  std::vector<View> views = mirror_views();
  data::Border border = data::Border::reflect;  // what a shift uncovers
  Combine combine = Combine::probabilities;
  /// The share of images, those that the network is least sure of, that get all views; the others
  /// are looked at once, as they are. A quarter keeps most of the gain at less than half the cost.
  double share = 1;
};

namespace detail {

template <class = void>
void require_views(const TestTimeAugmentation& options, std::int64_t height, std::int64_t width) {
  const auto fail = [](const char* what) { return Message("test_time_augmentation", what); };
  if (options.views.empty()) throw ShapeError(fail("needs a view"));
  if (!(options.share >= 0 && options.share <= 1)) {
    throw ShapeError(fail("the share lies between 0 and 1").fact("came", options.share));
  }
  for (const auto& view : options.views) {
    if (std::abs(view.down) >= height || std::abs(view.right) >= width) {
      throw ShapeError(fail("a view moves the image out of sight")
                           .fact("view", {view.down, " down, ", view.right, " to the right"})
                           .fact("image", {height, " x ", width, " pixels"}));
    }
    if (!(view.weight > 0))
      throw ShapeError(fail("weights are positive").fact("came", view.weight));
  }
}

}  // namespace detail

/// The images [n, h, w, c] of a batch as a view shows them. Where the border is Border::zero, pixels
/// from beyond the edge are `black`: one value for each channel, zero where there are none.
template <Scalar T>
Tensor<T> apply(const View& view, const Tensor<T>& images, data::Border border,
                std::span<const float> black = {}) {
  const auto n = images.shape()[0], h = images.shape()[1], w = images.shape()[2],
             c = images.shape()[3];
  Tensor<T> result(images.shape());
  parallel_ranges(n * h, 64, [&](Range rows) {
    for (auto row = rows.begin; row < rows.end; ++row) {
      const auto source_row = data::beyond(row % h - view.down, h, border);
      T* to = result.data() + row * w * c;
      for (std::int64_t x = 0; x < w; ++x, to += c) {
        const auto column = (view.mirror ? w - 1 - x : x) - view.right;
        const auto source = data::beyond(column, w, border);
        if (source_row >= 0 && source >= 0) {
          std::copy_n(images.data() + ((row / h * h + source_row) * w + source) * c, c, to);
        } else {
          for (std::int64_t i = 0; i < c; ++i)
            to[i] = T(black.empty() ? 0.0f : black[std::size_t(i)]);
        }
      }
    }
  });
  return result;
}

namespace detail {

/// What zero becomes on its way into a batch.
template <class = void>
std::vector<float> normalised_black(const data::Normalization& normalization) {
  std::vector<float> black;
  for (std::size_t c = 0; c < normalization.mean.size(); ++c) {
    const bool scaled = c < normalization.deviation.size();
    black.push_back(-normalization.mean[c] / (scaled ? normalization.deviation[c] : 1));
  }
  return black;
}

/// The `count` rows with the lowest confidence, NaN first, in ascending order.
template <class = void>
std::vector<std::int64_t> least_confident(const Predictions& predictions, std::int64_t count) {
  auto all = judgements(predictions);
  std::stable_sort(all.begin(), all.end(), [](const Judgement& a, const Judgement& b) {
    if (std::isnan(a.confidence) || std::isnan(b.confidence)) {
      return std::isnan(a.confidence) && !std::isnan(b.confidence);
    }
    return a.confidence < b.confidence;
  });
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < count; ++i) rows.push_back(all[std::size_t(i)].row);
  std::sort(rows.begin(), rows.end());
  return rows;
}

template <class Model, Scalar T>
Predictions predict_all_views(Model& model, const data::Loader<T>& loader,
                              const TestTimeAugmentation& options) {
  const auto black = normalised_black(loader.options().normalize);
  const auto seen_by_views = [&](const Variable<T>& images, Context& ctx) {
    Combination combination(options.combine);
    for (const auto& view : options.views) {
      const auto image = apply<T>(view, images.value(), options.border, black);
      const auto logits = model(Variable<T>(image), ctx).value();
      Tensor<float> converted(logits.shape());
      std::transform(logits.data(), logits.data() + logits.size(), converted.data(),
                     [](auto value) { return static_cast<float>(value); });
      combination.add(converted, view.weight);
    }
    return Variable<float>(combination.logits());
  };
  return predict(seen_by_views, loader);
}

}  // namespace detail

/// As `predict`, from several views of each image, or of the least certain ones. Throws ShapeError
/// for options that make no sense.
template <class Model, Scalar T>
Predictions predict(Model& model, const data::Loader<T>& loader,
                    const TestTimeAugmentation& options) {
  const auto image = loader.image_shape();
  detail::require_views(options, image[0], image[1]);
  if (options.share == 1) return detail::predict_all_views(model, loader, options);
  auto all = predict(model, loader);
  const auto count = std::llround(options.share * static_cast<double>(all.size()));
  if (count == 0) return all;
  const auto rows = detail::least_confident(all, count);
  std::vector<std::int64_t> samples;
  for (const auto row : rows) samples.push_back(all.samples[std::size_t(row)]);
  auto loading = loader.options();
  loading.shuffle = loading.drop_last = false;
  loading.views = 1;  // `samples` names a sample once for each of its rows
  const data::Loader<T> doubtful(loader.dataset().subset(samples), loading);
  const auto better = detail::predict_all_views(model, doubtful, options);
  const auto k = all.classes();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(better.row(std::int64_t(i)).data(), k, all.logits.data() + rows[i] * k);
  }
  return all;
}

/// As `evaluate`, from several views of each image.
template <class Model, Scalar T>
Evaluation evaluate(Model& model, const data::Loader<T>& loader,
                    const TestTimeAugmentation& options) {
  return evaluate(predict(model, loader, options));
}

}  // namespace tinynet::inline TINYNET_ABI::train
