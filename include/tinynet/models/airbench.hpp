#pragma once

#include <string>
#include <vector>

#include <tinynet/models/whitening.hpp>
#include <tinynet/models/widths.hpp>
#include <tinynet/nn/conv_norm_act.hpp>
#include <tinynet/nn/layer.hpp>
#include <tinynet/nn/linear.hpp>
#include <tinynet/nn/squeeze_excite.hpp>
#include <tinynet/ops/cast.hpp>
#include <tinynet/ops/pool2d.hpp>
#include <tinynet/ops/reshape.hpp>

namespace tinynet::inline TINYNET_ABI::models {

enum class AirbenchActivation { gelu, silu };

struct AirbenchOptions {
  int channels = 3;                          // of the input
  int image = 32;                            // side of the input, pixels
  int whiten = 2;                            // side of the whitened patches, pixels
  bool whiten_same = false;                  // pads with zeros, so that the image keeps its size
  std::vector<int> widths = {64, 256, 256};  // channels of each group; a group halves the image
  int depth = 2;           // convolutions of a group, 2 or 3; with 3 the last two are a residual
  int squeeze_excite = 0;  // reduction of the gates on the residual, 0: none
  AirbenchActivation activation = AirbenchActivation::gelu;  // in the groups
  double norm_momentum = 0.4;  // the share of the new batch in the running estimate
  double norm_eps = 1e-12;
  nn::init::Init whiten_bias = nn::init::constant(0);
  nn::init::Init head = nn::init::pytorch_default();
  double head_scale = 1.0 / 9;  // of the logits
  int classes = 10;
};

/// Keller Jordan's networks for CIFAR-10 (arXiv:2404.00498), named after the accuracy that each is
/// trained to. github.com/KellerJordan/cifar10-airbench has the recipes.
inline AirbenchOptions airbench93() { return {.widths = {64, 128, 128}}; }
inline AirbenchOptions airbench94() { return {}; }
inline AirbenchOptions airbench95() { return {.widths = {128, 384, 384}}; }
inline AirbenchOptions airbench96() {
  return {.widths = {128, 384, 512}, .depth = 3, .norm_momentum = 0.1};
}
/// airbench94 as its recipe with Muon begins: a head of deviation 1, its logits over its width.
inline AirbenchOptions airbench94_muon() {
  return {.whiten_bias = nn::init::uniform(-std::sqrt(1.0 / 12), std::sqrt(1.0 / 12)),
          .head = nn::init::uniform(-std::sqrt(3.0), std::sqrt(3.0)),
          .head_scale = 1.0 / 256};
}

/// airbench96 with squeeze-and-excite gates, for grey images of 28 pixels: 32 channels of whitened
/// 4x4 patches, and as many groups. 2.5, 7.8 and 10.0 million parameters.
inline AirbenchOptions seair(std::vector<int> widths) {
  return {.channels = 1,
          .image = 28,
          .whiten = 4,
          .whiten_same = true,
          .widths = std::move(widths),
          .depth = 3,
          .squeeze_excite = 16};
}
inline AirbenchOptions seair_small() { return seair({64, 192, 256}); }
inline AirbenchOptions seair_medium() { return seair({128, 256, 512}); }
inline AirbenchOptions seair_large() { return seair({128, 384, 512}); }

/// conv, 2x2 max pool, norm, activation; then one more conv-norm-activation, or two whose sum with
/// what went in is activated. The convolutions begin as the identity on their first channels, the
/// scales of the norms stay 1.
template <Scalar T>
struct AirbenchGroup {
  struct Options {
    Required<int> in, out;
    const AirbenchOptions& net;
  };
  AirbenchActivation activation;
  std::vector<nn::Conv2d<T>> convs;
  std::vector<nn::BatchNorm2d<T>> norms;
  std::vector<nn::SqueezeExcite<T>> se;  // one or none

  explicit AirbenchGroup(const Options& o) : activation(o.net.activation) {
    for (int i = 0; i < o.net.depth; ++i) {
      convs.emplace_back(nn::Conv2dOptions{.in = i == 0 ? o.in : o.out,
                                           .out = o.out,
                                           .padding = 1,
                                           .bias = false,
                                           .init = nn::init::dirac()});
      norms.emplace_back(nn::BatchNorm2dOptions{
          .channels = o.out, .momentum = o.net.norm_momentum, .eps = o.net.norm_eps});
      norms.back().weight.state()->trainable = false;
    }
    if (o.net.squeeze_excite) {
      se.emplace_back(
          nn::SqueezeExciteOptions{.channels = o.out, .reduction = o.net.squeeze_excite});
      // sigmoid(2) is 0.88: the residual is there from the start.
      se[0].excite.bias.state()->initialize = nn::init::constant(2);
    }
  }

