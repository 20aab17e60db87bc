#pragma once

#include <tinynet/ops/dropout.hpp>

namespace tinynet::inline TINYNET_ABI::nn {

/// Drops single elements in training, each with probability p. Behind linear layers; behind
/// convolutions use Dropout2d.
template <Scalar T>
struct Dropout {
  double p = 0.5;

  Variable<T> operator()(const Variable<T>& x, Context& ctx) { return ops::dropout(x, p, ctx); }
};

/// Drops whole channels of an image in training.
template <Scalar T>
struct Dropout2d {
  double p = 0.5;

  Variable<T> operator()(const Variable<T>& x, Context& ctx) { return ops::dropout2d(x, p, ctx); }
};

/// Drops whole samples in training: the last layer of a residual branch.
template <Scalar T>
struct DropPath {
  double p = 0.1;

  Variable<T> operator()(const Variable<T>& x, Context& ctx) { return ops::drop_path(x, p, ctx); }
};

}  // namespace tinynet::inline TINYNET_ABI::nn
