#pragma once

#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <tinynet/core/config.hpp>
#include <tinynet/io/json_quote.hpp>

namespace tinynet::inline TINYNET_ABI::io {

/// A JSON value (RFC 8259). `parse_json` reads one.
template <class = void>
class JsonOnDemand {
 public:
  using Array = std::vector<JsonOnDemand>;
  using Object = std::vector<std::pair<std::string, JsonOnDemand>>;  // in the order of the text

  JsonOnDemand() = default;  // null
  JsonOnDemand(bool value) : value_(value) {}
  template <std::integral Integer>
  JsonOnDemand(Integer value) : value_(static_cast<std::int64_t>(value)) {}
  JsonOnDemand(double value) : value_(value) {}
  JsonOnDemand(std::string value) : value_(std::move(value)) {}
  JsonOnDemand(const char* value) : value_(std::string(value)) {}
  JsonOnDemand(Array value) : value_(std::move(value)) {}
  JsonOnDemand(Object value) : value_(std::move(value)) {}

  /// The text of the value, without white space; infinities and NaN, which JSON lacks, as null.
  std::string dump() const;

  /// The value as bool, int64_t, double, std::string, Array or Object; nullptr if it is none.
  /// A number without fraction and exponent that fits is an int64_t, any other a double.
  template <class T>
  const T* as() const {
    return std::get_if<T>(&value_);
  }
  /// A number of either kind.
  std::optional<double> number() const {
    if (const auto* whole = as<std::int64_t>()) return static_cast<double>(*whole);
    if (const auto* real = as<double>()) return *real;
    return std::nullopt;
  }
  /// The member of an object; nullptr if this is no object or has no such member.
  const JsonOnDemand* find(std::string_view key) const {
    if (const auto* object = as<Object>()) {
      for (const auto& [name, value] : *object) {
        if (name == key) return &value;
      }
    }
    return nullptr;
  }
  /// "a string", "an object" and so on, for messages.
  const char* kind() const {
    static constexpr std::array names{"null",     "a boolean", "a whole number", "a number",
                                      "a string", "an array",  "an object"};
    return names[value_.index()];
  }
  /// Where the value begins, counted from the start of the file that was named to `parse_json`.
  std::size_t byte() const { return byte_; }

 private:
  template <class>
  friend class JsonParser;

  std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, Array, Object> value_;
  std::size_t byte_ = 0;
};
using Json = JsonOnDemand<>;

template <class U>
std::string JsonOnDemand<U>::dump() const {
  if (const auto* text = as<std::string>()) return json_quote(*text);
  if (const auto* boolean = as<bool>()) return *boolean ? "true" : "false";
  if (const auto* whole = as<std::int64_t>()) return std::to_string(*whole);
  if (const auto* real = as<double>(); real && std::isfinite(*real)) {
    std::array<char, 32> digits;  // the shortest text that reads back as the same double
    return {digits.data(), std::to_chars(digits.begin(), digits.end(), *real).ptr};
  }
  std::string result;
  const auto comma = [&] { return result.empty() ? "" : ","; };
  if (const auto* array = as<Array>()) {
    for (const auto& element : *array) result += comma() + element.dump();
    return "[" + result + "]";
  }
  if (const auto* object = as<Object>()) {
    for (const auto& [key, value] : *object) {
      result += comma() + json_quote(key) + ":" + value.dump();
    }
    return "{" + result + "}";
  }
  return "null";
}

}  // namespace tinynet::inline TINYNET_ABI::io
