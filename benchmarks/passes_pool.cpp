// Pooling, gates and sums over pixels, against the speed of memory.
// Run: ./kernels --benchmark_filter='^memory.*pool'
#include <tinynet/kernels/avg_pool2d.hpp>
#include <tinynet/kernels/max_pool2d.hpp>
#include <tinynet/kernels/reduce.hpp>
#include <tinynet/kernels/scale_channels.hpp>

#include "passes.hpp"

namespace tinynet::benchmarks {

namespace {

using benchmark::State;

kernels::Pool2dGeometry pool(std::int64_t kernel, std::int64_t padding) {
  const auto out = (side + 2 * padding - kernel) / 2 + 1;
  return {.n = images,
          .h = side,
          .w = side,
          .c = channels,
          .oh = out,
          .ow = out,
          .kernel = kernel,
          .stride = 2,
          .padding = padding};
}

template <Scalar T>
void add_pool(const std::string& window, const kernels::Pool2dGeometry& g) {
  const Shape small{g.n, g.oh, g.ow, g.c};
  add_pass<T>("max_pool2d " + window + "/forward", image, [=](State& state) {
    const auto x = filled<T>(image);
    Tensor<T> y(small);
    Tensor<std::uint16_t> taps(small);
    measure_pass(state, bytes_of(x, y, taps),
                 [&] { kernels::max_pool2d_forward<T>(y.span(), taps.span(), x.span(), g); });
  });
  add_pass<T>("max_pool2d " + window + "/inference", image, [=](State& state) {
    const auto x = filled<T>(image);
    Tensor<T> y(small);
    measure_pass(state, bytes_of(x, y),
                 [&] { kernels::max_pool2d_forward<T>(y.span(), {}, x.span(), g); });
  });
  add_pass<T>("max_pool2d " + window + "/backward", image, [=](State& state) {
    auto x = filled<T>(image);
    auto y = filled<T>(small);
    Tensor<std::uint16_t> taps(small);
    kernels::max_pool2d_forward<T>(y.span(), taps.span(), std::as_const(x).span(), g);
    measure_pass(state, bytes_of(x, y, taps), [&] {
      kernels::max_pool2d_backward<T>(x.span(), Store::overwrite, std::as_const(y).span(),
                                      std::as_const(taps).span(), g);
    });
  });
  add_pass<T>("avg_pool2d " + window + "/forward", image, [=](State& state) {
    const auto x = filled<T>(image);
    Tensor<T> y(small);
    measure_pass(state, bytes_of(x, y),
                 [&] { kernels::avg_pool2d_forward<T>(y.span(), x.span(), g); });
  });
  add_pass<T>("avg_pool2d " + window + "/backward", image, [=](State& state) {
    Tensor<T> x(image);
    const auto y = filled<T>(small);
    measure_pass(state, bytes_of(x, y),
                 [&] { kernels::avg_pool2d_backward<T>(x.span(), Store::overwrite, y.span(), g); });
  });
}

template <Scalar T>
void add_channels() {
  using P = param_t<T>;
  const Shape pooled{images, channels};
  add_pass<T>("global_average_pool/forward", image, [=](State& state) {
    const auto x = filled<T>(image);
    Tensor<T> y(pooled);
    measure_pass(state, bytes_of(x, y), [&] {
      kernels::global_average_pool_forward<T>(y.span(), x.span(), side * side, channels);
    });
  });
  add_pass<T>("global_average_pool/backward", image, [=](State& state) {
    Tensor<T> x(image);
    const auto y = filled<T>(pooled);
    measure_pass(state, bytes_of(x, y), [&] {
      kernels::global_average_pool_backward<T>(x.span(), Store::overwrite, y.span(), side * side,
                                               channels);
    });
  });
  const kernels::ScaleChannelsGeometry g{images, side * side, channels};
  add_pass<T>("scale_channels/forward", image, [=](State& state) {
    Activations<T> o;
    const auto gate = filled<P>(pooled);
    measure_pass(state, bytes_of(o.x, o.y, gate), [&] {
      kernels::scale_channels<T>(o.y.span(), Store::overwrite, o.x.span(), gate.span(), g);
    });
  });
  add_pass<T>("scale_channels/backward gate", image, [=](State& state) {
    const auto x = filled<T>(image), dy = filled<T>(image);
    Tensor<P> dgate(pooled);
    measure_pass(state, bytes_of(x, dy, dgate), [&] {
      kernels::scale_channels_backward_gate<T>(dgate.span(), Store::overwrite, dy.span(), x.span(),
                                               g);
    });
  });
  add_pass<T>("sum_rows", image, [=](State& state) {
    const auto x = filled<T>(image);
    Tensor<P> sums({channels});
    measure_pass(state, bytes_of(x),
                 [&] { kernels::sum_rows<T>(sums.span(), Store::overwrite, x.span(), channels); });
  });
}

}  // namespace

void add_pool_passes() {
  add_pool<float>("2x2", pool(2, 0));
  add_pool<bfloat16>("2x2", pool(2, 0));
  add_pool<float>("3x3", pool(3, 1));
  add_pool<bfloat16>("3x3", pool(3, 1));
  add_channels<float>();
  add_channels<bfloat16>();
}

}  // namespace tinynet::benchmarks
