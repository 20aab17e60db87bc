#pragma once

#include <cstdint>
#include <numeric>
#include <span>
#include <utility>

#include <tinynet/core/random.hpp>

namespace tinynet::inline TINYNET_ABI::data {

/// Fills `order` with 0, 1, 2, ... in an order that depends on its length and the key alone
/// (Fisher-Yates; lengths up to 2^32).
inline void permutation(std::span<std::int64_t> order, random::Key key) {
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::size_t left = order.size(); left > 1; --left) {
    const auto other = random::below(key, left, static_cast<std::uint32_t>(left));
    std::swap(order[left - 1], order[other]);
  }
}

}  // namespace tinynet::inline TINYNET_ABI::data
