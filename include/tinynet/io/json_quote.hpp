#pragma once

#include <string>
#include <string_view>

#include <tinynet/core/config.hpp>

namespace tinynet::inline TINYNET_ABI::io {

/// The string in quotes, with what JSON forbids inside escaped.
template <class = void>
std::string json_quote(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += {'\\', c};
    } else if (code < 0x20) {
      static constexpr char hex[] = "0123456789abcdef";
      result += {'\\', 'u', '0', '0', hex[code >> 4], hex[code & 15]};
    } else {
      result += c;
    }
  }
  return result + '"';
}

}  // namespace tinynet::inline TINYNET_ABI::io
