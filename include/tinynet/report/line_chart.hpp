#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <tinynet/report/svg.hpp>
#include <tinynet/report/ticks.hpp>

namespace tinynet::inline TINYNET_ABI::report {

/// A line of a chart. Points that are not finite are left out, and the line breaks there.
struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points = {};  // (x, y), x ascending
  bool reference = false;                              // dashed and grey: what to compare with
};

struct Axis {
  std::string label = "";
  bool log = false;      // values of zero and less are left out
  bool whole = false;    // ticks at whole numbers alone
  bool percent = false;  // values are shares; their axis ends at 0 and 100 % at the latest
};

/// Lines over a common axis.
struct LineChart {
  std::string title;
  Axis x = {}, y = {};
  std::vector<Series> series = {};
};

namespace detail {

/// Maps values of an axis to a stretch of the drawing.
class Scale {
 public:
  Scale(const Axis& axis, std::vector<double> values, double from, double to)
      : axis_(axis), from_(from), to_(to) {
    if (values.empty()) values = {axis.log ? 1.0 : 0.0};
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    const double scale = axis.percent ? 100 : 1;
    ticks_ = axis.log ? log_ticks(*low, *high)
                      : linear_ticks(*low * scale, *high * scale, 5, axis.whole ? 1 : 0);
    for (auto& tick : ticks_.at) tick /= scale;
    if (axis.percent) {
      // Only a lone value near the end of the range makes ticks beyond it.
      std::erase_if(ticks_.at, [](double tick) { return tick < -1e-9 || tick > 1 + 1e-9; });
    }
    begin_ = ticks_.at.front();
    end_ = ticks_.at.back();
    if (end_ == begin_) end_ = begin_ + (axis.log ? begin_ : 1);
  }

  const std::vector<double>& ticks() const { return ticks_.at; }
  std::string label(double tick) const {
    return tick_label(ticks_, axis_.percent ? tick * 100 : tick) + (axis_.percent ? "%" : "");
  }
  /// A whole-number axis ends at its data: an epoch that was not trained has no place.
  void limit(double low, double high) {
    if (high <= low) return;
    begin_ = low;
    end_ = high;
    std::erase_if(ticks_.at, [=](double tick) { return tick < low - 1e-9 || tick > high + 1e-9; });
  }
  double operator()(double value) const {
    const double share = axis_.log ? std::log(value / begin_) / std::log(end_ / begin_)
                                   : (value - begin_) / (end_ - begin_);
    return from_ + share * (to_ - from_);
  }
  bool shows(double value) const { return std::isfinite(value) && (!axis_.log || value > 0); }

 private:
  Axis axis_;
  double from_, to_;
  Ticks ticks_;
  double begin_, end_;
};

inline std::string series_class(const char* kind, std::size_t index) {
  return std::string(kind) + " s" + std::to_string(index % 4);
}

/// A row of swatches with names; nothing for a single series, which the title names.
inline std::string legend(const std::vector<Series>& series) {
  if (series.size() < 2) return "";
  std::string html = "<div class=\"legend\">";
  std::size_t index = 0;
  for (const auto& one : series) {
    const auto style = one.reference ? "key reference" : series_class("key", index++);
    html += "<span><i class=\"" + style + "\"></i>" + escape(one.name) + "</span>";
  }
  return html + "</div>\n";
}

inline std::string value_text(const Axis& axis, double value) {
  char text[32];
  if (axis.percent) return percent(value, 2);
  std::snprintf(text, sizeof text, axis.whole ? "%.0f" : "%.4g", value);
  return text;
}

}  // namespace detail

/// The chart as a figure with title, legend and SVG.
inline std::string to_html(const LineChart& chart) {
  constexpr double width = 380, height = 240, left = 50, right = 14, top = 10, bottom = 40;
  std::vector<double> xs, ys;
  const auto shown = [&](double x, double y) {
    const auto positive = [](const Axis& axis, double v) { return !axis.log || v > 0; };
    return std::isfinite(x) && std::isfinite(y) && positive(chart.x, x) && positive(chart.y, y);
  };
  for (const auto& series : chart.series) {
    for (const auto& [x, y] : series.points) {
      if (!shown(x, y)) continue;
      xs.push_back(x);
      ys.push_back(y);
    }
  }
  detail::Scale to_x(chart.x, xs, left, width - right);
  const detail::Scale to_y(chart.y, ys, height - bottom, top);
  if (chart.x.whole && !xs.empty()) {
    const auto [low, high] = std::minmax_element(xs.begin(), xs.end());
    to_x.limit(*low, *high);
  }

  Svg svg(width, height, chart.title);
  for (const auto tick : to_y.ticks()) {
    svg.line("grid", left, to_y(tick), width - right, to_y(tick));
    svg.text("tick end", left - 7, to_y(tick) + 3.5, to_y.label(tick));
  }
  svg.line("axis", left, height - bottom, width - right, height - bottom);
  for (const auto tick : to_x.ticks()) {
    svg.line("axis", to_x(tick), height - bottom, to_x(tick), height - bottom + 4);
    svg.text("tick middle", to_x(tick), height - bottom + 16, to_x.label(tick));
  }
  svg.text("label middle", (left + width - right) / 2, height - 6, chart.x.label);
  if (!chart.y.label.empty()) {
    svg.text("label middle", 11, (top + height - bottom) / 2, chart.y.label, -90);
  }

  std::size_t index = 0;
  for (const auto& series : chart.series) {
    const auto number = series.reference ? 0 : index++;
    const auto line_class =
        series.reference ? std::string("line reference") : detail::series_class("line", number);
    std::vector<std::pair<double, double>> piece;
    const auto draw = [&] {
      if (piece.size() > 1) svg.polyline(line_class.c_str(), piece);
      piece.clear();
    };
    for (const auto& [x, y] : series.points) {
      if (!shown(x, y)) {
        draw();
        continue;
      }
      piece.emplace_back(to_x(x), to_y(y));
    }
    draw();
    if (series.reference) continue;
    const bool dots = series.points.size() <= 40;
    const auto dot_class = detail::series_class(dots ? "dot" : "ghost", number);
    for (const auto& [x, y] : series.points) {
      if (!shown(x, y)) continue;
      const auto tip = series.name + ": " + detail::value_text(chart.y, y) + " (" + chart.x.label +
                       " " + detail::value_text(chart.x, x) + ")";
      svg.circle(dot_class.c_str(), to_x(x), to_y(y), dots ? 3 : 5, tip);
    }
  }
  return "<figure><figcaption>" + escape(chart.title) + "</figcaption>\n" +
         detail::legend(chart.series) + svg.string() + "</figure>\n";
}

}  // namespace tinynet::inline TINYNET_ABI::report
