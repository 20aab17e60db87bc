#pragma once

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <tinynet/core/scratch.hpp>
#include <tinynet/data/augment/options.hpp>
#include <tinynet/data/augment/transform.hpp>

/// Transforms made of transforms.
namespace tinynet::inline TINYNET_ABI::data {

/// Applies transforms one after another. Of none it is none: images stay as they are.
template <class = void>
Transform compose(std::vector<Transform> transforms) {
  if (transforms.empty()) return {};
  return [transforms = std::move(transforms)](Image& image, random::Generator& generator) {
    for (const auto& transform : transforms) transform(image, generator);
  };
}

/// Applies the transform to this share of the images.
template <class = void>
Transform sometimes(float probability, Transform transform) {
  require_probability("sometimes", probability);
  return [=, transform = std::move(transform)](Image& image, random::Generator& generator) {
    if (generator.chance(probability)) transform(image, generator);
  };
}

/// Applies one of the transforms: each equally often, or as often as its weight says. Throws
/// StateError if there is none, if the weights are not as many, are negative or all zero.
template <class = void>
Transform one_of(std::vector<Transform> transforms, std::vector<float> weights = {}) {
  if (weights.empty()) weights.resize(transforms.size(), 1);
  if (transforms.empty()) throw StateError(Message("one_of", "there is nothing to choose from"));
  if (weights.size() != transforms.size()) {
    throw StateError(Message("one_of", "needs one weight for each transform")
                         .fact("expected", transforms.size())
                         .fact("came", weights.size()));
  }
  for (const auto w : weights) require_setting(w >= 0, "one_of", "a weight", w, "0 or more");
  const auto total = std::accumulate(weights.begin(), weights.end(), 0.0f);
  require_setting(total > 0, "one_of", "the sum of the weights", total, "above 0");
  return [=, transforms = std::move(transforms)](Image& image, random::Generator& generator) {
    auto left = generator.uniform() * total;
    std::size_t chosen = 0;
    for (std::size_t i = 0; i < transforms.size(); ++i) {
      if (weights[i] == 0) continue;
      chosen = i;  // rounding may leave a little after the last
      if ((left -= weights[i]) < 0) break;
    }
    transforms[chosen](image, generator);
  };
}

/// Applies `count` different transforms in random order, each at most once; every choice is equally
/// likely. Throws StateError if there are not as many.
template <class = void>
Transform some_of(std::int64_t count, std::vector<Transform> transforms) {
  const auto all = std::ssize(transforms);
  if (count < 0 || count > all) {
    throw StateError(Message("some_of", {"cannot choose ", count, " different transforms"})
                         .fact("expected", {"0 to ", all})
                         .fact("came", count));
  }
  return [=, transforms = std::move(transforms)](Image& image, random::Generator& generator) {
    Scratch scratch;
    const auto order = scratch.take<std::uint32_t>(all);
    std::iota(order.begin(), order.end(), 0u);
    for (std::uint32_t i = 0; i < static_cast<std::uint32_t>(count); ++i) {
      std::swap(order[i], order[i + generator.below(static_cast<std::uint32_t>(all) - i)]);
      transforms[order[i]](image, generator);
    }
  };
}

/// Applies the transform to images of these labels and leaves the others alone. Throws StateError
/// for a negative label.
template <class = void>
Transform per_class(std::vector<std::int32_t> labels, Transform transform) {
  for (const auto label : labels) {
    require_setting(label >= 0, "per_class", "a label", label, "0 or more");
  }
  std::sort(labels.begin(), labels.end());
  return [labels = std::move(labels), transform = std::move(transform)](
             Image& image, random::Generator& generator) {
    if (std::binary_search(labels.begin(), labels.end(), image.label)) transform(image, generator);
  };
}

/// The same with names out of `classes`, the data set's: `per_class(train.classes(), {"Shirt"},
/// RandomErasing{})`. Throws StateError for a name that is not one of them.
template <class = void>
Transform per_class(const std::vector<std::string>& classes, const std::vector<std::string>& names,
                    Transform transform) {
  std::vector<std::int32_t> labels;
  for (const auto& name : names) {
    const auto found = std::find(classes.begin(), classes.end(), name);
    if (found == classes.end()) {
      std::string known;
      for (const auto& c : classes) known += (known.empty() ? "" : ", ") + c;
      throw StateError(Message("per_class", {"no class '", name, "'"}).fact("classes", known));
    }
    labels.push_back(static_cast<std::int32_t>(found - classes.begin()));
  }
  return per_class(std::move(labels), std::move(transform));
}

}  // namespace tinynet::inline TINYNET_ABI::data
