#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <tinynet/core/error.hpp>
#include <tinynet/io/json.hpp>
#include <tinynet/io/utf8.hpp>

namespace tinynet::inline TINYNET_ABI::io {

/// A value may lie inside this many arrays and objects.
inline constexpr int max_json_depth = 64;

/// The recursive descent behind `parse_json`; each function consumes what its name says.
template <class Json>
class JsonParser {
 public:
  JsonParser(std::string_view text, const std::string& file, std::size_t first_byte)
      : text_(text), file_(file), first_byte_(first_byte) {}

  Json document() {
    Json result = value(0);
    skip_space();
    if (at_ < text_.size()) fail(at_, "more text follows the end of the value");
    return result;
  }

 private:
  Json value(int depth) {
    skip_space();
    if (depth > max_json_depth) {
      fail(at_, {"nesting is deeper than ", max_json_depth});
    }
    const auto begin = at_;
    const char first = peek();
    Json result = first == '{'   ? object(depth)
                  : first == '[' ? array(depth)
                  : first == '"' ? Json(string())
                  : first == 't' ? word("true", true)
                  : first == 'f' ? word("false", false)
                  : first == 'n' ? word("null", Json())
                                 : number();
    result.byte_ = first_byte_ + begin;
    return result;
  }

  Json object(int depth) {
    typename Json::Object members;
    std::set<std::string> seen;
    expect('{');
    if (accept('}')) return members;
    do {
      skip_space();
      const auto begin = at_;
      std::string key = string();
      if (!seen.insert(key).second) fail(begin, {"the name \"", key, "\" occurs twice"});
      expect(':');
      members.emplace_back(std::move(key), value(depth + 1));
    } while (accept(','));
    expect('}');
    return members;
  }

  Json array(int depth) {
    typename Json::Array elements;
    expect('[');
    if (accept(']')) return elements;
    do {
      elements.push_back(value(depth + 1));
    } while (accept(','));
    expect(']');
    return elements;
  }

  std::string string() {
    std::string result;
    const auto begin = at_;
    expect('"');
    while (peek() != '"') {
      if (at_ == text_.size()) fail(begin, "the string does not end");
      if (static_cast<unsigned char>(peek()) < 0x20) fail(at_, "control character in a string");
      if (peek() == '\\') {
        escape(result);
      } else {
        const auto length = utf8_length(text_, at_);
        if (length == 0) fail(at_, "invalid UTF-8");
        result += text_.substr(at_, length);
        at_ += length;
      }
    }
    ++at_;
    return result;
  }

  void escape(std::string& result) {
    const auto begin = at_++;
    const char letter = peek();
    ++at_;
    static constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
    if (const auto i = letters.find(letter); i != letters.npos) {
      result += meanings[i];
      return;
    }
    if (letter != 'u') fail(begin, "unknown escape in a string");
    std::uint32_t code = four_hex_digits();
    if (code >= 0xd800 && code < 0xe000) {  // half of a UTF-16 pair
      const bool has_second = code < 0xdc00 && text_.substr(at_, 2) == "\\u";
      if (has_second) at_ += 2;
      const std::uint32_t second = has_second ? four_hex_digits() : 0;
      if (second < 0xdc00 || second >= 0xe000) fail(begin, "half of a surrogate pair");
      code = 0x10000 + ((code - 0xd800) << 10) + (second - 0xdc00);
    }
    append_utf8(result, code);
  }

  std::uint32_t four_hex_digits() {
    std::uint32_t code = 0;
    const auto digits = text_.substr(at_, 4);
    const auto end = digits.data() + digits.size();
    if (digits.size() < 4 || std::from_chars(digits.data(), end, code, 16).ptr != end) {
      fail(at_, "\\u needs four hexadecimal digits");
    }
    at_ += 4;
    return code;
  }

  Json number() {
    const auto begin = at_;
    const auto digits = [&] {
      if (peek() < '0' || peek() > '9') fail(at_, {found(), ", expected a value"});
      while (peek() >= '0' && peek() <= '9') ++at_;
    };
    bool whole = true;
    if (peek() == '-') ++at_;
    if (peek() == '0') {
      ++at_;  // no digit may follow a leading zero
    } else {
      digits();
    }
    if (peek() == '.') whole = false, ++at_, digits();
    if (peek() == 'e' || peek() == 'E') {
      whole = false, ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      digits();
    }
    const auto first = text_.data() + begin, last = text_.data() + at_;
    std::int64_t integer = 0;
    if (whole && std::from_chars(first, last, integer).ec == std::errc{}) return integer;
    double real = 0;
    if (std::from_chars(first, last, real).ec != std::errc{}) {
      if (!is_tiny({first, last})) fail(begin, "the number does not fit a double");
      real = *first == '-' ? -0.0 : 0.0;
    }
    return real;
  }

  /// Whether a number that is beyond a double's range is so small, not so large.
  static bool is_tiny(std::string_view number) {
    const auto mantissa = number.substr(0, number.find_first_of("eE"));
    const auto point = mantissa.substr(0, mantissa.find('.')).size();
    const auto first = mantissa.find_first_of("123456789");
    std::int64_t exponent = 0;  // of ten
    if (mantissa.size() < number.size()) {
      auto text = number.substr(mantissa.size() + 1);
      if (text[0] == '+') text.remove_prefix(1);
      const auto end = text.data() + text.size();
      if (std::from_chars(text.data(), end, exponent).ec != std::errc{}) return text[0] == '-';
    }
    return exponent < static_cast<std::int64_t>(first) - static_cast<std::int64_t>(point);
  }

  Json word(std::string_view expected, Json meaning) {
    if (text_.substr(at_, expected.size()) != expected) fail(at_, {found(), ", expected a value"});
    at_ += expected.size();
    return meaning;
  }

  bool accept(char c) {
    skip_space();
    if (peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(at_, {found(), ", expected '", c, "'"});
  }
  void skip_space() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') ++at_;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  std::string found() const {
    if (at_ >= text_.size()) return "the text ends";
    const auto c = static_cast<unsigned char>(text_[at_]);
    if (c >= 0x20 && c < 0x7f) return std::string("found '") + text_[at_] + "'";
    return "found byte " + std::to_string(c);
  }
  [[noreturn]] void fail(std::size_t at, const Text& what) const {
    throw DataError(Message("json", what).fact("file", file_).fact("byte", first_byte_ + at));
  }

  std::string_view text_;
  std::string file_;
  std::size_t first_byte_;
  std::size_t at_ = 0;
};

/// Reads one JSON value, strictly, since headers come from strangers: UTF-8 is checked, an object
/// names a member once, nesting is bounded, and nothing but white space may follow the value.
/// Throws DataError with the byte where the text stops being JSON; `file` and `first_byte` say
/// where the text comes from.
template <class Value = Json>
Value parse_json(std::string_view text, const std::string& file = "", std::size_t first_byte = 0) {
  return JsonParser<Value>(text, file, first_byte).document();
}

}  // namespace tinynet::inline TINYNET_ABI::io
