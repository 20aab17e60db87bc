#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <tinynet/data/dataset.hpp>

namespace tinynet::inline TINYNET_ABI::data {

/// How bytes become what a network sees: (byte / 255 - mean) / deviation, channel by channel.
/// Without values the bytes are scaled to [0, 1] and no more.
struct Normalization {
  std::vector<float> mean, deviation;
};

/// Mean and standard deviation (over n) of each channel, in units of 255. The sums are exact: the
/// order of the samples does not matter. Throws DataError for an empty data set.
inline Normalization channel_statistics(const Dataset& dataset) {
  if (dataset.size() == 0) {
    throw DataError(Message("channel_statistics", "the data set has no samples")
                        .fact("dataset", dataset.name()));
  }
  const auto shape = dataset.image_shape();
  const auto channels = static_cast<std::size_t>(shape[2]);
  std::vector<std::uint64_t> sums(channels), squares(channels);
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const auto pixels = dataset.image(i);
    for (std::size_t c = 0; c < channels; ++c) {
      std::uint64_t sum = 0, square = 0;
      for (std::size_t p = c; p < pixels.size(); p += channels) {
        const std::uint32_t value = pixels[p];
        sum += value;
        square += value * value;
      }
      sums[c] += sum;
      squares[c] += square;
    }
  }
  const auto count = static_cast<double>(dataset.size() * shape[0] * shape[1]);
  Normalization result{std::vector<float>(channels), std::vector<float>(channels)};
  for (std::size_t c = 0; c < channels; ++c) {
    const double mean = static_cast<double>(sums[c]) / count;
    const double variance = static_cast<double>(squares[c]) / count - mean * mean;
    result.mean[c] = static_cast<float>(mean / 255);
    result.deviation[c] = static_cast<float>(std::sqrt(std::max(variance, 0.0)) / 255);
  }
  return result;
}

}  // namespace tinynet::inline TINYNET_ABI::data
