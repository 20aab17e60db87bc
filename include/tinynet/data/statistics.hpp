#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include <tinynet/data/normalize.hpp>

namespace tinynet::inline TINYNET_ABI::data {

/// What a class of a data set holds.
struct ClassStatistics {
  std::string name;
  std::int64_t count = 0;  // samples
  double share = 0;        // of all samples, 0 to 1
  Normalization channels;  // mean and deviation of each channel, in units of 255; empty: no sample
};

struct DatasetStatistics {
  std::string name;
  Shape image;             // [h, w, c]
  std::int64_t count = 0;  // samples
  Normalization channels;  // as for a class
  std::vector<ClassStatistics> classes;
};

/// Counts and channel statistics of a data set and of each of its classes. Throws DataError for an
/// empty data set.
template <class = void>
DatasetStatistics statistics(const Dataset& dataset) {
  DatasetStatistics all{
      dataset.name(), dataset.image_shape(), dataset.size(), channel_statistics(dataset), {}};
  std::vector<std::vector<std::int64_t>> members(dataset.classes().size());
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    members[static_cast<std::size_t>(dataset.label(i))].push_back(i);
  }
  for (std::size_t k = 0; k < members.size(); ++k) {
    ClassStatistics one{dataset.classes()[k], std::ssize(members[k]), 0, {}};
    one.share = static_cast<double>(one.count) / static_cast<double>(all.count);
    if (one.count > 0) one.channels = channel_statistics(dataset.subset(members[k]));
    all.classes.push_back(std::move(one));
  }
  return all;
}

/// The mean of all images, [h, w, c], in units of 255. Throws DataError for an empty data set.
template <class = void>
Tensor<float> mean_image(const Dataset& dataset) {
  if (dataset.size() == 0) {
    throw DataError(
        Message("mean_image", "the data set has no samples").fact("dataset", dataset.name()));
  }
  Tensor<float> mean(dataset.image_shape());
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(mean.size()));
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const auto image = dataset.image(i);
    for (std::size_t p = 0; p < image.size(); ++p) sums[p] += image[p];
  }
  const double scale = 1 / (255.0 * static_cast<double>(dataset.size()));
  std::transform(sums.begin(), sums.end(), mean.data(),
                 [scale](std::uint64_t sum) { return static_cast<float>(double(sum) * scale); });
  return mean;
}

/// A table, a line for each class and one for all:
///
///     FashionMNIST: 60000 images of [28, 28, 1]
///     class        images    share  mean    deviation
///     T-shirt/top    6000   10.00%  0.3256  0.3507
[[gnu::cold]] inline std::string to_string(const DatasetStatistics& statistics) {
  std::size_t widest = 5;  // "class"
  for (const auto& one : statistics.classes) widest = std::max(widest, one.name.size());
  const auto padded = [](std::string text, std::size_t width) {
    text.resize(std::max(width, text.size()), ' ');
    return text;
  };
  const auto numbers = [](const std::vector<float>& values) {
    std::string text;
    for (const auto value : values) {
      char number[32];
      std::snprintf(number, sizeof number, "%s%.4f", text.empty() ? "" : " ", double(value));
      text += number;
    }
    return text;
  };
  const auto columns = 7 * static_cast<std::size_t>(statistics.image[2]) - 1;
  std::string table = statistics.name + ": " + std::to_string(statistics.count) + " images of " +
                      to_string(statistics.image) + "\n" + padded("class", widest) +
                      "   images    share  " + padded("mean", columns) + "  deviation\n";
  const auto line = [&](const std::string& name, std::int64_t count, double share,
                        const Normalization& channels) {
    char middle[64];
    std::snprintf(middle, sizeof middle, "  %7lld  %6.2f%%  ", static_cast<long long>(count),
                  100 * share);
    table += padded(name, widest) + middle;
    if (count > 0)
      table += padded(numbers(channels.mean), columns) + "  " + numbers(channels.deviation);
    while (table.back() == ' ') table.pop_back();
    table += '\n';
  };
  for (const auto& one : statistics.classes) line(one.name, one.count, one.share, one.channels);
  line("all", statistics.count, 1, statistics.channels);
  return table;
}

}  // namespace tinynet::inline TINYNET_ABI::data
