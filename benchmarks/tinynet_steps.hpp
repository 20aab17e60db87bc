#pragma once

#include "step.hpp"

/// Our side of versus_libtorch.
namespace tinynet::benchmarks {

/// In float and in bfloat16 with float weights; a forward pass of a model whose batch normalisation
/// is folded and which is frozen.
std::vector<Variant> variants(const Task& task);

}  // namespace tinynet::benchmarks
