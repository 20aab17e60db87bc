#pragma once

#include <string>

#include <tinynet/nn/init.hpp>

/// Affine maps of channels, and the layers that are one (batch normalisation in evaluation) or can
/// take one in (convolutions), for `nn::fold_batch_norm`.
namespace tinynet::inline TINYNET_ABI::nn {

/// y[..., c] = x[..., c] * scale[c] + shift[c]
struct ChannelMap {
  Tensor<double> scale, shift;  // [c]
};

/// Weights [c, ...] and bias of a layer that can compute an affine map of its channels c as well.
template <class P>
struct ChannelWeights {
  Parameter<P>* weight = nullptr;
  Parameter<P>* bias = nullptr;  // may be absent
};

/// Makes such a layer compute the map of its output: each weight is rounded once more. A bias that
/// was absent is added.
template <class P>
void absorb(const ChannelMap& map, const ChannelWeights<P>& into) {
  auto& [weight, bias] = into;
  const auto channels = map.scale.size();
  auto weights = weight->value().clone();
  const auto size = weights.size() / channels;
  Tensor<P> shifts({channels});
  for (std::int64_t c = 0; c < channels; ++c) {
    for (auto i = c * size; i < (c + 1) * size; ++i) {
      weights.data()[i] = static_cast<P>(weights.data()[i] * map.scale.data()[c]);
    }
    const double before = *bias ? bias->value().data()[c] : 0;
    shifts.data()[c] = static_cast<P>(before * map.scale.data()[c] + map.shift.data()[c]);
  }
  if (!*bias) {
    *bias = Parameter<P>({channels}, ParameterKind::bias, init::constant(0));
    bias->state()->name = Text({layer_of(weight->name()), ".bias"}).string();
  }
  weight->set(weights);
  bias->set(shifts);
}

/// A layer that is an affine map of channels in evaluation.
template <class L>
concept MapsChannels = requires(L& layer, const L& seen) {
  seen.channel_map();
  layer.folded = true;
  layer.weight.value();
};

/// A layer that can compute an affine map of its output channels as well.
template <class L>
concept AbsorbsChannelMap = requires(L& layer) {
  layer.channel_weights();
};

/// Such a layer of a model, its type forgotten. Pointers alone: every model lists its layers, few
/// programs fold them, and what only those call is compiled for them alone.
struct AffineLayer {
  std::string name = {};         // dotted
  const void* weight = nullptr;  // where its weights lie: what an observer sees of the layer
  // One that takes maps in, by the type of its parameters:
  ChannelWeights<float> single = {};
  ChannelWeights<double> twice = {};
  // One that is a map:
  const void* layer = nullptr;
  ChannelMap (*map)(const void* layer) = nullptr;
  bool* folded = nullptr;

  bool absorbs() const { return folded == nullptr; }
};

}  // namespace tinynet::inline TINYNET_ABI::nn
