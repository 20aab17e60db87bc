// Activations, sums, dropout: one element after another, against the speed of memory.
// Run: ./kernels --benchmark_filter=^memory
#include <tinynet/kernels/dropout.hpp>
#include <tinynet/kernels/elementwise.hpp>
#include <tinynet/ops/activation.hpp>

#include "passes.hpp"

namespace tinynet::benchmarks {

namespace {

using benchmark::State;

template <Scalar T, class Formula>
void add_activation(const std::string& name, Formula formula) {
  add_pass<T>(name + "/forward", image, [=](State& state) {
    Activations<T> o;
    measure_pass(state, bytes_of(o.x, o.y), [&] {
      kernels::transform(
          o.y.span(), Store::overwrite, [=](auto v) { return formula.f(v); }, o.x.span());
    });
  });
  add_pass<T>(name + "/backward", image, [=](State& state) {
    Activations<T> o;
    const auto dy = filled<T>(image);
    measure_pass(state, bytes_of(o.x, o.y, dy), [&] {
      kernels::transform(
          o.y.span(), Store::overwrite, [=](auto g, auto k) { return g * formula.df(k); },
          dy.span(), o.x.span());
    });
  });
}

template <Scalar T>
void add_elementwise() {
  add_activation<T>("relu", ops::Relu{});
  add_activation<T>("silu", ops::Silu{});
  add_activation<T>("gelu", ops::Gelu{});
  add_activation<T>("hard_swish", ops::HardSwish{});
  add_pass<T>("add", image, [](State& state) {
    Activations<T> o;
    const auto b = filled<T>(image);
    measure_pass(state, bytes_of(o.x, o.y, b), [&] {
      kernels::transform(
          o.y.span(), Store::overwrite, [](auto v, auto w) { return v + w; }, o.x.span(), b.span());
    });
  });
  add_pass<T>("accumulate", image, [](State& state) {
    Activations<T> o;
    o.y = filled<T>(image);
    measure_pass(state, bytes_of(o.x, o.y, o.y),
                 [&] { kernels::accumulate<T>(o.y.span(), Store::add, o.x.span()); });
  });
  add_pass<T>("dropout", image, [](State& state) {
    Activations<T> o;
    measure_pass(state, bytes_of(o.x, o.y),
                 [&] { kernels::dropout<T>(o.y.span(), o.x.span(), 0.5, {1}); });
  });
  add_pass<T>("dropout2d", image, [](State& state) {
    Activations<T> o;
    measure_pass(state, bytes_of(o.x, o.y), [&] {
      kernels::dropout2d<T>(o.y.span(), o.x.span(), 0.5, {1}, side * side, channels);
    });
  });
}

}  // namespace

void add_elementwise_passes() {
  add_elementwise<float>();
  add_elementwise<bfloat16>();
}

}  // namespace tinynet::benchmarks
