#pragma once

#include <functional>

#include <tinynet/kernels/conv2d/contract.hpp>

/// oneDNN's convolutions, behind a header of their own.
namespace tinynet::onednn {

enum class Precision { float32, bfloat16 };

/// The passes of one convolution on buffers of its own, each with whatever layout oneDNN likes best
/// and weights reordered before. The weight gradient includes what turns its result into plain fp32
/// [oc, ic, kh, kw], as ours is plain.
struct Convolution {
  std::function<void()> forward, backward_input, backward_weight;
};

Convolution convolution(const kernels::Conv2dGeometry& g, Precision precision);

}  // namespace tinynet::onednn
