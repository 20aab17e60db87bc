#pragma once

#include <cstdint>
#include <functional>

/// oneDNN's convolutions, behind a header that knows neither its types nor ours: whoever includes it
/// may be built for another instruction set.
namespace tinynet::onednn {

enum class Precision { float32, bfloat16 };

struct Geometry {
  std::int64_t n, h, w, ic;  // input
  std::int64_t oh, ow, oc;   // output
  std::int64_t kh, kw, stride, padding, dilation, groups;
};

/// The passes of one convolution on buffers of its own, each with whatever layout oneDNN likes best
/// and weights reordered before. The weight gradient includes what turns its result into plain fp32
/// [oc, ic, kh, kw], as ours is plain.
struct Convolution {
  std::function<void()> forward, backward_input, backward_weight;
};

/// How many threads oneDNN may use from here on.
void set_num_threads(int threads);

Convolution convolution(const Geometry& g, Precision precision);

}  // namespace tinynet::onednn
