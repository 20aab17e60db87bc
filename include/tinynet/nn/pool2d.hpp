#pragma once

#include <tinynet/ops/pool2d.hpp>
#include <tinynet/ops/reshape.hpp>

namespace tinynet::inline TINYNET_ABI::nn {

/// The largest value of each window: [n, h, w, c] -> [n, oh, ow, c].
template <Scalar T>
struct MaxPool2d {
  ops::PoolWindow window = {};

  Variable<T> operator()(const Variable<T>& x, Context& ctx) {
    return ops::max_pool2d(x, window, ctx);
  }
};

/// The mean of each window: [n, h, w, c] -> [n, oh, ow, c].
template <Scalar T>
struct AvgPool2d {
  ops::PoolWindow window = {};

  Variable<T> operator()(const Variable<T>& x, Context& ctx) {
    return ops::avg_pool2d(x, window, ctx);
  }
};

/// The mean of each channel: [n, h, w, c] -> [n, c].
template <Scalar T>
struct GlobalAveragePool {
  Variable<T> operator()(const Variable<T>& x, Context& ctx) {
    return ops::global_average_pool(x, ctx);
  }
};

/// [n, ...] -> [n, features].
template <Scalar T>
struct Flatten {
  Variable<T> operator()(const Variable<T>& x, Context& ctx) { return ops::flatten(x, ctx); }
};

}  // namespace tinynet::inline TINYNET_ABI::nn
