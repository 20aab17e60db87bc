#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

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
class Message {
 public:
  Message(const std::string& where, const std::string& what) { text_ = "[" + where + "] " + what; }

  /// Adds one fact; an empty value is left out (a path that is not known, say).
  template <class Value>
  Message& fact(const std::string& name, const Value& value, const std::string& note = "") {
    std::ostringstream line;
    line << value;
    if (line.str().empty()) return *this;
    const auto pad = [](std::string s, std::size_t width) {
      return s.size() < width ? s + std::string(width - s.size(), ' ') : s + "  ";
    };
    text_ += "\n  " + pad(name, 8) + (note.empty() ? line.str() : pad(line.str(), 20) + note);
    return *this;
  }
  Message& hint(const std::string& way_out) {
    text_ += "\n  hint: " + way_out;
    return *this;
  }
  operator std::string() const { return text_; }

 private:
  std::string text_;
};

}  // namespace tinynet::inline TINYNET_ABI
