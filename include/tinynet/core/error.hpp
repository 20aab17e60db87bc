#pragma once

#include <algorithm>
#include <concepts>
#include <cstdio>
#include <initializer_list>
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

/// Text for a message, put together only where an error is thrown: a string, a number, anything with
/// a to_string (Shape), or a list of those, `{"input has ", axes, " axes"}`. It refers to what it is
/// made of and owns nothing, so that a check costs its caller neither strings nor clean-up code.
class Text {
 public:
  class Piece {
   public:
    Piece() = default;
    Piece(std::string_view text) : kind_(Kind::text), object_(text.data()), length_(text.size()) {}
    Piece(const std::string& text) : Piece(std::string_view(text)) {}
    // Not inlined: 300 of them stand in a program that trains LeNet.
    [[gnu::noinline]] Piece(const char* text) : kind_(Kind::literal), object_(text) {}
    Piece(const char& letter) : kind_(Kind::text), object_(&letter), length_(1) {}
    Piece(std::signed_integral auto value) : kind_(Kind::integer), integer_(value) {}
    Piece(std::unsigned_integral auto value) : kind_(Kind::natural), natural_(value) {}
    Piece(std::floating_point auto value) : kind_(Kind::real), real_(value) {}
    template <class Value>
    requires std::is_class_v<Value> Piece(const Value& value)
        : kind_(Kind::object), object_(&value), show_(&show<Value>) {}

    [[gnu::cold, gnu::noinline]] void append_to(std::string& out) const {
      char number[32];
      if (kind_ == Kind::text) out.append(static_cast<const char*>(object_), length_);
      if (kind_ == Kind::literal) out += static_cast<const char*>(object_);
      if (kind_ == Kind::object) out += show_(object_);
      for (std::size_t i = 0; kind_ == Kind::list && i < length_; ++i) {
        static_cast<const Piece*>(object_)[i].append_to(out);
      }
      if (kind_ == Kind::integer) std::snprintf(number, sizeof number, "%lld", integer_);
      if (kind_ == Kind::natural) std::snprintf(number, sizeof number, "%llu", natural_);
      if (kind_ == Kind::real) std::snprintf(number, sizeof number, "%g", real_);
      if (kind_ == Kind::integer || kind_ == Kind::natural || kind_ == Kind::real) out += number;
    }

   private:
    friend class Text;
    enum class Kind { text, literal, integer, natural, real, object, list };
    Piece(Kind kind, const void* object, std::size_t length)
        : kind_(kind), object_(object), length_(length) {}
    template <class Value>
    static std::string show(const void* object) {
      return to_string(*static_cast<const Value*>(object));
    }

    Kind kind_ = Kind::literal;
    const void* object_ = "";
    union {
      std::size_t length_ = 0;
      long long integer_;
      unsigned long long natural_;
      double real_;
      std::string (*show_)(const void*);
    };
  };

  Text() = default;
  Text(const char* text) : one_(text) {}
  Text(const std::string& text) : one_(text) {}
  template <class Value>
  requires std::is_convertible_v<const Value&, Piece> Text(const Value& value) : one_(value) {}
  /// The list lives as long as the expression that it stands in.
  Text(std::initializer_list<Piece> pieces)
      : one_(Piece::Kind::list, pieces.begin(), pieces.size()) {}

  [[gnu::cold, gnu::noinline]] std::string string() const {
    std::string out;
    one_.append_to(out);
    return out;
  }

 private:
  friend std::string to_string(const Text& text) { return text.string(); }

  Piece one_;
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
  [[gnu::cold, gnu::noinline]] Message(std::string_view where, const Text& what) {
    text_ = Text({"[", where, "] ", what}).string();
  }

  /// Adds one fact; an empty value is left out (a path that is not known, say).
  [[gnu::cold, gnu::noinline]] Message& fact(const char* name, const Text& value) {
    return fact(name, value, {});
  }
  [[gnu::cold, gnu::noinline]] Message& fact(const char* name, const Text& value,
                                             const Text& note) {
    const auto shown = value.string(), remark = note.string();
    if (shown.empty()) return *this;
    text_ += "\n  ";
    text_ += padded(name, 8);
    text_ += remark.empty() ? shown : padded(shown, 20) + remark;
    return *this;
  }
  [[gnu::cold, gnu::noinline]] Message& hint(const Text& way_out) {
    text_ = Text({text_, "\n  hint: ", way_out}).string();
    return *this;
  }
  Message(const Message&) = default;
  Message& operator=(const Message&) = default;
  [[gnu::cold, gnu::noinline]] ~Message() {}
  operator const std::string&() const { return text_; }

 private:
  static std::string padded(std::string s, std::size_t width) {
    s.resize(std::max(s.size() + (s.size() < width ? 0 : 2), width), ' ');
    return s;
  }

  std::string text_;
};

}  // namespace tinynet::inline TINYNET_ABI
