#pragma once

#include <string>
#include <vector>

#include <tinynet/nn/init.hpp>

/// Affine maps of channels, and the layers that are one (batch normalisation in evaluation) or can
/// take one in (convolutions), for `nn::fold_batch_norm`.
namespace tinynet::inline TINYNET_ABI::nn {

/// y[..., c] = x[..., c] * scale[c] + shift[c]
struct ChannelMap {
  std::vector<double> scale, shift;
};

/// Makes a layer with weights [c, ...] compute the map of its output: each weight is rounded once
/// more. A bias that was absent is added.
template <class P>
void absorb(const ChannelMap& map, Parameter<P>& weight, Parameter<P>& bias) {
  const auto channels = std::ssize(map.scale);
  auto weights = weight.value().clone();
  const auto size = weights.size() / channels;
  Tensor<P> shifts({channels});
  for (std::int64_t c = 0; c < channels; ++c) {
    const auto at = static_cast<std::size_t>(c);
    for (auto i = c * size; i < (c + 1) * size; ++i) {
      weights.data()[i] = static_cast<P>(weights.data()[i] * map.scale[at]);
    }
    const double before = bias ? bias.value().data()[c] : 0;
    shifts.data()[c] = static_cast<P>(before * map.scale[at] + map.shift[at]);
  }
  if (!bias) {
    bias = Parameter<P>({channels}, ParameterKind::bias, init::constant(0));
    bias.state()->name = layer_of(weight.name()) + ".bias";
  }
  weight.set(weights);
  bias.set(shifts);
}

/// A layer that is an affine map of channels in evaluation.
template <class L>
concept MapsChannels = requires(L& layer) {
  layer.channel_map();
  layer.folded = true;
};

/// A layer that can compute an affine map of its output channels as well.
template <class L>
concept AbsorbsChannelMap = requires(L& layer, const ChannelMap& map) {
  layer.absorb(map);
  layer.weight.value();
};

/// Such a layer of a model, its type forgotten.
struct AffineLayer {
  enum class Request { absorbs, map, absorb, fold };

  std::string name;    // dotted
  const void* weight;  // where its weights lie: what an observer sees of the layer
  void* layer;
  bool (*answer)(void* layer, Request, ChannelMap*);

  /// Whether it takes maps in; otherwise it is one.
  bool absorbs() const { return answer(layer, Request::absorbs, nullptr); }
  /// The map that it is.
  ChannelMap map() const {
    ChannelMap map;
    answer(layer, Request::map, &map);
    return map;
  }
  void absorb(ChannelMap map) const { answer(layer, Request::absorb, &map); }
  /// Makes it the identity.
  void fold() const { answer(layer, Request::fold, nullptr); }
};

namespace detail {
template <class L>
bool affine(void* object, AffineLayer::Request request, ChannelMap* map) {
  auto& layer = *static_cast<L*>(object);
  using Request = AffineLayer::Request;
  if constexpr (AbsorbsChannelMap<L>) {
    if (request == Request::absorb) layer.absorb(*map);
    return true;
  } else {
    if (request == Request::map) *map = layer.channel_map();
    if (request == Request::fold) layer.folded = true;
    return false;
  }
}
}  // namespace detail

}  // namespace tinynet::inline TINYNET_ABI::nn
