#pragma once

#include <tinynet/autograd/record.hpp>
#include <tinynet/kernels/layout.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

/// The same values stored as `U`, rounded to nearest even, double to float first: `cast<float>(x, ctx)`
/// before a part of a bf16 network that wants float (a gate, the head). A cast to the same type costs
/// nothing.
template <Scalar U, Scalar T>
Variable<U> cast(const Variable<T>& x, Context& ctx) {
  if constexpr (std::is_same_v<U, T>) {
    return x;
  } else {
    Tensor<U> y(x.shape());
    kernels::convert<U, T>(y.span(), x.value().span());
    return record(ctx, {"cast"}, y, inputs(x), [](const auto& dy, auto dx) {
      if (!dx) return;
      Tensor<T> narrowed(dy.shape());
      kernels::convert<T, U>(narrowed.span(), dy.span());
      dx.pass(narrowed);
    });
  }
}

}  // namespace tinynet::inline TINYNET_ABI::ops
