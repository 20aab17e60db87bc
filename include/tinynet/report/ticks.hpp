#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include <tinynet/core/config.hpp>

namespace tinynet::inline TINYNET_ABI::report {

/// Places on an axis that people like to read, ascending. The first and the last are its ends.
struct Ticks {
  std::vector<double> at;
  int digits = 0;  // behind the point, to tell them apart; negative: write powers of ten
};

/// About `count` ticks at multiples of 1, 2 or 5 times a power of ten that hold [low, high] between
/// them (Heckbert, "Nice numbers for graph labels", 1990). `smallest` is the least step: 1 where only
/// whole numbers make sense.
inline Ticks linear_ticks(double low, double high, int count = 5, double smallest = 0) {
  if (!(high > low)) {  // one value: some room on both sides of it
    const double room = low == 0 ? 1 : std::abs(low) * 0.1;
    return linear_ticks(low - std::max(room, smallest), low + std::max(room, smallest), count,
                        smallest);
  }
  const double rough = std::max((high - low) / std::max(count - 1, 1), smallest);
  const double power = std::pow(10, std::floor(std::log10(rough) + 1e-9));
  const double leading = rough / power;
  double step = power * (leading < 1.5 ? 1 : leading < 3 ? 2 : leading < 7 ? 5 : 10);
  step = std::max(step, smallest);
  Ticks ticks;
  ticks.digits = std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9)));
  const double slack = 1e-9;  // a bound that is a tick but for rounding needs no other beyond it
  const auto first = static_cast<long long>(std::floor(low / step + slack));
  const auto last = static_cast<long long>(std::ceil(high / step - slack));
  for (auto i = first; i <= last; ++i) ticks.at.push_back(static_cast<double>(i) * step);
  return ticks;
}

/// Ticks for a logarithmic axis: powers of ten, with 2 and 5 times them where there are few. Both
/// bounds must be positive.
inline Ticks log_ticks(double low, double high) {
  const auto exponent = [](double x, auto round) { return static_cast<int>(round(std::log10(x))); };
  const int decades = exponent(high, [](double x) { return std::ceil(x - 1e-9); }) -
                      exponent(low, [](double x) { return std::floor(x + 1e-9); });
  std::vector<double> leading{1};
  if (decades <= 3) leading = {1, 2, 5};
  const int step = std::max(1, decades / 6);
  Ticks all;
  const int first = exponent(low, [](double x) { return std::floor(x + 1e-9); });
  for (int e = first; e <= first + decades + step; e += step) {
    for (const double digit : leading) all.at.push_back(digit * std::pow(10, e));
  }
  // The largest tick that is no larger than low, the smallest that is no smaller than high.
  const auto& at = all.at;
  auto begin = std::upper_bound(at.begin(), at.end(), low * (1 + 1e-9));
  if (begin != at.begin()) --begin;
  auto end = std::lower_bound(begin, at.end(), high * (1 - 1e-9));
  if (end != at.end()) ++end;
  return {{begin, end}, -1};
}

/// The text beside a tick.
inline std::string tick_label(const Ticks& ticks, double value) {
  char text[32];
  const bool tiny = ticks.digits > 4 || (ticks.digits < 0 && std::abs(value) < 1e-3);
  const bool large = std::abs(value) >= 1e6;
  if (value != 0 && (tiny || large)) {
    // Where digits follow the point, as many figures as tell it from its neighbours.
    const auto power = static_cast<int>(std::floor(std::log10(std::abs(value)) + 1e-9));
    const int figures = ticks.digits > 0 ? std::clamp(ticks.digits + 1 + power, 3, 12) : 3;
    std::snprintf(text, sizeof text, "%.*g", figures, value);
    // 2e-05 is 2e-5
    std::string short_text = text;
    const auto e = short_text.find('e');
    if (e != std::string::npos) {
      if (short_text[e + 1] == '+') short_text.erase(e + 1, 1);
      const auto zeros = e + 1 + (short_text[e + 1] == '-');
      while (zeros + 1 < short_text.size() && short_text[zeros] == '0') short_text.erase(zeros, 1);
    }
    return short_text;
  }
  if (ticks.digits < 0) {
    std::snprintf(text, sizeof text, "%g", value);
  } else {
    std::snprintf(text, sizeof text, "%.*f", std::min(ticks.digits, 8), value == 0 ? 0.0 : value);
  }
  return text;
}

}  // namespace tinynet::inline TINYNET_ABI::report
