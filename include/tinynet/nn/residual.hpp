#pragma once

#include <tinynet/nn/sequential.hpp>
#include <tinynet/ops/arithmetic.hpp>
#include <tinynet/ops/dropout.hpp>

namespace tinynet::inline TINYNET_ABI::nn {

/// body(x) + shortcut(x) (He et al. 2015). An empty shortcut is the identity; with `drop_path` the
/// body is left out of a sample with that probability in training. What follows the sum (a relu, say)
/// is the caller's.
template <Scalar T>
struct Residual {
  Sequential<T> body, shortcut;
  double drop_path = 0;

  Variable<T> operator()(const Variable<T>& x, Context& ctx) {
    const auto branch = run_named("body", body, x, ctx);
    const auto past = run_named("shortcut", shortcut, x, ctx);
    return ops::add(ops::drop_path(branch, drop_path, ctx), past, ctx);
  }
  void members(Members& m) {
    m("body", body);
    m("shortcut", shortcut);
  }
  Residual remake() const { return {body.remake(), shortcut.remake(), drop_path}; }
};

}  // namespace tinynet::inline TINYNET_ABI::nn
