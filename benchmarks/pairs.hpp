#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <iterator>
#include <vector>

/// Two things that do the same, timed in turn, so that what else happens on the machine meets both.
namespace tinynet::benchmarks {

/// Seconds of one call, as the mean over enough calls to fill `least` seconds.
inline double seconds_of(const std::function<void()>& f, double least) {
  using clock = std::chrono::steady_clock;
  const auto start = clock::now();
  std::chrono::duration<double> elapsed{};
  int calls = 0;
  do {
    f();
    ++calls;
    elapsed = clock::now() - start;
  } while (elapsed.count() < least);
  return elapsed.count() / calls;
}

/// The least of three such times, for a first look; of one where a call takes long.
inline double quick_seconds(const std::function<void()>& f) {
  double least = seconds_of(f, 0.05);
  for (int i = 0; i < 2 && least < 0.3; ++i) least = std::min(least, seconds_of(f, 0.05));
  return least;
}

/// The value that a share of all others are below.
inline double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const double at = share * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const auto above = std::min(below + 1, values.size() - 1);
  return values[below] + (at - static_cast<double>(below)) * (values[above] - values[below]);
}

inline double geometric_mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += std::log(value);
  return std::exp(sum / static_cast<double>(values.size()));
}

struct PairTimes {
  double ours = 0, theirs = 0;                    // seconds of a call, medians
  double ratio = 0;                               // theirs over ours, median over pairs
  double lower_quartile = 0, upper_quartile = 0;  // of the ratio
};

/// `least`: seconds that the calls of one time fill.
inline PairTimes compare(const std::function<void()>& ours, const std::function<void()>& theirs,
                         int pairs, double least = 0.1) {
  ours(), theirs();
  std::vector<double> mine, other, ratios;
  for (int pair = 0; pair < pairs; ++pair) {
    mine.push_back(seconds_of(ours, least));
    other.push_back(seconds_of(theirs, least));
    ratios.push_back(other.back() / mine.back());
  }
  return {quantile(mine, 0.5), quantile(other, 0.5), quantile(ratios, 0.5), quantile(ratios, 0.25),
          quantile(ratios, 0.75)};
}

}  // namespace tinynet::benchmarks
