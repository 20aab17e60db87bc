// Optimizer updates over one flat buffer, as an optimizer lays its parameters: every parameter, its
// gradient and its state in one pass.
// Run: ./kernels --benchmark_filter='^memory.*update'
#include <tinynet/kernels/lion.hpp>
#include <tinynet/kernels/newton_schulz.hpp>
#include <tinynet/kernels/rmsprop.hpp>
#include <tinynet/kernels/unscale.hpp>
#include <tinynet/kernels/update.hpp>

#include "passes.hpp"

namespace tinynet::benchmarks {

namespace {

using benchmark::State;
using kernels::AdamSettings;
using kernels::SgdSettings;

/// Values, gradients and up to three buffers of state. 34 million floats: 134 MB each.
constexpr std::int64_t parameters = 32 << 20;

/// A row that times `f(values, gradients, state...)` with `count` buffers of state, of which, and of
/// the values, each is read and written.
template <class F>
void add_update(const std::string& name, int count, F f) {
  add_pass<float>(name, {parameters}, [=](State& state) {
    std::vector<Tensor<float>> o;
    for (int i = 0; i < 2 + count; ++i) o.push_back(filled<float>({parameters}, 0.01f, 0.02f));
    const double each = bytes_of(o[0]);
    measure_pass(state, (3 + 2 * count) * each, [&] {
      const auto at = [&](int i) {
        return i < count ? o[std::size_t(2 + i)].span() : std::span<float>();
      };
      f(o[0].span(), std::as_const(o[1]).span(), at(0), at(1));
    });
  });
}

void add_optimizers() {
  const SgdSettings sgd{.lr = 1e-6, .weight_decay = 1e-4};
  add_update("sgd_update, no momentum", 0, [=](auto values, auto gradients, auto, auto) {
    kernels::sgd_update<float>(values, gradients, {}, sgd);
  });
  add_update("sgd_update", 1, [=](auto values, auto gradients, auto velocity, auto) {
    auto with = sgd;
    with.momentum = 0.9;
    with.nesterov = true;
    kernels::sgd_update<float>(values, gradients, velocity, with);
  });
  const AdamSettings adam{.lr = 1e-6, .weight_decay = 1e-2};
  add_update("adam_update", 2, [=](auto values, auto gradients, auto m, auto v) {
    kernels::adam_update<float>(values, gradients, m, v, adam);
  });
  add_update("adamw_update", 2, [=](auto values, auto gradients, auto m, auto v) {
    kernels::adamw_update<float>(values, gradients, m, v, adam);
  });
  add_update("rmsprop_update", 1, [](auto values, auto gradients, auto squares, auto) {
    kernels::rmsprop_update<float>(values, gradients, squares, {}, {}, {.lr = 1e-6});
  });
  add_update("lion_update", 1, [](auto values, auto gradients, auto m, auto) {
    kernels::lion_update<float>(values, gradients, m, {.lr = 1e-6, .weight_decay = 1e-2});
  });
  add_update("ema_update", 0, [](auto average, auto values, auto, auto) {
    kernels::ema_update<float>(average, values, 0.999);
  });
  add_pass<float>("lookahead_update", {parameters}, [](State& state) {
    auto fast = filled<float>({parameters}), slow = filled<float>({parameters});
    measure_pass(state, 2 * bytes_of(fast, slow),
                 [&] { kernels::lookahead_update<float>(fast.span(), slow.span(), 0.5); });
  });
  add_pass<float>("unscale", {parameters}, [](State& state) {
    auto x = filled<float>({parameters});
    measure_pass(state, 2 * bytes_of(x), [&] { kernels::unscale<float>(x.span(), 1.0f); });
  });
}

void add_newton_schulz() {
  add("newton_schulz/bfloat16/256x2304", [](State& state) {
    auto m = Tensor<float>::normal({256, 2304}, {1});
    constexpr double products = 256.0 * 256 * (2304 + 256 + 2304);
    measure(state, {.operations = 5 * 2 * products, .bfloat16 = true}, [&] {
      kernels::newton_schulz<bfloat16>(kernels::matrix(m.data(), 256, 2304),
                                       {3.4445, -4.7750, 2.0315, 5, 1e-7});
    });
  });
}

/// What opening a parallel region costs (core/parallel.hpp): a loop whose units do nothing.
void add_regions() {
  for (int threads = 1; threads <= num_threads(); threads *= 2) {
    add("parallel_region/threads:" + std::to_string(threads), [=](State& state) {
      const int before = num_threads();
      set_num_threads(threads);
      measure(state, {}, [=] { parallel_for(threads, [](std::int64_t) {}); });
      set_num_threads(before);
    });
  }
}

}  // namespace

void add_updates() {
  add_regions();
  add_optimizers();
  add_newton_schulz();
}

}  // namespace tinynet::benchmarks
