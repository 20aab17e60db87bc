#pragma once

#include <string>
#include <vector>

#include <tinynet/models/downsample.hpp>
#include <tinynet/models/widths.hpp>
#include <tinynet/nn/conv_norm_act.hpp>
#include <tinynet/nn/depthwise_conv2d.hpp>
#include <tinynet/nn/dropout.hpp>
#include <tinynet/nn/linear.hpp>
#include <tinynet/nn/sequential.hpp>
#include <tinynet/ops/activation.hpp>
#include <tinynet/ops/arithmetic.hpp>
#include <tinynet/ops/cast.hpp>
#include <tinynet/ops/pool2d.hpp>

namespace tinynet::inline TINYNET_ABI::models {

struct DepthwiseNetOptions {
  int channels = 3;                             // of the input
  std::vector<int> widths = {20, 40, 80, 160};  // channels of each stage
  int blocks = 2;        // of each stage; all stages but the first halve the image
  double dropout = 0.2;  // before the last layer
  int classes = 10;
  nn::init::Init init = nn::init::kaiming_normal(0, nn::init::Init::Scale::fan_out);
};

/// Two depthwise-separable convolutions past which the input is added.
template <Scalar T>
struct DepthwiseBlock {
  struct Options {
    Required<int> in, out;
    int stride = 1;
    nn::init::Init init = nn::init::kaiming_normal(0, nn::init::Init::Scale::fan_out);
  };
  Options options;
  nn::DepthwiseSeparableConv2d<T> conv1, conv2;
  nn::BatchNorm2d<T> bn1, bn2;
  nn::Sequential<T> downsample;

  explicit DepthwiseBlock(const Options& o)
      : options(o),
        conv1({.in = o.in, .out = o.out, .stride = o.stride, .init = o.init}),
        conv2({.in = o.out, .out = o.out, .init = o.init}),
        bn1({.channels = o.out}),
        bn2({.channels = o.out}),
        downsample(
            models::downsample<T>({.in = o.in, .out = o.out, .stride = o.stride, .init = o.init})) {
  }

  Variable<T> operator()(const Variable<T>& x, Context& ctx) {
    const auto y = nn::conv_norm_act_deferred<T>(conv1, bn1, x, ops::Relu{}, ctx);
    const auto past = nn::run_named("downsample", downsample, x, ctx);
    return nn::conv_norm_act<T>(conv2, bn2, y, past, ops::Relu{}, ctx);
  }
  void members(nn::Members& m) {
    m("conv1", conv1);
    m("bn1", bn1);
    m("conv2", conv2);
    m("bn2", bn2);
    m("downsample", downsample);
  }
};

/// A residual network of depthwise-separable convolutions. As it stands, for three channels, it has
/// 150,690 parameters and a receptive field of 109 pixels.
template <Scalar T>
struct DepthwiseNet {
  using P = param_t<T>;
  DepthwiseNetOptions options;
  nn::Conv2d<T> conv1;
  nn::BatchNorm2d<T> bn1;
  nn::Sequential<T> blocks;
  nn::Linear<P> fc;  // in float: logits should not be rounded to T

  explicit DepthwiseNet(DepthwiseNetOptions o = {})
      : options(o),
        conv1({.in = o.channels,
               .out = require_widths("DepthwiseNet", o.widths)[0],
               .padding = 1,
               .bias = false,
               .init = o.init}),
        bn1({.channels = o.widths[0]}),
        fc({.in = o.widths.back(), .out = o.classes}) {
    require_count("DepthwiseNet", "blocks", o.blocks);
    int in = o.widths[0];
    for (std::size_t stage = 0; stage < o.widths.size(); ++stage) {
      const int width = o.widths[stage];
      for (int i = 0; i < o.blocks; ++i) {
        const int stride = stage > 0 && i == 0 ? 2 : 1;
        blocks.add(DepthwiseBlock<T>({.in = in, .out = width, .stride = stride, .init = o.init}));
        in = width;
      }
    }
  }

  Variable<P> operator()(const Variable<T>& x, Context& ctx) {  // [n, h, w, c] -> [n, classes]
    auto stem = nn::conv_norm_act<T>(conv1, bn1, x, {}, ops::Relu{}, ctx);
    const auto y = nn::run_named("blocks", blocks, std::move(stem), ctx);
    const auto pooled = ops::cast<P>(ops::global_average_pool(y, ctx), ctx);
    return fc(ops::dropout(pooled, options.dropout, ctx), ctx);
  }
  void members(nn::Members& m) {
    m("conv1", conv1);
    m("bn1", bn1);
    m("blocks", blocks);
    m("fc", fc);
  }
};

}  // namespace tinynet::inline TINYNET_ABI::models
