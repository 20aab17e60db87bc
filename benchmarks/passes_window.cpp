// Convolutions with so few products that memory bounds them, against its speed: depthwise ones, and
// windows of one pixel over few channels.
// Run: ./kernels --benchmark_filter='^memory.*conv2d'
#include <tinynet/kernels/conv2d.hpp>
#include <tinynet/kernels/depthwise_conv2d.hpp>

#include "layers.hpp"
#include "passes.hpp"

namespace tinynet::benchmarks {

namespace {

using benchmark::State;

/// The operands of both passes; each row has its own.
template <Scalar T>
struct Images {
  kernels::Conv2dGeometry g;
  Tensor<T> x = filled<T>({g.n, g.h, g.w, g.ic}), y = filled<T>({g.n, g.oh, g.ow, g.oc});
  Tensor<T> dx = Tensor<T>(x.shape());
  Tensor<param_t<T>> w = filled<param_t<T>>({g.oc, g.kh, g.kw, g.ic / g.groups});
  Tensor<param_t<T>> dw = Tensor<param_t<T>>(w.shape());

  auto input() const { return x.span(); }
  auto gradient() const { return y.span(); }
  auto weights() const { return w.span(); }
};

std::string window(const Layer& layer) {
  const auto k = std::to_string(layer.kernel);
  return k + "x" + k + (layer.stride > 1 ? "/" + std::to_string(layer.stride) : "");
}

template <Scalar T>
void add_depthwise(const Layer& layer) {
  const auto g = layer.geometry();
  const auto name = "depthwise_conv2d " + window(layer);
  add_pass<T>(name + "/forward", {g.n, g.h, g.w, g.ic}, [=](State& state) {
    Images<T> o{g};
    measure_pass(state, bytes_of(o.x, o.y), [&] {
      kernels::depthwise_forward<T>(g).run(o.y.span(), o.input(), o.weights(), {}, {}, g);
    });
  });
  add_pass<T>(name + "/gradients", {g.n, g.h, g.w, g.ic}, [=](State& state) {
    Images<T> o{g};
    measure_pass(state, bytes_of(o.x, o.y, o.dx), [&] {
      kernels::depthwise_backward<T>(g).run(o.dx.span(), Store::overwrite, o.dw.span(),
                                            Store::overwrite, o.gradient(), o.input(), {},
                                            o.weights(), g);
    });
  });
}

template <Scalar T>
void add_conv2d(const Layer& layer) {
  const auto g = layer.geometry();
  const auto name = "conv2d " + window(layer) + " to " + std::to_string(g.oc);
  add_pass<T>(name + "/forward", {g.n, g.h, g.w, g.ic}, [=](State& state) {
    Images<T> o{g};
    const auto& version = kernels::conv2d_forward<T>(g);
    const auto weights = packed(version, o.w, g);
    measure_pass(state, bytes_of(o.x, o.y),
                 [&] { version.run(o.y.span(), o.input(), weights.data(), {}, g); });
  });
  add_pass<T>(name + "/input gradient", {g.n, g.h, g.w, g.ic}, [=](State& state) {
    Images<T> o{g};
    const auto& version = kernels::conv2d_backward_input<T>(g);
    const auto weights = packed(version, o.w, g);
    measure_pass(state, bytes_of(o.x, o.y), [&] {
      version.run(o.dx.span(), Store::overwrite, o.gradient(), weights.data(), g);
    });
  });
  add_pass<T>(name + "/weight gradient", {g.n, g.h, g.w, g.ic}, [=](State& state) {
    Images<T> o{g};
    measure_pass(state, bytes_of(o.x, o.y), [&] {
      kernels::conv2d_backward_weight<T>(g).run(o.dw.span(), Store::overwrite, o.gradient(),
                                                o.input(), {}, g);
    });
  });
}

template <Scalar T>
void add_windows() {
  add_depthwise<T>({20, 0, 32, 128});
  add_depthwise<T>({20, 0, 32, 128, 3, 2});
  add_depthwise<T>({40, 0, 16, 128});
  add_conv2d<T>({20, 20, 32, 128, 1});
  add_conv2d<T>({64, 128, 28, 256, 1, 2});
  add_conv2d<T>({3, 20, 32, 128});
}

}  // namespace

void add_window_passes() {
  add_windows<float>();
  add_windows<bfloat16>();
}

}  // namespace tinynet::benchmarks
