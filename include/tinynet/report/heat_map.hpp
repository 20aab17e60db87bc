#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <tinynet/report/svg.hpp>
#include <tinynet/train/confusion.hpp>

namespace tinynet::inline TINYNET_ABI::report {

/// A confusion matrix as coloured cells: a row for each class, a column for what it was taken for.
/// The diagonal and the mistakes have colours of their own, and those of mistakes grow with the root
/// of their share: the few per cent that matter would be invisible beside a diagonal of 95.
inline std::string heat_map(const train::ConfusionMatrix& matrix,
                            const std::vector<std::string>& names) {
  const auto k = matrix.classes();
  const bool numbers = k <= 20, labels = k <= 40;
  const double cell = numbers ? 36 : labels ? 16 : std::max(4.0, 640.0 / static_cast<double>(k));
  std::size_t longest = 4;
  for (const auto& name : names) longest = std::max(longest, shortened(name, 14).size());
  const double letters = labels ? 6.2 * static_cast<double>(longest) : 0;
  const double left = 34 + letters, top = 30 + letters * 0.72;
  const double side = cell * static_cast<double>(k);
  Svg svg(left + side + letters * 0.55 + 8, top + side + 8, "confusion matrix");
  svg.text("label middle", 11, top + side / 2, "true class", -90);
  svg.text("label middle", left + side / 2, 13, "taken for");
  for (std::int32_t i = 0; i < k; ++i) {
    const double y = top + cell * i;
    const auto name = train::detail::class_name(names, i);
    if (labels) {
      svg.text("name end", left - 8, y + cell / 2 + 3.5, shortened(name, 14));
      svg.text("name", left + cell * i + cell / 2 + 2, top - 7, shortened(name, 14), -45);
    }
    for (std::int32_t j = 0; j < k; ++j) {
      const auto count = matrix(i, j);
      const double share = matrix.total(i) > 0
                               ? static_cast<double>(count) / static_cast<double>(matrix.total(i))
                               : 0;
      const double strength = i == j ? share : std::min(1.0, 1.5 * std::sqrt(share));
      const double x = left + cell * j, gap = cell > 8 ? 1.5 : 0.5;
      const auto tip = i == j ? name + ": " + std::to_string(count) + " of " +
                                    std::to_string(matrix.total(i)) + " recognised"
                              : name + " taken for " + train::detail::class_name(names, j) + ": " +
                                    std::to_string(count) + " (" + percent(share) + ")";
      if (count == 0) svg.rect("nothing", x, y, cell - gap, cell - gap);
      else svg.rect(i == j ? "right" : "wrong", x, y, cell - gap, cell - gap, tip, strength);
      if (numbers && count > 0) {
        const char* style = strength > 0.6 ? "count over" : "count";
        svg.text(style, x + (cell - gap) / 2, y + cell / 2 + 3, std::to_string(count));
      }
    }
  }
  return "<figure><figcaption>Confusion matrix</figcaption>\n" + svg.string() + "</figure>\n";
}

}  // namespace tinynet::inline TINYNET_ABI::report
