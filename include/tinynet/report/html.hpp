#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include <tinynet/core/config.hpp>
#include <tinynet/io/utf8.hpp>

namespace tinynet::inline TINYNET_ABI::report {

/// Text as it may stand in HTML and SVG, between tags and in quoted attributes. Bytes that are no
/// UTF-8 and control characters, which HTML forbids, become U+FFFD.
inline std::string escape(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    const auto length = io::utf8_length(text, i);
    const char c = text[i];
    const bool control =
        (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
    if (length == 0 || control) result += "\xef\xbf\xbd";
    else if (c == '&') result += "&amp;";
    else if (c == '<') result += "&lt;";
    else if (c == '>') result += "&gt;";
    else if (c == '"') result += "&quot;";
    else if (c == '\'') result += "&#39;";
    else result += text.substr(i, length);
    i += length == 0 ? 1 : length;
  }
  return result;
}

/// A number with that many digits behind the point.
inline std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

/// "91.2 %" of 0.912
inline std::string percent(double share, int digits = 1) {
  return fixed(100 * share, digits) + " %";
}

/// "1,234,567"
inline std::string grouped(std::int64_t value) {
  auto text = std::to_string(value);
  for (auto at = std::ssize(text) - 3; at > (value < 0 ? 1 : 0); at -= 3) {
    text.insert(static_cast<std::size_t>(at), ",");
  }
  return text;
}

/// "1.24 MB": decimal units, three figures.
inline std::string bytes(std::int64_t count) {
  const char* const units[] = {"bytes", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(count);
  int unit = 0;
  for (; value >= 999.5 && unit < 4; ++unit) value /= 1000;
  if (unit == 0) return std::to_string(count) + " bytes";
  return fixed(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0) + " " + units[unit];
}

}  // namespace tinynet::inline TINYNET_ABI::report
