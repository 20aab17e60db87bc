#pragma once

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include <tinynet/core/config.hpp>

namespace tinynet::inline TINYNET_ABI {

/// Tensors whose shapes, types or indices do not fit an operation.
struct ShapeError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// A file that is missing, damaged or not what it should be; the message names file and byte.
struct DataError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A call at the wrong time: a parameter without values, a tape already walked, a loss that is NaN.
struct StateError : std::logic_error {
  using std::logic_error::logic_error;
};

/// Builds a message in the form every tinynet error has: what is wrong in one line, then facts, one
/// a line with aligned values, then the way out.
///
///     [conv2d] input has 32 channels, weight expects 16
///       input   [128, 16, 16, 32]   (n, h, w, ic)
///       weight  [64, 3, 3, 16]      (oc, kh, kw, ic)
///       in      body.3.conv1
///       hint: set Conv2dOptions::in to 32
///
/// Its functions are cold and never inlined: messages are written in many places and built in none
/// that matters, so they should cost neither compile time nor instruction cache.
class Message {
 public:
  [[gnu::cold, gnu::noinline]] Message(std::string_view where, const std::string& what) {
    text_ = "[" + std::string(where) + "] " + what;
  }

  /// Adds one fact; an empty value is left out (a path that is not known, say).
  [[gnu::cold, gnu::noinline]] Message& fact(const char* name, const std::string& value,
                                             const std::string& note = "") {
    if (value.empty()) return *this;
    text_ += "\n  ";
    text_ += padded(name, 8);
    text_ += note.empty() ? value : padded(value, 20) + note;
    return *this;
  }
  [[gnu::cold, gnu::noinline]] Message& fact(const char* name, const char* value,
                                             const std::string& note = "") {
    return fact(name, std::string(value), note);
  }
  [[gnu::cold, gnu::noinline]] Message& fact(const char* name, double value,
                                             const std::string& note = "") {
    char text[32];
    std::snprintf(text, sizeof text, "%g", value);
    return fact(name, std::string(text), note);
  }
  /// Integers, and types with a to_string of their own (Shape).
  template <class Value>
  requires(std::is_integral_v<Value> ||
           std::is_class_v<Value>) Message& fact(const char* name, const Value& value,
                                                 const std::string& note = "") {
    using std::to_string;
    return fact(name, std::string(to_string(value)), note);
  }
  [[gnu::cold, gnu::noinline]] Message& hint(const std::string& way_out) {
    text_ += "\n  hint: " + way_out;
    return *this;
  }
  operator const std::string&() const { return text_; }

 private:
  static std::string padded(std::string s, std::size_t width) {
    s.resize(std::max(s.size() + (s.size() < width ? 0 : 2), width), ' ');
    return s;
  }

  std::string text_;
};

}  // namespace tinynet::inline TINYNET_ABI
