#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <tinynet/autograd/variable.hpp>
#include <tinynet/nn/clone.hpp>
#include <tinynet/ops/fused_activation.hpp>

namespace tinynet::inline TINYNET_ABI::nn {

/// A layer that can run together with the activation behind it: BatchNorm2d.
template <class L, class T>
concept Joins = requires(L& layer, const Tensor<double>& moments,
                         const ops::FusedActivation<T>& activation, Context& ctx) {
  layer.joins();
  layer.joined(Variable<T>(), moments, Variable<T>(), activation, ctx);
};

/// Any layer that takes one variable and gives one, for containers: whatever can be called as
/// `layer(x, ctx)`. Lambdas are layers without members.
template <Scalar T>
class Layer {
 public:
  template <class L>
  requires(!std::is_same_v<std::remove_cvref_t<L>, Layer>) Layer(L layer)
      : Layer(std::move(layer), std::true_type()) {}
  /// Not `joinable`: no layer that joins stands before this one, so that an activation is not compiled
  /// for it, which would be a tenth of the kernels of a network without batch normalisation.
  template <class L, bool joinable>
  requires(!std::is_same_v<std::remove_cvref_t<L>, Layer>)
      Layer(L layer, std::bool_constant<joinable>)
      : held_(new Held<L, joinable>(std::move(layer))) {}

  /// A variable that is moved in may be written over. `moments`, where given, becomes the sums that
  /// batch normalisation needs of the result if the layer forms them on the way, as Conv2d does.
  Variable<T> operator()(Variable<T> x, Context& ctx, Tensor<double>* moments = nullptr) {
    return held_->run(std::move(x), ctx, moments);
  }
  /// True for a batch normalisation, which `joined` runs together with the activation behind it.
  bool joins() const { return held_->joins(); }
  Variable<T> joined(Variable<T> x, const Tensor<double>& moments,
                     const std::optional<ops::FusedActivation<T>>& activation, Context& ctx) {
    return held_->joined(std::move(x), moments, activation, ctx);
  }
  /// The activation, where this layer is nothing else.
  std::optional<ops::FusedActivation<T>> activation() const { return held_->activation(); }
  void members(Members& m) { held_->members(m); }
  /// The same layer without values of its own.
  Layer remake() const { return Layer(held_->remake()); }

 private:
  struct Anything {
    virtual ~Anything() = default;
    virtual Variable<T> run(Variable<T> x, Context& ctx, Tensor<double>* moments) = 0;
    virtual bool joins() const { return false; }
    virtual Variable<T> joined(Variable<T> x, const Tensor<double>&,
                               const std::optional<ops::FusedActivation<T>>&, Context&) {
      return x;
    }
    virtual std::optional<ops::FusedActivation<T>> activation() const { return {}; }
    virtual void members(Members& m) = 0;
    virtual Anything* remake() const = 0;
  };
  template <class L, bool joinable>
  struct Held final : Anything {
    explicit Held(L l) : layer(std::move(l)) {}
    Variable<T> run(Variable<T> x, Context& ctx, Tensor<double>* moments) override {
      if constexpr (requires { layer(x, ctx, moments); }) return layer(x, ctx, moments);
      else return layer(std::move(x), ctx);
    }
    bool joins() const override {
      if constexpr (Joins<L, T>) return layer.joins();
      else return false;
    }
    Variable<T> joined(Variable<T> x, const Tensor<double>& moments,
                       const std::optional<ops::FusedActivation<T>>& f, Context& ctx) override {
      if constexpr (Joins<L, T>) {
        return layer.joined(std::move(x), moments, {}, f ? *f : ops::FusedActivation<T>(), ctx);
      } else {
        return x;
      }
    }
    std::optional<ops::FusedActivation<T>> activation() const override {
      if constexpr (joinable && requires { L::only_formula; }) {
        return ops::FusedActivation<T>(layer.formula);
      } else {
        return {};
      }
    }
    void members([[maybe_unused]] Members& m) override {
      if constexpr (HasMembers<L>) m.list(layer);
    }
    Anything* remake() const override { return new Held(nn::remake(layer)); }
    L layer;
  };
  explicit Layer(Anything* held) : held_(held) {}

  std::unique_ptr<Anything> held_;  // not from make_unique, which would compile one for every layer
};

/// Runs a part of a model under its name, which observers and errors inside then begin with. Layers
/// with parameters know their names; this tells the others in the part.
template <Scalar T, class L>
auto run_named(const std::string& name, L& layer, Variable<T> x, Context& ctx) {
  const Context::Scope scope(ctx, name);
  return layer(std::move(x), ctx);
}

}  // namespace tinynet::inline TINYNET_ABI::nn
