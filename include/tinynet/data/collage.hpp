#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include <tinynet/core/function.hpp>
#include <tinynet/core/parallel.hpp>
#include <tinynet/core/random.hpp>
#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/loops.hpp>
#include <tinynet/tensor/tensor.hpp>

namespace tinynet::inline TINYNET_ABI::data {

/// A rectangle of one image, laid over another of the same size. In pixels.
struct Layer {
  std::int64_t source = 1;                           // 0: the image below itself, 1: the next one
  std::int64_t y = 0, x = 0, height = 0, width = 0;  // where it lies
  std::int64_t from_y = 0, from_x = 0;               // its corner in the source
  float opacity = 1;                                 // 1 hides what lies below
};

/// How the images of a batch are put together from each other. The batch is cut into groups of so
/// many images, far apart; over each image of a group lie the same layers, one upon another, cut from
/// the images that come after it in the group, in a circle. Where the batch does not go up in groups,
/// some are smaller. Without layers the batch stays as it is.
struct Collage {
  std::int64_t images = 1;  // in a group
  std::vector<Layer> layers = {};
};

/// Throws ShapeError where a layer reaches out of the image or names a source beyond its group.
template <class = void>
void require_collage(const Collage& collage, const Shape& image) {
  const auto inside = [](std::int64_t begin, std::int64_t length, std::int64_t size) {
    return begin >= 0 && length >= 0 && begin <= size - length;
  };
  for (const auto& layer : collage.layers) {
    if (layer.source < 0 || layer.source >= collage.images) {
      throw ShapeError(Message("mix", "a layer names an image beyond its group")
                           .fact("source", layer.source)
                           .fact("images", collage.images));
    }
    if (!inside(layer.y, layer.height, image[0]) || !inside(layer.x, layer.width, image[1]) ||
        !inside(layer.from_y, layer.height, image[0]) ||
        !inside(layer.from_x, layer.width, image[1]) ||
        !(layer.opacity >= 0 && layer.opacity <= 1)) {
      throw ShapeError(Message("mix", "a layer reaches out of the image, or its opacity of 0 to 1")
                           .fact("layer", {layer.height, " x ", layer.width},
                                 {"at (", layer.y, ", ", layer.x, "), opacity ", layer.opacity})
                           .fact("from", {"(", layer.from_y, ", ", layer.from_x, ")"})
                           .fact("image", image, "(h, w, c)"));
    }
  }
}

/// How much of a mixed image comes from each source: the mean over its pixels of what is seen there.
/// These are the weights of the labels; their sum is one.
template <class = void>
std::vector<double> shares(const Collage& collage, const Shape& image) {
  const auto height = image[0], width = image[1], pixels = height * width;
  const auto sources = static_cast<std::size_t>(collage.images);
  std::vector<double> seen(sources * std::size_t(pixels));  // [source, pixel]
  std::fill_n(seen.begin(), pixels, 1.0);
  for (const auto& layer : collage.layers) {
    for (auto y = layer.y; y < layer.y + layer.height; ++y) {
      for (auto at = y * width + layer.x; at < y * width + layer.x + layer.width; ++at) {
        double* const pixel = seen.data() + at;
        for (std::int64_t source = 0; source < collage.images; ++source) {
          pixel[source * pixels] *= 1 - double(layer.opacity);
        }
        pixel[layer.source * pixels] += double(layer.opacity);
      }
    }
  }
  std::vector<double> result(sources);
  for (std::size_t source = 0; source < sources; ++source) {
    const double* const pixel = seen.data() + source * std::size_t(pixels);
    double sum = 0;
    for (std::int64_t at = 0; at < pixels; ++at) sum += pixel[at];
    result[source] = sum / static_cast<double>(pixels);
  }
  return result;
}

namespace detail {

/// The groups of a batch: image m of group g is g + m * groups. So far apart because neighbours in a
/// batch may be views of one sample.
struct CollageGroups {
  std::int64_t batch, groups;
  CollageGroups(std::int64_t n, std::int64_t images) : batch(n), groups(pieces(n, images)) {}
  std::int64_t members(std::int64_t group) const { return pieces(batch - group, groups); }
};

template <Scalar T>
void lay(T* to, const T* from, std::int64_t count, float opacity) {
  using A = accumulate_t<T>;
  if (opacity == 1) {
    std::copy_n(from, count, to);
    return;
  }
  const simd::batch<A> share(static_cast<A>(opacity));
  kernels::for_lanes<A>(count, [&](std::int64_t i, auto lanes) {
    const auto below = lanes.load(to + i);
    lanes.store(to + i, simd::fma(share, lanes.load(from + i) - below, below));
  });
}

}  // namespace detail

/// Mixes images [n, h, w, c] in place, in one pass.
template <Scalar T>
void mix_images(Tensor<T>& images, const Collage& collage) {
  const auto& shape = images.shape();
  const auto width = shape[2], channels = shape[3], size = shape[1] * width * channels;
  const detail::CollageGroups all(shape[0], collage.images);
  parallel_ranges(all.groups, kernels::grain_rows(collage.images * size), [&](Range range) {
    Scratch scratch;
    T* before = scratch.take<T>(collage.images * size).data();
    for (auto group = range.begin; group < range.end; ++group) {
      const auto members = all.members(group);
      for (std::int64_t m = 0; m < members; ++m) {
        std::copy_n(images.data() + (group + m * all.groups) * size, size, before + m * size);
      }
      for (std::int64_t m = 0; m < members; ++m) {
        T* image = images.data() + (group + m * all.groups) * size;
        for (const auto& layer : collage.layers) {
          const T* source = before + (m + layer.source) % members * size;
          // Rows of the whole width lie one after another.
          const bool one_piece = layer.width == width;
          const auto rows = one_piece ? 1 : layer.height;
          const auto count = layer.width * channels * (one_piece ? layer.height : 1);
          for (std::int64_t row = 0; row < rows; ++row) {
            detail::lay(image + ((layer.y + row) * width + layer.x) * channels,
                        source + ((layer.from_y + row) * width + layer.from_x) * channels, count,
                        layer.opacity);
          }
        }
      }
    }
  });
}

/// Targets [n, classes] of a mixed batch: each label weighs what is seen of its image.
template <class P>
Tensor<P> mixed_targets(const Tensor<std::int32_t>& labels, std::int64_t classes,
                        const Collage& collage, const Shape& image) {
  const auto weights = shares(collage, image);
  const detail::CollageGroups all(labels.size(), collage.images);
  auto targets = Tensor<P>::zeros({labels.size(), classes});
  for (std::int64_t group = 0; group < all.groups; ++group) {
    const auto members = all.members(group);
    for (std::int64_t m = 0; m < members; ++m) {
      P* row = targets.data() + (group + m * all.groups) * classes;
      for (std::int64_t source = 0; source < collage.images; ++source) {
        const auto label = labels.data()[group + (m + source) % members * all.groups];
        row[label] += static_cast<P>(weights[std::size_t(source)]);
      }
    }
  }
  return targets;
}

namespace detail {

/// Mixes images [n, h, w, c] in place and makes their targets [n, classes].
template <Scalar T>
using MixBatch = void (*)(Tensor<T>& images, Tensor<param_t<T>>& targets,
                          const Tensor<std::int32_t>& labels, std::int64_t classes,
                          const Collage& collage, const Shape& image);

struct MixBatches {
  MixBatch<float> of_float;
  MixBatch<double> of_double;
  MixBatch<bfloat16> of_bfloat16;
  MixBatch<float16> of_float16;
};

template <Scalar T>
void mix_batch(Tensor<T>& images, Tensor<param_t<T>>& targets, const Tensor<std::int32_t>& labels,
               std::int64_t classes, const Collage& collage, const Shape& image) {
  require_collage(collage, image);
  mix_images(images, collage);
  targets = mixed_targets<param_t<T>>(labels, classes, collage, image);
}

template <class = void>
inline constexpr MixBatches mix_batches = {mix_batch<float>, mix_batch<double>, mix_batch<bfloat16>,
                                           mix_batch<float16>};

}  // namespace detail

/// Draws how a batch is mixed, for images of that shape [h, w, c], and mixes it. It brings what mixes:
/// a program whose loaders mix nothing does not compile that.
class Mix {
 public:
  Mix() = default;
  template <class F>
  requires(
      !std::is_same_v<std::remove_cvref_t<F>, Mix> &&
      std::is_invocable_r_v<Collage, std::remove_cvref_t<F>&, const Shape&, random::Generator&>)
      Mix(F&& draw)
      : draw_(std::forward<F>(draw)), batches_(&detail::mix_batches<>) {}

  Collage operator()(const Shape& image, random::Generator& generator) const {
    return draw_(image, generator);
  }
  explicit operator bool() const { return static_cast<bool>(draw_); }

  template <Scalar T>
  detail::MixBatch<T> batch() const {
    if constexpr (std::is_same_v<T, float>) return batches_->of_float;
    else if constexpr (std::is_same_v<T, double>) return batches_->of_double;
    else if constexpr (std::is_same_v<T, bfloat16>) return batches_->of_bfloat16;
    else return batches_->of_float16;
  }

 private:
  Function<Collage(const Shape&, random::Generator&)> draw_;
  const detail::MixBatches* batches_ = nullptr;
};

}  // namespace tinynet::inline TINYNET_ABI::data
