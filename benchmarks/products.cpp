// Convolutions and matrix products: the kernels by themselves, each pass, weights packed beforehand
// as they are once in a training step.
#include <tinynet/kernels/conv2d.hpp>
#include <tinynet/kernels/depthwise_conv2d.hpp>
#include <tinynet/kernels/gemm.hpp>
#include <tinynet/kernels/norm_act/map.hpp>
#include <tinynet/ops/activation.hpp>

#include "benchmark.hpp"
#include "layers.hpp"

namespace tinynet::benchmarks {

namespace {

std::string name_of(const Layer& layer) {
  const auto n = [](std::int64_t v) { return std::to_string(v); };
  return n(layer.ic) + (layer.oc ? "x" + n(layer.oc) : "") + "_" + n(layer.side) + "x" +
         n(layer.side) + (layer.kernel != 3 ? "_k" + n(layer.kernel) : "") +
         (layer.stride != 1 ? "_s" + n(layer.stride) : "") + "_b" + n(layer.batch);
}

/// The operands of a layer, filled with small numbers.
template <Scalar T>
struct Operands {
  kernels::Conv2dGeometry g;
  Tensor<T> x{{g.n, g.h, g.w, g.ic}}, y{{g.n, g.oh, g.ow, g.oc}};
  Tensor<param_t<T>> w{{g.oc, g.kh, g.kw, g.ic / g.groups}};

