#pragma once

#include <cstdint>

#include <tinynet/core/types.hpp>

/// What the products of tiles by AMX and by dot products have in common.
namespace tinynet::inline TINYNET_ABI::tiles {

/// One step of a sum: where the tiles of both operands begin, in elements from a base.
struct Step {
  std::int64_t a = 0, b = 0;
};

/// sums = or += the products of `count` steps (`sum_steps` of amx_product.hpp says how they lie).
using SumSteps = void (*)(float* sums, const bfloat16* a, const bfloat16* b, const Step* steps,
                          std::int64_t count, std::int64_t chunks, bool accumulate);

}  // namespace tinynet::inline TINYNET_ABI::tiles
