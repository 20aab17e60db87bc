#pragma once

#include <tinynet/core/simd.hpp>

namespace tinynet {

/// An activation for maps: squares what is positive. Not linear, and not zero for the shift, as padding must be.
struct Bump {
  static constexpr auto name = "bump";
  enum { input, output } static constexpr keeps = input;
  auto f(auto x) const { return simd::max(x, decltype(x)(0)) * x; }
  auto df(auto x) const { return 2 * simd::max(x, decltype(x)(0)); }
};

}  // namespace tinynet
