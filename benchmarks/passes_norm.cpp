// Normalisation, alone and with what follows it, and softmax, against the speed of memory.
// Run: ./kernels --benchmark_filter='^memory/(batch_norm|norm_act|softmax)'
#include <tinynet/kernels/batch_norm.hpp>
#include <tinynet/kernels/cross_entropy.hpp>
#include <tinynet/kernels/norm_act.hpp>
#include <tinynet/ops/activation.hpp>

#include "passes.hpp"

namespace tinynet::benchmarks {

namespace {

using benchmark::State;

/// The coefficients [c] of a normalisation.
template <class P>
struct Coefficients {
  Tensor<P> mean = filled<P>({channels}, -0.1f, 0.1f), inverse_std = filled<P>({channels}, 1, 2);
  Tensor<P> gamma = filled<P>({channels}, 0.5f, 1), beta = filled<P>({channels}, -0.5f, 0.5f);
};

template <Scalar T>
void add_batch_norm() {
  using P = param_t<T>;
  add_pass<T>("batch_norm/statistics", image, [](State& state) {
    const auto x = filled<T>(image);
    Coefficients<P> c;
    measure_pass(state, bytes_of(x), [&] {
      kernels::batch_norm_statistics<T>(c.mean.span(), c.beta.span(), x.span(), channels);
    });
  });
  add_pass<T>("batch_norm/normalize", image, [](State& state) {
    Activations<T> o;
    const Coefficients<P> c;
    measure_pass(state, bytes_of(o.x, o.y), [&] {
      kernels::batch_norm_normalize<T>(o.y.span(), o.x.span(), c.mean.span(), c.inverse_std.span(),
                                       c.gamma.span(), c.beta.span(), channels);
    });
  });
  // Sums first, then the gradient: dy and x are read twice, so 0.6 is the most.
  add_pass<T>("batch_norm/backward", image, [](State& state) {
    Activations<T> o;
    const auto dy = filled<T>(image);
    Coefficients<P> c, gradients;
    measure_pass(state, bytes_of(o.x, o.y, dy), [&] {
      kernels::batch_norm_backward<T>(
          o.y.span(), Store::overwrite, gradients.gamma.span(), gradients.beta.span(),
          Store::overwrite, dy.span(), o.x.span(), std::as_const(c.mean).span(),
          std::as_const(c.inverse_std).span(), std::as_const(c.gamma).span(), channels);
    });
  });
}

/// Normalise, add and activate in one pass, and both passes back.
template <Scalar T, class Formula>
void add_norm_act(const std::string& name, Formula formula, bool residual) {
  using P = param_t<T>;
  const kernels::NormActGeometry g{1, images * side * side, channels};
  add_pass<T>("norm_act " + name + "/forward", image, [=](State& state) {
    Activations<T> o;
    const auto r = residual ? filled<T>(image) : Tensor<T>();
    const Coefficients<P> c;
    measure_pass(state, bytes_of(o.x, o.y, r), [&] {
      kernels::norm_act_forward<T>(
          {o.y.data(), o.x.data(), residual ? r.data() : nullptr, c.gamma.data(), c.beta.data()},
          formula, g);
    });
  });
  // With a residual the sums need y (relu) or the residual, and ds is stored over dy for both.
  add_pass<T>("norm_act " + name + "/backward sums", image, [=](State& state) {
    Activations<T> o;
    auto dy = filled<T>(image);
    const auto kept = residual ? filled<T>(image) : Tensor<T>();
    const Coefficients<P> c;
    Tensor<double> sums({2, channels});
    measure_pass(state, bytes_of(o.x, dy, kept, kept), [&] {
      kernels::norm_act_sums<T>(
          sums.span(),
          {residual ? dy.data() : nullptr, dy.data(), o.x.data(), residual ? kept.data() : nullptr,
           c.gamma.data(), c.beta.data(), c.mean.data()},
          formula, g);
    });
  });
  if (residual) return;  // the second pass is then that of no activation
  add_pass<T>("norm_act " + name + "/backward input", image, [=](State& state) {
    Activations<T> o;
    const auto dy = filled<T>(image);
    const Coefficients<P> c;
    measure_pass(state, bytes_of(o.x, o.y, dy), [&] {
      kernels::norm_act_input<T>(
          {o.y.data(), Store::overwrite, dy.data(), o.x.data(), c.gamma.data(), c.beta.data(),
           c.inverse_std.data(), c.mean.data(), c.mean.data()},
          formula, g);
    });
  });
}

template <Scalar T>
void add_norm_acts() {
  add_norm_act<T>("alone", kernels::Identity{}, false);
  add_norm_act<T>("relu", ops::Relu{}, false);
  add_norm_act<T>("add relu", ops::Relu{}, true);
  add_norm_act<T>("silu", ops::Silu{}, false);
  add_norm_act<T>("gelu", ops::Gelu{}, false);
}

/// Rows of k classes.
template <Scalar T>
void add_softmax(std::int64_t k) {
  using A = accumulate_t<T>;
  const std::int64_t n = images * side * side * channels / k;
  const Shape rows{n, k};
  const auto add_pair = [=](const std::string& name, auto forward, auto backward) {
    add_pass<T>(name + "/forward", rows, [=](State& state) {
      const auto x = filled<T>(rows);
      Tensor<T> y(rows);
      measure_pass(state, bytes_of(x, y), [&] { forward(y.span(), x.span(), k); });
    });
    add_pass<T>(name + "/backward", rows, [=](State& state) {
      const auto dy = filled<T>(rows), y = filled<T>(rows, -4, 0);
      Tensor<T> dx(rows);
      measure_pass(state, bytes_of(dx, dy, y),
                   [&] { backward(dx.span(), Store::overwrite, dy.span(), y.span(), k); });
    });
  };
  add_pair("softmax", kernels::softmax_forward<T>, kernels::softmax_backward<T>);
  add_pair("log_softmax", kernels::log_softmax_forward<T>, kernels::log_softmax_backward<T>);

  const auto labels_of = [=] {
    Tensor<std::int32_t> labels({n});
    for (std::int64_t i = 0; i < n; ++i) labels.data()[i] = static_cast<std::int32_t>(i * 7 % k);
    return labels;
  };
  add_pass<T>("cross_entropy/forward", rows, [=](State& state) {
    const auto x = filled<T>(rows);
    const auto labels = labels_of();
    Tensor<A> losses({n}), probabilities(rows);
    measure_pass(state, bytes_of(x, labels, losses, probabilities), [&] {
      kernels::cross_entropy_forward<T>(losses.span(), probabilities.span(), x.span(),
                                        labels.span(), k, A(0.1f));
    });
  });
  add_pass<T>("cross_entropy/backward", rows, [=](State& state) {
    const auto probabilities = filled<A>(rows, 0, 1);
    const auto labels = labels_of();
    Tensor<T> dx(rows);
    measure_pass(state, bytes_of(dx, labels, probabilities), [&] {
      kernels::cross_entropy_backward<T>(dx.span(), Store::overwrite, probabilities.span(),
                                         labels.span(), k, A(1), A(0.1f));
    });
  });
}

}  // namespace

void add_norm_passes() {
  add_batch_norm<float>();
  add_batch_norm<bfloat16>();
  add_norm_acts<float>();
  add_norm_acts<bfloat16>();
  add_softmax<float>(10);
  add_softmax<bfloat16>(10);
  add_softmax<float>(1000);
  add_softmax<bfloat16>(1000);
}

}  // namespace tinynet::benchmarks
