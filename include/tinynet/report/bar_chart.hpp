#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <tinynet/report/line_chart.hpp>

namespace tinynet::inline TINYNET_ABI::report {

/// One bar of a group.
struct Bar {
  double value = 0;                                        // 0 or more
  std::optional<std::pair<double, double>> interval = {};  // drawn as whiskers
  std::string text = "";                                   // at its end
  bool marked = false;                                     // in the colour of warnings
};

/// Horizontal bars, in groups with a name each; the axis begins at zero, as bars need.
struct BarChart {
  std::string title;
  Axis axis = {};
  std::vector<std::string> series = {};  // names of the bars in a group, for the legend
  struct Group {
    std::string name;
    std::vector<Bar> bars;
  };
  std::vector<Group> groups = {};
};

/// The chart as a figure with title, legend and SVG.
inline std::string to_html(const BarChart& chart) {
  std::size_t bars = 1, longest = 1, text = 0;
  std::vector<double> values{0};
  for (const auto& group : chart.groups) {
    bars = std::max(bars, group.bars.size());
    longest = std::max(longest, shortened(group.name, 18).size());
    for (const auto& bar : group.bars) {
      if (std::isfinite(bar.value)) values.push_back(bar.value);
      if (bar.interval) values.push_back(bar.interval->second);
      text = std::max(text, bar.text.size());
    }
  }
  const double thick = bars == 1 ? 13 : 9,
               group_height = static_cast<double>(bars) * (thick + 2) + 9;
  const double width = 520, left = 16 + 6.3 * static_cast<double>(longest),
               right = 14 + 6.2 * static_cast<double>(text), top = 4, bottom = 36,
               height = top + bottom + group_height * static_cast<double>(chart.groups.size());
  const detail::Scale to_x(chart.axis, values, left, width - right);

  Svg svg(width, height, chart.title);
  for (const auto tick : to_x.ticks()) {
    svg.line(tick == 0 ? "axis" : "grid", to_x(tick), top, to_x(tick), height - bottom);
    svg.text("tick middle", to_x(tick), height - bottom + 15, to_x.label(tick));
  }
  svg.text("label middle", (left + width - right) / 2, height - 4, chart.axis.label);
  double y = top + 4;
  for (const auto& group : chart.groups) {
    svg.text("name end", left - 8, y + (group_height - 9) / 2 + 3, shortened(group.name, 18));
    double at = y;
    for (std::size_t i = 0; i < group.bars.size(); ++i, at += thick + 2) {
      const auto& bar = group.bars[i];
      if (!std::isfinite(bar.value)) continue;
      const auto style = bar.marked ? std::string("bar marked") : detail::series_class("bar", i);
      const auto tip = group.name + (chart.series.size() > i ? ", " + chart.series[i] : "") + ": " +
                       (bar.text.empty() ? detail::value_text(chart.axis, bar.value) : bar.text);
      svg.bar(style.c_str(), to_x(0), at, to_x(bar.value) - to_x(0), thick, tip);
      double end = to_x(bar.value);
      if (bar.interval) {
        const double low = to_x(bar.interval->first), high = to_x(bar.interval->second);
        const double middle = at + thick / 2;
        svg.line("whisker", low, middle, high, middle);
        svg.line("whisker", low, middle - 3, low, middle + 3);
        svg.line("whisker", high, middle - 3, high, middle + 3);
        end = std::max(end, high);
      }
      svg.text("value", end + 6, at + thick / 2 + 3.5, bar.text);
    }
    y += group_height;
  }
  std::vector<Series> names;
  for (const auto& name : chart.series) names.push_back({name});
  return "<figure><figcaption>" + escape(chart.title) + "</figcaption>\n" + detail::legend(names) +
         svg.string() + "</figure>\n";
}

}  // namespace tinynet::inline TINYNET_ABI::report