  explicit Operands(const Layer& layer) : g(layer.geometry()) {
    x = Tensor<T>::uniform(x.shape(), {1}, -1, 1);
    y = Tensor<T>::uniform(y.shape(), {2}, -1, 1);
    w = Tensor<param_t<T>>::uniform(w.shape(), {3}, -1, 1);
  }
  Work work() const {
    const auto bytes = (x.size() + y.size()) * static_cast<std::int64_t>(sizeof(T));
    return {2.0 * static_cast<double>(g.macs()), static_cast<double>(bytes),
            std::is_same_v<T, bfloat16>};
  }
};

template <Scalar T>
void add_conv2d(const Layer& layer) {
  const auto name = [&](const char* pass) {
    return std::string("conv2d_") + pass + "/" + type_name<T>() + "/" + name_of(layer);
  };
  add(name("forward"), [=](benchmark::State& state) {
    Operands<T> o(layer);
    const auto& version = kernels::conv2d_forward<T>(o.g);
    const auto weights = packed(version, o.w, o.g);
    state.SetLabel(kernels::path_name(version.path));
    measure(state, o.work(),
            [&] { version.run(o.y.span(), std::as_const(o.x).span(), weights.data(), {}, o.g); });
  });
  // With batch normalisation and ReLU of its input and the sums for the next one on the way.
  const auto normalize = [](std::int64_t c) {
    const auto scale = Tensor<param_t<T>>::uniform({c}, {4}, -1, 1);
    const auto shift = Tensor<param_t<T>>::uniform({c}, {5}, -1, 1);
    return kernels::NormActMap<T>(ops::Relu{}, scale.data(), shift.data(), c);
  };
  add(name("forward_fused"), [=](benchmark::State& state) {
    Operands<T> o(layer);
    const auto& version = kernels::conv2d_forward<T>(o.g);
    const auto weights = packed(version, o.w, o.g);
    const auto norm = normalize(o.g.ic);
    std::vector<double> sums(static_cast<std::size_t>(2 * o.g.oc));
    state.SetLabel(kernels::path_name(version.path));
    measure(state, o.work(), [&] {
      version.run(o.y.span(), std::as_const(o.x).span(), weights.data(),
                  {.map = norm.map(), .moments = {.sums = sums}}, o.g);
    });
  });
  add(name("backward_input"), [=](benchmark::State& state) {
    Operands<T> o(layer);
    const auto& version = kernels::conv2d_backward_input<T>(o.g);
    const auto weights = packed(version, o.w, o.g);
    state.SetLabel(kernels::path_name(version.path));
    measure(state, o.work(), [&] {
      version.run(o.x.span(), Store::overwrite, std::as_const(o.y).span(), weights.data(), o.g);
    });
  });
  for (const bool fused : {false, true}) {
    add(name(fused ? "backward_weight_fused" : "backward_weight"), [=](benchmark::State& state) {
      Operands<T> o(layer);
      const auto& version = kernels::conv2d_backward_weight<T>(o.g);
      const auto norm = fused ? normalize(o.g.ic) : kernels::NormActMap<T>();
      state.SetLabel(kernels::path_name(version.path));
      measure(state, o.work(), [&] {
        version.run(o.w.span(), Store::overwrite, std::as_const(o.y).span(),
                    std::as_const(o.x).span(), norm.map(), o.g);
      });
    });
  }
}

/// Bound by memory: the share of the copying rate is what counts.
template <Scalar T>
void add_depthwise(const Layer& layer) {
  const auto name = [&](const char* pass) {
    return std::string("depthwise_conv2d_") + pass + "/" + type_name<T>() + "/" + name_of(layer);
  };
  add(name("forward"), [=](benchmark::State& state) {
    Operands<T> o(layer);
    const auto& version = kernels::depthwise_forward<T>(o.g);
    state.SetLabel(kernels::path_name(version.path));
    measure(state, o.work(), [&] {
      version.run(o.y.span(), std::as_const(o.x).span(), std::as_const(o.w).span(), {}, {}, o.g);
    });
  });
  add(name("backward_input"), [=](benchmark::State& state) {
    Operands<T> o(layer);
    const auto& version = kernels::depthwise_backward_input<T>(o.g);
    state.SetLabel(kernels::path_name(version.path));
    measure(state, o.work(), [&] {
      version.run(o.x.span(), Store::overwrite, std::as_const(o.y).span(),
                  std::as_const(o.w).span(), o.g);
    });
  });
  add(name("backward_weight"), [=](benchmark::State& state) {
    Operands<T> o(layer);
    const auto& version = kernels::depthwise_backward_weight<T>(o.g);
    state.SetLabel(kernels::path_name(version.path));
    measure(state, o.work(), [&] {
      version.run(o.w.span(), Store::overwrite, std::as_const(o.y).span(),
                  std::as_const(o.x).span(), {}, o.g);
    });
  });
  add(name("backward"), [=](benchmark::State& state) {
    Operands<T> o(layer);
    const auto& version = kernels::depthwise_backward<T>(o.g);
    state.SetLabel(kernels::path_name(version.path));
    Tensor<T> dx(o.x.shape());
    Tensor<param_t<T>> dw(o.w.shape());
    auto work = o.work();
    work.operations *= 2;
    work.bytes += static_cast<double>(dx.size()) * sizeof(T);
    measure(state, work, [&] {
      version.run(dx.span(), Store::overwrite, dw.span(), Store::overwrite,
                  std::as_const(o.y).span(), std::as_const(o.x).span(), {},
                  std::as_const(o.w).span(), o.g);
    });
  });
}

/// C[m, n] = A[m, k] B[k, n], where A or B may lie transposed.
template <class A, class B, class C>
void add_gemm(const std::string& name, std::int64_t m, std::int64_t n, std::int64_t k,
              bool a_transposed = false, bool b_transposed = false) {
  add(name, [=](benchmark::State& state) {
    const auto a = Tensor<A>::uniform({m, k}, {1}, -1, 1);
    const auto b = Tensor<B>::uniform({k, n}, {2}, -1, 1);
    Tensor<C> c({m, n});
    const auto view = [](const auto* data, std::int64_t rows, std::int64_t cols, bool transposed) {
      return transposed ? kernels::matrix(data, cols, rows).transposed()
                        : kernels::matrix(data, rows, cols);
    };
    const kernels::GemmGeometry g{m, n, k};
    const auto& version = kernels::choose("gemm", kernels::gemm_versions<A, B, C>, g);
    state.SetLabel(kernels::path_name(version.path));
    const double bytes = static_cast<double>(m * k) * sizeof(A) +
                         static_cast<double>(k * n) * sizeof(B) +
                         static_cast<double>(m * n) * sizeof(C);
    const bool tiles = is_any_of<bfloat16, A, B>;
    measure(state, {2.0 * static_cast<double>(m * n * k), bytes, tiles}, [&] {
      version.run(view(a.data(), m, k, a_transposed), view(b.data(), k, n, b_transposed),
                  kernels::matrix(c.data(), m, n), nullptr, Store::overwrite);
    });
  });
}

/// The three products of a linear layer with float weights.
template <Scalar T>
void add_linear(std::int64_t n, std::int64_t in, std::int64_t out) {
  using P = param_t<T>;
  const auto name = [&](const char* pass) {
    return std::string("linear_") + pass + "/" + type_name<T>() + "/" + std::to_string(in) + "x" +
           std::to_string(out) + "_b" + std::to_string(n);
  };
  add_gemm<T, P, T>(name("forward"), n, out, in, false, true);
  add_gemm<T, P, T>(name("backward_input"), n, in, out);
  add_gemm<T, T, P>(name("backward_weight"), out, in, n, true, false);
}

/// Beside those of V7: some of them with fewer images, and layers of other networks.
constexpr Layer other_layers[] = {
    {64, 64, 28, 64},     {128, 128, 14, 64},    {256, 256, 7, 64},
    {1, 32, 28, 128},     {32, 64, 14, 128},     {64, 128, 7, 128},  // the toy CNN
    {20, 20, 32, 128, 1}, {160, 160, 4, 128, 1},                     // pointwise, behind depthwise
};

template <Scalar T>
void add_products_of() {
  for (const auto& layer : v7_layers) add_conv2d<T>(layer);
  for (const auto& layer : other_layers) add_conv2d<T>(layer);
  for (const auto& layer : {Layer{20, 0, 32, 128}, Layer{20, 0, 32, 128, 3, 2},
                            Layer{80, 0, 8, 128}, Layer{160, 0, 4, 128}}) {
    add_depthwise<T>(layer);
  }
  add_gemm<T, T, T>(std::string("gemm/") + type_name<T>() + "/512x512x512", 512, 512, 512);
  add_linear<T>(128, 1152, 512);
  for (const std::int64_t few : {1, 4, 8}) add_linear<T>(few, 1152, 512);
  add_linear<T>(128, 512, 10);
}

}  // namespace

void add_products() {
  add_products_of<float>();
  add_products_of<bfloat16>();
  add_products_of<float16>();
}

}  // namespace tinynet::benchmarks
