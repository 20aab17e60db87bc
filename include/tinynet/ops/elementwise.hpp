#pragma once

#include <tinynet/autograd/record.hpp>
#include <tinynet/kernels/elementwise.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

/// What the derivative of an elementwise formula is written in, and hence what the tape keeps.
enum class Keeps { input, output };

/// Turns a formula into an op. A formula is a struct with
///
///   name          for observers and errors
///   keeps         Keeps::input or Keeps::output
///   f(auto x)     the value; x is a scalar or a batch
///   df(auto k)    the derivative, from what is kept
///
/// and may have members with defaults: `leaky_relu(x, {.slope = 0.1f}, ctx)`.
template <class Formula>
struct Elementwise {
  /// Same shape as x. Written over x where that is moved in, nobody else holds it and no derivative
  /// reads it: `relu(std::move(x), ctx)`.
  template <Scalar T>
  Variable<T> operator()(Variable<T> x, Context& ctx) const {
    return (*this)(std::move(x), Formula{}, ctx);
  }

  template <Scalar T>
  [[gnu::noinline]] Variable<T> operator()(Variable<T> x, Formula formula, Context& ctx) const {
    const bool read_later = ctx.tape && Formula::keeps == Keeps::input;
    auto y = !read_later && x.value().unique() ? x.value() : Tensor<T>(x.shape());
    kernels::transform(
        y.span(), Store::overwrite, [formula](auto v) { return formula.f(v); },
        std::as_const(x.value()).span());
    const auto kept = Formula::keeps == Keeps::input ? x.value() : y;
    return record(ctx, {Formula::name}, y, inputs(x), [formula, kept](auto& dy, auto dx) {
      if (!dx) return;
      const auto to = dx.open_over(dy);
      kernels::transform(
          to.span, to.store, [formula](auto g, auto k) { return g * formula.df(k); },
          std::as_const(dy).span(), kept.span());
    });
  }
};

}  // namespace tinynet::inline TINYNET_ABI::ops
