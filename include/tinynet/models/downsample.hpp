#pragma once

#include <tinynet/nn/batch_norm.hpp>
#include <tinynet/nn/conv2d.hpp>
#include <tinynet/nn/sequential.hpp>

namespace tinynet::inline TINYNET_ABI::models {

struct DownsampleOptions {
  Required<int> in, out;
  int stride = 1;
  nn::init::Init init = nn::init::kaiming_normal(0, nn::init::Init::Scale::fan_out);
};

/// The way past a residual block: a 1x1 convolution and its normalisation where stride or channels
/// change, else nothing, which hands on what it gets.
template <Scalar T>
nn::Sequential<T> downsample(const DownsampleOptions& o) {
  nn::Sequential<T> way;
  if (o.stride == 1 && o.in == o.out) return way;
  way.add(nn::Conv2d<T>(
      {.in = o.in, .out = o.out, .kernel = 1, .stride = o.stride, .bias = false, .init = o.init}));
  way.add(nn::BatchNorm2d<T>({.channels = o.out}));
  return way;
}

}  // namespace tinynet::inline TINYNET_ABI::models
