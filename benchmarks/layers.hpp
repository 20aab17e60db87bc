#pragma once

#include <tinynet/kernels/conv2d/contract.hpp>
#include <tinynet/tensor/tensor.hpp>

/// The convolutions that benchmarks time.
namespace tinynet::benchmarks {

/// A square window over square images, padded to keep their size; `oc` 0 stands for depthwise.
struct Layer {
  std::int64_t ic, oc, side, batch;
  std::int64_t kernel = 3, stride = 1;
  int in_v7 = 0;  // how often V7 has it

  kernels::Conv2dGeometry geometry() const {
    const auto padding = kernel / 2;
    const auto out = kernels::window_output(side, kernel, stride, padding, 1);
    return {.n = batch,
            .h = side,
            .w = side,
            .ic = ic,
            .oh = out,
            .ow = out,
            .oc = oc ? oc : ic,
            .kh = kernel,
            .kw = kernel,
            .stride = stride,
            .padding = padding,
            .groups = oc ? 1 : ic};
  }
};

/// Weights as a version of a pass wants them.
template <class Version, class P>
Buffer packed(const Version& version, const Tensor<P>& w, const kernels::Conv2dGeometry& g) {
  Buffer buffer(static_cast<std::size_t>(version.packed_bytes(g)));
  version.pack(buffer.data(), w.span(), g);
  return buffer;
}

/// The distinct layers of V7, a ResNet of blocks 2-3-3-2 and widths 64 to 512 for 28 x 28 images of one
/// channel.
inline constexpr Layer v7_layers[] = {
    {1, 64, 28, 256, 3, 1, 1},    {64, 64, 28, 256, 3, 1, 4},   {64, 128, 28, 256, 3, 2, 1},
    {64, 128, 28, 256, 1, 2, 1},  {128, 128, 14, 256, 3, 1, 5}, {128, 256, 14, 256, 3, 2, 1},
    {128, 256, 14, 256, 1, 2, 1}, {256, 256, 7, 256, 3, 1, 5},  {256, 512, 7, 256, 3, 2, 1},
    {256, 512, 7, 256, 1, 2, 1},  {512, 512, 4, 256, 3, 1, 3}};

}  // namespace tinynet::benchmarks
