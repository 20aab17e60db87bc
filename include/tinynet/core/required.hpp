#pragma once

#include <utility>

#include <tinynet/core/config.hpp>

namespace tinynet::inline TINYNET_ABI {

/// An option that has no sensible default: an aggregate that leaves it out does not compile.
template <class Value>
class Required {
 public:
  constexpr Required(Value value) : value_(std::move(value)) {}
  constexpr operator const Value&() const { return value_; }

 private:
  Value value_;
};

}  // namespace tinynet::inline TINYNET_ABI
