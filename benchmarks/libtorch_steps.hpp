#pragma once

#include "step.hpp"

/// libtorch behind plain functions: its headers take longer to compile than all of tinynet's, so they
/// stay in one unit.
namespace libtorch {

void set_num_threads(int threads);

/// The file that float matrix products come from: ten times slower where it is the reference BLAS.
std::string blas();

/// Every setting that may be the fastest: float, and bfloat16 by autocast; images and weights in
/// planes or channels last; for a forward pass also with weights that are bfloat16 to begin with.
std::vector<tinynet::benchmarks::Variant> variants(const tinynet::benchmarks::Task& task);

}  // namespace libtorch