  Variable<T> operator()(const Variable<T>& x,
                         Context& ctx) {  // [n, h, w, in] -> [n, h/2, w/2, out]
    return activation == AirbenchActivation::silu ? run(x, ops::Silu{}, ctx)
                                                  : run(x, ops::Gelu{}, ctx);
  }
  void members(nn::Members& m) {
    for (std::size_t i = 0; i < convs.size(); ++i) {
      m("conv" + std::to_string(i + 1), convs[i]);
      m("norm" + std::to_string(i + 1), norms[i]);
    }
    for (auto& each : se) m("se.0", each);
  }

 private:
  template <class Activation>
  Variable<T> run(const Variable<T>& x, Activation f, Context& ctx) {
    auto pooled = ops::max_pool2d(convs[0](x, ctx), {}, ctx);
    const auto first = nn::norm_act<T>(norms[0], std::move(pooled), {}, {}, f, ctx);
    const auto y = nn::conv_norm_act<T>(convs[1], norms[1], first, {}, f, ctx);
    if (convs.size() == 2) return y;
    if (se.empty()) return nn::conv_norm_act<T>(convs[2], norms[2], y, first, f, ctx);
    const auto gate = [&](const Variable<param_t<T>>& means, Context& inner) {
      const Context::Scope scope(inner, "se.0");
      return se[0].gate(means, inner);
    };
    return nn::conv_norm_gate_act<T>(convs[2], norms[2], gate, y, first, f, ctx);
  }
};

/// Whitened patches, groups, the largest value of each channel, and a linear layer without bias.
/// Call `set_whitening` after nn::initialize; those weights are frozen. Names are the original's.
template <Scalar T>
struct Airbench {
  using P = param_t<T>;
  AirbenchOptions options;
  nn::Conv2d<P> whiten;  // in float: its taps reach 12, and neighbouring pixels nearly cancel
  std::vector<AirbenchGroup<T>> groups;
  nn::Linear<P> head;  // in float: logits should not be rounded to T

  explicit Airbench(AirbenchOptions o = {})
      : options(o),
        whiten({.in = o.channels, .out = 2 * o.whiten * o.whiten * o.channels, .kernel = o.whiten}),
        head({.in = require_widths("Airbench", o.widths).back(),
              .out = o.classes,
              .bias = false,
              .init = o.head}) {
    check();
    whiten.weight.state()->trainable = false;
    whiten.bias.state()->initialize = o.whiten_bias;
    int in = whiten.options.out;
    for (const int width : o.widths) {
      groups.emplace_back(typename AirbenchGroup<T>::Options{in, width, options});
      in = width;
    }
  }

  /// Makes the first convolution whiten images like these: some thousand of the training set,
  /// normalised and not augmented. A larger `eps` damps the directions in which they hardly vary.
  void set_whitening(const Tensor<P>& images, double eps = 5e-4) {  // [n, h, w, c]
    whiten.weight.set(whitening_filters(images, options.whiten, eps));
  }

  /// [n, h, w, c] -> [n, classes]. The images may be float in a bfloat16 network, and should be:
  /// whitening magnifies what rounding does to them thirtyfold.
  template <Scalar In>
  Variable<P> operator()(const Variable<In>& x, Context& ctx) {
    auto image = ops::cast<P>(x, ctx);
    if (options.whiten_same) {
      const std::int64_t before = (options.whiten - 1) / 2, after = options.whiten / 2;
      image = ops::pad(image, {before, after, before, after}, ctx);
    }
    auto y = ops::gelu(ops::cast<T>(whiten(image, ctx), ctx), ctx);
    for (std::size_t i = 0; i < groups.size(); ++i) y = nn::run_named(name(i), groups[i], y, ctx);
    const auto largest = ops::flatten(ops::max_pool2d(y, {.kernel = last_side()}, ctx), ctx);
    return ops::scale(head(ops::cast<P>(largest, ctx), ctx), options.head_scale, ctx);
  }
  void members(nn::Members& m) {
    m("whiten", whiten);
    for (std::size_t i = 0; i < groups.size(); ++i) m(name(i), groups[i]);
    m("head", head);
  }

 private:
  static std::string name(std::size_t group) { return "layers." + std::to_string(group + 1); }
  /// The side of the image that leaves the last group, pixels.
  int last_side() const {
    int side = options.whiten_same ? options.image : options.image - options.whiten + 1;
    for (std::size_t i = 0; i < groups.size(); ++i) side /= 2;
    return side;
  }
  void check() const {
    if (options.depth != 2 && options.depth != 3) {
      throw ShapeError(
          Message("Airbench", "a group has 2 or 3 convolutions").fact("depth", options.depth));
    }
    if (options.squeeze_excite && options.depth == 2) {
      throw ShapeError(
          Message("Airbench", "gates stand where something is added, which needs depth 3")
              .fact("squeeze_excite", options.squeeze_excite)
              .fact("depth", options.depth));
    }
  }
};

}  // namespace tinynet::inline TINYNET_ABI::models
