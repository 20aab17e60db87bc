#pragma once

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tinynet/report/html.hpp>

namespace tinynet::inline TINYNET_ABI::report {

/// A drawing that scales with the page. Colours and type come from the page's style sheet by class
/// (`report::style`), so that a chart is light or dark as the page is.
class Svg {
 public:
  /// `label` is what a screen reader says.
  Svg(double width, double height, std::string_view label) {
    text_ = "<svg viewBox=\"0 0 " + fixed(width, 0) + " " + fixed(height, 0) +
            "\" style=\"max-width:" + fixed(width * 1.25, 0) + "px\" role=\"img\" aria-label=\"" +
            escape(label) + "\">\n";
  }

  void line(const char* style, double x1, double y1, double x2, double y2) {
    element("<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", style, x1, y1,
            x2, y2);
  }
  /// A rectangle; `tip` appears where the mouse rests on it.
  void rect(const char* style, double x, double y, double width, double height,
            std::string_view tip = {}, double opacity = 1) {
    element("<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"", style, x, y,
            std::max(width, 0.0), std::max(height, 0.0));
    if (opacity < 1) element(" fill-opacity=\"%.3f\"", opacity);
    close("rect", tip);
  }
  /// A bar from the left whose right end is rounded.
  void bar(const char* style, double x, double y, double width, double height,
           std::string_view tip) {
    const double r = std::min({3.0, width, height / 2});
    element("<path class=\"%s\" d=\"M%.1f %.1fh%.1fa%.1f %.1f 0 0 1 %.1f %.1f", style, x, y,
            width - r, r, r, r, r);
    element("v%.1fa%.1f %.1f 0 0 1 %.1f %.1fh%.1fz\"", height - 2 * r, r, r, -r, r, r - width);
    close("path", tip);
  }
  void circle(const char* style, double x, double y, double radius, std::string_view tip = {}) {
    element("<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"", style, x, y, radius);
    close("circle", tip);
  }
  void polyline(const char* style, const std::vector<std::pair<double, double>>& points) {
    element("<polyline class=\"%s\" points=\"", style);
    for (const auto& [x, y] : points) element("%.1f,%.1f ", x, y);
    if (!points.empty()) text_.pop_back();
    text_ += "\"/>\n";
  }
  void text(const char* style, double x, double y, std::string_view text, double turned = 0) {
    element("<text class=\"%s\" x=\"%.1f\" y=\"%.1f\"", style, x, y);
    if (turned != 0) element(" transform=\"rotate(%.0f %.1f %.1f)\"", turned, x, y);
    text_ += ">" + escape(text) + "</text>\n";
  }

  std::string string() const { return text_ + "</svg>\n"; }

 private:
  template <class... Values>
  void element(const char* format, Values... values) {
    char buffer[256];
    std::snprintf(buffer, sizeof buffer, format, values...);
    text_ += buffer;
  }
  void close(const char* tag, std::string_view tip) {
    if (tip.empty()) {
      text_ += "/>\n";
    } else {
      text_ += "><title>" + escape(tip) + "</title></" + tag + ">\n";
    }
  }

  std::string text_;
};

/// The beginning of a text that is too long for its place, at most `letters` code points.
inline std::string shortened(std::string_view text, std::size_t letters) {
  std::size_t end = 0, before = 0;
  for (std::size_t count = 0; end < text.size(); ++count) {
    if (count == letters) return std::string(text.substr(0, before)) + "\u2026";
    if (count + 1 < letters) before = end + std::max<std::size_t>(io::utf8_length(text, end), 1);
    end += std::max<std::size_t>(io::utf8_length(text, end), 1);
  }
  return std::string(text);
}

}  // namespace tinynet::inline TINYNET_ABI::report
