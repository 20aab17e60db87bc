#pragma once

#include <string>
#include <vector>

#include <tinynet/models/downsample.hpp>
#include <tinynet/models/widths.hpp>
#include <tinynet/nn/batch_norm.hpp>
#include <tinynet/nn/checkpoint.hpp>
#include <tinynet/nn/conv2d.hpp>
#include <tinynet/nn/conv_norm_act.hpp>
#include <tinynet/nn/linear.hpp>
#include <tinynet/nn/residual.hpp>
#include <tinynet/nn/squeeze_excite.hpp>

namespace tinynet::inline TINYNET_ABI::models {

struct ResNetOptions {
  int channels = 3;                               // of the input
  std::vector<int> widths = {64, 128, 256, 512};  // channels of each stage
  std::vector<int> blocks = {2, 2, 2, 2};  // of each stage; all but the first halve the image
  int squeeze_excite = 0;                  // reduction of the gates, 0: none
  double drop_path = 0;
  bool checkpoint = false;  // of each block: 60 % of the memory, a third more time
  int classes = 10;
  nn::init::Init init = nn::init::kaiming_normal(0, nn::init::Init::Scale::fan_out);
};

/// Two 3x3 convolutions past which the input is added (He et al. 2015), with a squeeze-and-excite
/// gate before the sum on request. Names are torchvision's.
template <Scalar T>
struct BasicBlock {
  using P = param_t<T>;
  struct Options {
    Required<int> in, out;
    int stride = 1;
    int squeeze_excite = 0;
    double drop_path = 0;
    nn::init::Init init = nn::init::kaiming_normal(0, nn::init::Init::Scale::fan_out);
  };
  Options options;
  nn::Conv2d<T> conv1, conv2;
  nn::BatchNorm2d<T> bn1, bn2;
  std::vector<nn::SqueezeExcite<T>> se;  // one or none
  nn::Sequential<T> downsample;

  explicit BasicBlock(const Options& o)
      : options(o),
        conv1({.in = o.in,
               .out = o.out,
               .stride = o.stride,
               .padding = 1,
               .bias = false,
               .init = o.init}),
        conv2({.in = o.out, .out = o.out, .padding = 1, .bias = false, .init = o.init}),
        bn1({.channels = o.out}),
        bn2({.channels = o.out}),
        downsample(
            models::downsample<T>({.in = o.in, .out = o.out, .stride = o.stride, .init = o.init})) {
    if (o.squeeze_excite) {
      se.emplace_back(nn::SqueezeExciteOptions{
          .channels = o.out, .reduction = o.squeeze_excite, .bias = false});
    }
  }

  Variable<T> operator()(const Variable<T>& x, Context& ctx) {
    const ops::Relu relu;
    const bool drops = options.drop_path > 0 && ctx.is_training();
    const auto y = nn::conv_norm_act_deferred<T>(conv1, bn1, x, relu, ctx);
    const auto past = nn::run_named("downsample", downsample, x, ctx);
    if (se.empty() && !drops) return nn::conv_norm_act<T>(conv2, bn2, y, past, relu, ctx);
    const auto gate = [&](const Variable<P>& means, Context& inner) { return gates(means, inner); };
    return nn::conv_norm_gate_act<T>(conv2, bn2, gate, y, past, relu, ctx);
  }
  void members(nn::Members& m) {
    m("conv1", conv1);
    m("bn1", bn1);
    m("conv2", conv2);
    m("bn2", bn2);
    for (auto& each : se) m("se.0", each);
    m("downsample", downsample);
  }

 private:
  /// Squeeze-and-excite's gates, zero for dropped samples: from channel means [n, c].
  Variable<P> gates(const Variable<P>& means, Context& ctx) {
    const Context::Scope scope(ctx, "se.0");
    const auto gate =
        se.empty() ? Variable<P>(Tensor<P>::ones(means.shape())) : se[0].gate(means, ctx);
    return ops::drop_path(gate, options.drop_path, ctx);
  }
};

/// A residual network for small images: a 3x3 stem at full size, stages of BasicBlock, global
/// average pool, linear. With squeeze-and-excite it is an SE-ResNet.
template <Scalar T>
struct ResNet {
  using P = param_t<T>;
  ResNetOptions options;
  nn::Conv2d<T> conv1;
  nn::BatchNorm2d<T> bn1;
  std::vector<nn::Sequential<T>> stages;
  nn::Linear<P> fc;  // in float: logits should not be rounded to T

  explicit ResNet(ResNetOptions o = {})
      : options(o),
        conv1({.in = o.channels,
               .out = require_widths("ResNet", o.widths)[0],
               .padding = 1,
               .bias = false,
               .init = o.init}),
        bn1({.channels = o.widths[0]}),
        fc({.in = o.widths.back(), .out = o.classes}) {
    if (o.blocks.size() != o.widths.size()) {
      throw ShapeError(Message("ResNet", "needs a number of blocks for each stage")
                           .fact("widths", o.widths.size(), "stages")
                           .fact("blocks", o.blocks.size(), "numbers"));
    }
    int in = o.widths[0];
    for (std::size_t stage = 0; stage < o.widths.size(); ++stage) {
      auto& blocks = stages.emplace_back();
      require_count("ResNet", "each number of blocks", o.blocks[stage]);
      for (int i = 0; i < o.blocks[stage]; ++i) {
        nn::Layer<T> block = BasicBlock<T>({.in = in,
                                            .out = o.widths[stage],
                                            .stride = stage > 0 && i == 0 ? 2 : 1,
                                            .squeeze_excite = o.squeeze_excite,
                                            .drop_path = o.drop_path,
                                            .init = o.init});
        if (o.checkpoint) block = nn::Checkpoint<T>(std::move(block));
        blocks.add(std::move(block));
        in = o.widths[stage];
      }
    }
  }

  Variable<P> operator()(const Variable<T>& x, Context& ctx) {  // [n, h, w, c] -> [n, classes]
    auto y = nn::conv_norm_act<T>(conv1, bn1, x, {}, ops::Relu{}, ctx);
    for (std::size_t i = 0; i < stages.size(); ++i) {
      y = nn::run_named(stage_name(i), stages[i], std::move(y), ctx);
    }
    return fc(ops::cast<P>(ops::global_average_pool(y, ctx), ctx), ctx);
  }
  void members(nn::Members& m) {
    m("conv1", conv1);
    m("bn1", bn1);
    for (std::size_t i = 0; i < stages.size(); ++i) m(stage_name(i), stages[i]);
    m("fc", fc);
  }

 private:
  static std::string stage_name(std::size_t i) { return "layer" + std::to_string(i + 1); }
};

}  // namespace tinynet::inline TINYNET_ABI::models
