#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include <tinynet/core/distributions.hpp>
#include <tinynet/data/collage.hpp>

/// Mixing: images of a batch become parts of each other, and so do their labels. A loader draws once
/// for each batch:
///
///     .mix = data::one_of_batch({{0.3f, data::MixUp{}}, {0.3f, data::CutMix{}}})
///
/// Anything that returns a Collage can stand there.
namespace tinynet::inline TINYNET_ABI::data {

namespace detail {

/// A share from the beta distribution with both parameters the same.
template <class = void>
double mixing_share(const char* who, const char* option, double parameter,
                    random::Generator& generator) {
  if (!(parameter > 0 && std::isfinite(parameter))) {
    throw ShapeError(Message(who, {option, " lies above 0"}).fact("came", parameter));
  }
  return random::beta(parameter, parameter, generator);
}

}  // namespace detail

/// Each image, faded over with another: x = share * x + (1 - share) * x', share from
/// Beta(alpha, alpha) (Zhang, Cisse, Dauphin, Lopez-Paz 2018).
struct MixUp {
  double alpha = 0.2;

  template <class = void>
  Collage operator()(const Shape& image, random::Generator& generator) const {
    const double share = detail::mixing_share("mixup", "alpha", alpha, generator);
    return {2, {{.height = image[0], .width = image[1], .opacity = float(1 - share)}}};
  }
};

/// A box of each image shows another one. Its sides are sqrt(1 - share) of the image's, share from
/// Beta(alpha, alpha); its middle may lie anywhere, and what sticks out is cut off (Yun, Han, Oh, Chun,
/// Choe, Yoo 2019). Labels weigh by the pixels that are left.
struct CutMix {
  double alpha = 1;

  template <class = void>
  Collage operator()(const Shape& image, random::Generator& generator) const {
    const double share = detail::mixing_share("cutmix", "alpha", alpha, generator);
    const auto side = [&](std::int64_t size) {
      const auto half = static_cast<std::int64_t>(0.5 * std::sqrt(1 - share) * double(size));
      const auto middle = std::int64_t{generator.below(static_cast<std::uint32_t>(size))};
      return Range{std::max(middle - half, std::int64_t{0}), std::min(middle + half, size)};
    };
    const auto rows = side(image[0]), columns = side(image[1]);
    if (rows.size() == 0 || columns.size() == 0) return {};
    return {2,
            {{.y = rows.begin,
              .x = columns.begin,
              .height = rows.size(),
              .width = columns.size(),
              .from_y = rows.begin,
              .from_x = columns.begin}}};
  }
};

/// Random image cropping and patching: pieces of four images, each cut at random, that meet in a
/// point whose place is a share of either side from Beta(beta, beta) (Takahashi, Matsubara, Uehara
/// 2018).
struct Ricap {
  double beta = 0.3;

  template <class = void>
  Collage operator()(const Shape& image, random::Generator& generator) const {
    const auto cut = [&](std::int64_t size) {
      const double share = detail::mixing_share("ricap", "beta", beta, generator);
      return static_cast<std::int64_t>(std::lround(share * double(size)));
    };
    const auto down = cut(image[0]), right = cut(image[1]);
    Collage collage{4};
    for (std::int64_t k = 0; k < 4; ++k) {
      const bool is_low = k / 2 == 1, is_right = k % 2 == 1;
      Layer layer{.source = k, .y = is_low ? down : 0, .x = is_right ? right : 0};
      layer.height = is_low ? image[0] - down : down;
      layer.width = is_right ? image[1] - right : right;
      const auto corner = [&](std::int64_t room) {
        return std::int64_t{generator.below(static_cast<std::uint32_t>(room + 1))};
      };
      layer.from_y = corner(image[0] - layer.height);
      layer.from_x = corner(image[1] - layer.width);
      if (layer.height > 0 && layer.width > 0) collage.layers.push_back(layer);
    }
    return collage;
  }
};

/// One way to mix, and how often it is taken.
struct MixChoice {
  float probability = 1;
  Mix mix = {};  // none: images as they are
};

/// At most one of several for a batch; what the probabilities leave to one are batches that are not
/// mixed. Throws ShapeError if they are negative or come to more than one.
template <class = void>
Mix one_of_batch(std::vector<MixChoice> choices) {
  double sum = 0;
  for (const auto& choice : choices) {
    sum += choice.probability;
    if (choice.probability >= 0 && sum <= 1 + 1e-6) continue;
    throw ShapeError(Message("one_of_batch", "probabilities are 0 or more and sum to 1 or less")
                         .fact("came", choice.probability)
                         .fact("sum", sum));
  }
  return [choices = std::move(choices)](const Shape& image, random::Generator& generator) {
    double left = generator.uniform();
    for (const auto& [probability, mix] : choices) {
      left -= probability;
      if (left < 0) return mix ? mix(image, generator) : Collage{};
    }
    return Collage{};
  };
}

}  // namespace tinynet::inline TINYNET_ABI::data
