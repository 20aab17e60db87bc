#pragma once

#include <memory>
#include <string>
#include <utility>

#include <tinynet/autograd/variable.hpp>
#include <tinynet/nn/clone.hpp>

namespace tinynet::inline TINYNET_ABI::nn {

/// Any layer that takes one variable and gives one, for containers: whatever can be called as
/// `layer(x, ctx)`. Lambdas are layers without members.
template <Scalar T>
class Layer {
 public:
  template <class L>
  requires(!std::is_same_v<std::remove_cvref_t<L>, Layer>) Layer(L layer)
      : held_(new Held<L>(std::move(layer))) {}

  Variable<T> operator()(const Variable<T>& x, Context& ctx) { return held_->run(x, ctx); }
  void members(Members& m) { held_->members(m); }
  /// The same layer without values of its own.
  Layer remake() const { return Layer(held_->remake()); }

 private:
  struct Anything {
    virtual ~Anything() = default;
    virtual Variable<T> run(const Variable<T>& x, Context& ctx) = 0;
    virtual void members(Members& m) = 0;
    virtual Anything* remake() const = 0;
  };
  template <class L>
  struct Held final : Anything {
    explicit Held(L l) : layer(std::move(l)) {}
    Variable<T> run(const Variable<T>& x, Context& ctx) override { return layer(x, ctx); }
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
auto run_named(const std::string& name, L& layer, const Variable<T>& x, Context& ctx) {
  const Context::Scope scope(ctx, name);
  return layer(x, ctx);
}

}  // namespace tinynet::inline TINYNET_ABI::nn
