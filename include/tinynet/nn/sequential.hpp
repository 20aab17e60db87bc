#pragma once

#include <string>
#include <utility>

#include <tinynet/core/list.hpp>
#include <tinynet/nn/layer.hpp>

namespace tinynet::inline TINYNET_ABI::nn {

/// Layers one after another, named "0", "1", ... or as `add` says. A convolution, BatchNorm2d and an
/// activation that follow one another run joined, without passes over memory between them, unless
/// Context::fuse is off; names and parameters stay as they are.
///
///     nn::Sequential<T> body(nn::Conv2d<T>({.in = 1, .out = 32, .padding = 1}), nn::Relu<T>());
///     body.add("pool", nn::MaxPool2d<T>());
template <Scalar T>
struct Sequential {
  List<std::pair<std::string, Layer<T>>> layers;

  Sequential() = default;
  Sequential(Sequential&&) = default;
  Sequential& operator=(Sequential&&) = default;
  template <class... L>
  requires(sizeof...(L) > 0 && !(std::is_same_v<std::remove_cvref_t<L>, Sequential> ||
                                 ...)) explicit Sequential(L&&... each) {
    // Where none of them joins, none has one that does before it.
    constexpr bool joinable = (may_join<std::remove_cvref_t<L>> || ...);
    (add(erased<joinable>(std::forward<L>(each))), ...);
  }

  /// Appends a layer and returns this, for chains.
  Sequential& add(Layer<T> layer) { return add(std::to_string(layers.size()), std::move(layer)); }
  Sequential& add(std::string name, Layer<T> layer) {
    layers.push_back({std::move(name), std::move(layer)});
    return *this;
  }

  Variable<T> operator()(Variable<T> x, Context& ctx) {
    Tensor<double>
        moments;  // of x, where a convolution formed them for the normalisation behind it
    for (std::size_t i = 0; i < layers.size(); ++i) {
      auto& [name, layer] = layers[i];
      const Context::Scope scope(ctx, name);
      if (ctx.fuse && layer.joins()) {
        const auto next = i + 1 < layers.size() ? layers[i + 1].second.activation() : std::nullopt;
        x = layer.joined(std::move(x), std::exchange(moments, {}), next, ctx);
        i += next.has_value();
        continue;
      }
      const bool wanted =
          ctx.fuse && ctx.is_training() && i + 1 < layers.size() && layers[i + 1].second.joins();
      moments = {};
      x = layer(std::move(x), ctx, wanted ? &moments : nullptr);
    }
    return x;
  }
  void members(Members& m) {
    for (auto& [name, layer] : layers) m(name, layer);
  }
  Sequential remake() const {
    Sequential made;
    for (const auto& [name, layer] : layers) made.add(name, layer.remake());
    return made;
  }

 private:
  template <class L>
  static constexpr bool may_join = std::is_same_v<L, Layer<T>> || Joins<L, T>;

  template <bool joinable, class L>
  static Layer<T> erased(L&& layer) {
    if constexpr (std::is_same_v<std::remove_cvref_t<L>, Layer<T>>) return std::move(layer);
    else return Layer<T>(std::forward<L>(layer), std::bool_constant<joinable>());
  }
};

}  // namespace tinynet::inline TINYNET_ABI::nn
