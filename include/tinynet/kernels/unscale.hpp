#pragma once

#include <atomic>

#include <tinynet/kernels/update.hpp>

namespace tinynet::inline TINYNET_ABI::kernels {

namespace reference {

template <class P>
bool unscale(Range range, P* x, P factor) {
  bool finite = true;
  for (std::int64_t i = range.begin; i < range.end; ++i) {
    x[i] *= factor;
    finite &= std::isfinite(x[i]);
  }
  return finite;
}

}  // namespace reference

namespace vectors {

template <class P>
bool unscale(Range range, P* x, P factor) {
  // 0 * v is 0 for every finite v, else NaN, which no later addition removes.
  simd::batch<P> zero(P(0));
  for_lanes<P>(range.size(), [&](std::int64_t i, auto lanes) {
    const simd::batch<P> v = lanes.load(x + range.begin + i) * factor;
    lanes.store(x + range.begin + i, v);
    zero += v * P(0);
  });
  return simd::sum(zero) == 0;
}

}  // namespace vectors

/// x *= factor, and whether everything is finite then, in one pass.
template <class P>
bool unscale(std::span<P> x, P factor) {
  const auto run = simd_or_reference("unscale", vectors::unscale<P>, reference::unscale<P>);
  std::atomic<bool> finite = true;
  parallel_ranges(std::ssize(x), grain, [&](Range range) {
    if (!run(range, x.data(), factor)) finite = false;
  });
  return finite;
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
