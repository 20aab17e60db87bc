#pragma once

#include <memory>
#include <utility>

#include <tinynet/nn/layer.hpp>
#include <tinynet/ops/checkpoint.hpp>

namespace tinynet::inline TINYNET_ABI::nn {

/// A layer, or a whole part of a network, that the backward pass computes again instead of the tape
/// keeping its activations: see ops::checkpoint. Names of members are the layer's own, so that a file
/// can be read with and without.
///
///     nn::Sequential<T> body;
///     body.add(nn::Checkpoint<T>(models::BasicBlock<T>({.in = 64, .out = 64})));
template <Scalar T>
class Checkpoint {
 public:
  explicit Checkpoint(Layer<T> layer) : layer_(std::make_shared<Layer<T>>(std::move(layer))) {}
  Checkpoint(Checkpoint&&) noexcept = default;
  Checkpoint& operator=(Checkpoint&&) noexcept = default;

  Variable<T> operator()(Variable<T> x, Context& ctx) {
    return ops::checkpoint(
        [layer = layer_](Variable<T> in, Context& inner) { return (*layer)(std::move(in), inner); },
        std::move(x), ctx);
  }
  void members(Members& m) { layer_->members(m); }
  Checkpoint remake() const { return Checkpoint(layer_->remake()); }

 private:
  std::shared_ptr<Layer<T>>
      layer_;  // the tape's as well: a model may move before its backward pass
};

}  // namespace tinynet::inline TINYNET_ABI::nn
