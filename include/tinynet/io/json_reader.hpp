#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <tinynet/core/error.hpp>
#include <tinynet/io/in_order.hpp>
#include <tinynet/io/utf8.hpp>

namespace tinynet::inline TINYNET_ABI::io {

/// A value may lie inside this many arrays and objects.
inline constexpr int max_json_depth = 64;

/// A number as JSON writes it: whole where it has neither fraction nor exponent and fits.
struct JsonNumber {
  bool is_whole = false;
  std::int64_t whole = 0;
  double real = 0;
};

/// Reads JSON (RFC 8259) value by value, as the caller expects them; what nobody wants is skipped.
/// Strict, since files come from strangers: UTF-8 is checked, an object names a member once, nesting
/// is bounded. Each function consumes what its name says, and throws DataError with the byte where
/// there is something else; `what` is the value's part in the message.
template <class = void>
class JsonReaderOnDemand {
 public:
  /// `file`, `first_byte` (of the text, in the file) and `hint` are for messages.
  JsonReaderOnDemand(std::string_view text, const std::string& file, std::size_t first_byte,
                     const char* hint = "")
      : text_(text), file_(file), first_byte_(first_byte), hint_(hint) {}

  /// Calls `member(name)` for each member, which reads its value.
  template <class F>
  void object(const Text& what, F member) {
    const auto begin = open('{', what, "an object");
    std::vector<std::string> names;
    if (!accept('}')) {
      do {
        names.push_back(member_name());
        member(names.back());
      } while (accept(','));
      expect('}');
    }
    --depth_;
    const auto sorted = in_order<compare_text>(names);
    for (std::size_t i = 1; i < sorted.size(); ++i) {
      if (*sorted[i] == *sorted[i - 1]) fail_at_second(begin, *sorted[i]);
    }
  }

  /// Calls `element()` for each element, which reads it.
  template <class F>
  void array(const Text& what, F element) {
    open('[', what, "an array");
    if (!accept(']')) {
      do {
        element();
      } while (accept(','));
      expect(']');
    }
    --depth_;
  }

  std::string string(const Text& what) {
    const auto begin = begin_value();
    if (peek() != '"') fail_kind(begin, what, "a string");
    return quoted();
  }

  std::int64_t whole(const Text& what) {
    const auto begin = begin_value();
    if (!at_number()) fail_kind(begin, what, "a whole number");
    const auto value = number();
    if (!value.is_whole)
      fail(begin, {what.string(), " is a number, expected a whole number of 64 bits"});
    return value.whole;
  }

  JsonNumber number() {
    const auto begin = begin_value();
    const auto digits = [&] {
      if (peek() < '0' || peek() > '9') fail(at_, {found(), ", expected a value"});
      while (peek() >= '0' && peek() <= '9') ++at_;
    };
    JsonNumber result{.is_whole = true};
    if (peek() == '-') ++at_;
    if (peek() == '0') {
      ++at_;  // no digit may follow a leading zero
    } else {
      digits();
    }
    if (peek() == '.') result.is_whole = false, ++at_, digits();
    if (peek() == 'e' || peek() == 'E') {
      result.is_whole = false, ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      digits();
    }
    const auto first = text_.data() + begin, last = text_.data() + at_;
    if (result.is_whole && std::from_chars(first, last, result.whole).ec == std::errc{}) {
      result.real = static_cast<double>(result.whole);
      return result;
    }
    result.is_whole = false;
    if (std::from_chars(first, last, result.real).ec != std::errc{}) {
      if (!is_tiny({first, last})) fail(begin, "the number does not fit a double");
      result.real = *first == '-' ? -0.0 : 0.0;
    }
    return result;
  }

  /// "true", "false" or "null".
  std::string_view word() {
    const auto begin = begin_value();
    for (const std::string_view each : {"true", "false", "null"}) {
      if (text_.substr(at_, each.size()) != each) continue;
      at_ += each.size();
      return each;
    }
    fail(begin, {found(), ", expected a value"});
  }

  /// Any value; says of which kind it was, for messages.
  const char* skip() {
    const char first = next();
    if (first == '{') return object("", [&](const auto&) { skip(); }), "an object";
    if (first == '[') return array("", [&] { skip(); }), "an array";
    if (first == '"') return string(""), "a string";
    if (first != 't' && first != 'f' && first != 'n') {
      return number().is_whole ? "a whole number" : "a number";
    }
    return word() == "null" ? "null" : "a boolean";
  }

  /// Nothing but white space may follow.
  void end() {
    skip_space();
    if (at_ < text_.size()) fail(at_, "more text follows the end of the value");
  }

  /// The first character of the next value, '\0' at the end of the text; and its place in the file.
  char next() { return begin_value(), peek(); }
  std::size_t byte() { return first_byte_ + begin_value(); }

 private:
  std::size_t begin_value() {
    skip_space();
    if (depth_ > max_json_depth) fail(at_, {"nesting is deeper than ", max_json_depth});
    return at_;
  }

  std::size_t open(char bracket, const Text& what, const char* kind) {
    const auto begin = begin_value();
    if (peek() != bracket) fail_kind(begin, what, kind);
    ++at_;
    ++depth_;
    return begin;
  }

  std::string member_name() {
    skip_space();
    auto name = quoted();
    expect(':');
    return name;
  }

  [[noreturn]] void fail_kind(std::size_t begin, const Text& what, const char* expected) {
    const auto* const came = skip();
    fail(begin, {what.string(), " is ", came, ", expected ", expected});
  }

  /// Of an object that begins there and was read.
  [[noreturn]] void fail_at_second(std::size_t begin, const std::string& name) {
    at_ = begin + 1;
    for (bool seen = false;; accept(',')) {
      skip_space();
      const auto at = at_;
      if (member_name() == name && std::exchange(seen, true)) {
        fail(at, {"the name \"", name, "\" occurs twice"});
      }
      skip();
    }
  }

  bool at_number() const { return peek() == '-' || (peek() >= '0' && peek() <= '9'); }

  std::string quoted() {
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
    throw DataError(
        Message("json", what).fact("file", file_).fact("byte", first_byte_ + at).hint(hint_));
  }

  std::string_view text_;
  const std::string& file_;
  std::size_t first_byte_;
  const char* hint_;
  std::size_t at_ = 0;
  int depth_ = 0;
};
using JsonReader = JsonReaderOnDemand<>;

}  // namespace tinynet::inline TINYNET_ABI::io
