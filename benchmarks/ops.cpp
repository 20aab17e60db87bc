// The ops between the products, and the optimizers, on sizes that training meets. All are bound by
// memory: the share of the copying rate is what counts, and above 100 % the caches helped.
#include <tinynet/kernels/lion.hpp>
#include <tinynet/kernels/newton_schulz.hpp>
#include <tinynet/kernels/rmsprop.hpp>
#include <tinynet/kernels/unscale.hpp>
#include <tinynet/kernels/update.hpp>
#include <tinynet/ops.hpp>

#include "case_benchmark.hpp"

namespace tinynet::benchmarks {

namespace {

cases::List list() {
  const Shape image{64, 28, 28, 64}, logits{128, 10}, wide{128, 1000};
  return {
      {.name = "relu", .inputs = {image}, .run = [](auto& in, Context& ctx) {
         return ops::relu(in.x(0), ctx);
       }},
      {.name = "silu", .inputs = {image}, .run = [](auto& in, Context& ctx) {
         return ops::silu(in.x(0), ctx);
       }},
      {.name = "add", .inputs = {image, image}, .run = [](auto& in, Context& ctx) {
         return ops::add(in.x(0), in.x(1), ctx);
       }},
      {.name = "batch_norm", .inputs = {image, {64}, {64}}, .run = [](auto& in, Context& ctx) {
         auto mean = in.constant({64}, 0, 1), var = in.constant({64}, 1, 2);
         return ops::batch_norm(in.x(0), in.w(1), in.w(2), mean, var, {}, ctx);
       }},
      {.name = "max_pool2d", .inputs = {image}, .run = [](auto& in, Context& ctx) {
         return ops::max_pool2d(in.x(0), {}, ctx);
       }},
      {.name = "avg_pool2d", .inputs = {image}, .run = [](auto& in, Context& ctx) {
         return ops::avg_pool2d(in.x(0), {}, ctx);
       }},
      {.name = "global_average_pool", .inputs = {image}, .run = [](auto& in, Context& ctx) {
         return ops::global_average_pool(in.x(0), ctx);
       }},
      {.name = "scale_channels", .inputs = {image, {64, 64}}, .run = [](auto& in, Context& ctx) {
         return ops::scale_channels(in.x(0), in.w(1), ctx);
       }},
      {.name = "dropout", .inputs = {image}, .run = [](auto& in, Context& ctx) {
         return ops::dropout(in.x(0), 0.5, ctx);
       }},
      {.name = "softmax", .inputs = {wide}, .run = [](auto& in, Context& ctx) {
         return ops::softmax(in.x(0), ctx);
       }},
      {.name = "cross_entropy", .inputs = {logits}, .run = [](auto& in, Context& ctx) {
         return ops::cross_entropy(in.x(0), in.labels(128, 10), {}, ctx);
       }},
      {.name = "cross_entropy", .inputs = {wide}, .run = [](auto& in, Context& ctx) {
         return ops::cross_entropy(in.x(0), in.labels(128, 1000), {}, ctx);
       }},
  };
}

template <Scalar T>
void add_op(const cases::Case& c) {
  std::string shape;
  for (const auto size : c.inputs[0]) shape += (shape.empty() ? "" : "x") + std::to_string(size);
  const auto name = [&](const char* pass) {
    return c.name + "_" + pass + "/" + type_name<T>() + "/" + shape;
  };
  add(name("forward"), [c](benchmark::State& state) { measure_forward<T>(state, c); });
  add(name("training"), [c](benchmark::State& state) { measure_training<T>(state, c); });
}

/// The updates of a ResNet-18: 11 million parameters.
void add_updates() {
  constexpr std::int64_t size = 11 << 20;
  const auto operands = [](int count) {
    std::vector<Tensor<float>> all;
    for (int i = 0; i < count; ++i) all.push_back(Tensor<float>::full({size}, 0.01f));
    return all;
  };
  const auto bytes = [](int count) { return 4.0 * static_cast<double>(size * count); };
  add("sgd_update/float/11M", [=](benchmark::State& state) {
    auto o = operands(3);
    measure(state, {.bytes = bytes(5)}, [&] {
      kernels::sgd_update<float>(o[0].span(), std::as_const(o[1]).span(), o[2].span(),
                                 {.lr = 1e-6, .momentum = 0.9, .weight_decay = 1e-4});
    });
  });
  add("adamw_update/float/11M", [=](benchmark::State& state) {
    auto o = operands(4);
    measure(state, {.bytes = bytes(7)}, [&] {
      kernels::adamw_update<float>(o[0].span(), std::as_const(o[1]).span(), o[2].span(),
                                   o[3].span(), {.lr = 1e-6, .weight_decay = 1e-2});
    });
  });
  add("rmsprop_update/float/11M", [=](benchmark::State& state) {
    auto o = operands(3);
    measure(state, {.bytes = bytes(5)}, [&] {
      kernels::rmsprop_update<float>(o[0].span(), std::as_const(o[1]).span(), o[2].span(), {}, {},
                                     {.lr = 1e-6});
    });
  });
  add("lion_update/float/11M", [=](benchmark::State& state) {
    auto o = operands(3);
    measure(state, {.bytes = bytes(5)}, [&] {
      kernels::lion_update<float>(o[0].span(), std::as_const(o[1]).span(), o[2].span(),
                                  {.lr = 1e-6, .weight_decay = 1e-2});
    });
  });
  add("unscale/float/11M", [=](benchmark::State& state) {
    auto o = operands(1);
    measure(state, {.bytes = bytes(2)}, [&] { kernels::unscale<float>(o[0].span(), 1.0f); });
  });
  add("newton_schulz/bfloat16/256x2304", [=](benchmark::State& state) {
    auto m = Tensor<float>::normal({256, 2304}, {1});
    constexpr double products = 256.0 * 256 * (2304 + 256 + 2304);
    measure(state, {.operations = 5 * 2 * products, .bfloat16 = true}, [&] {
      kernels::newton_schulz<bfloat16>(kernels::matrix(m.data(), 256, 2304),
                                       {3.4445, -4.7750, 2.0315, 5, 1e-7});
    });
  });
  add("ema_update/float/11M", [=](benchmark::State& state) {
    auto o = operands(2);
    measure(state, {.bytes = bytes(3)}, [&] {
      kernels::ema_update<float>(o[0].span(), std::as_const(o[1]).span(), 0.999);
    });
  });
}

/// What opening a parallel region costs (core/parallel.hpp): a loop whose units do nothing.
void add_regions() {
  for (int threads = 1; threads <= num_threads(); threads *= 2) {
    add("parallel_region/threads:" + std::to_string(threads), [=](benchmark::State& state) {
      const int before = num_threads();
      set_num_threads(threads);
      measure(state, {}, [=] { parallel_for(threads, [](std::int64_t) {}); });
      set_num_threads(before);
    });
  }
}

}  // namespace

void add_ops() {
  add_regions();
  for (const auto& c : list()) {
    add_op<float>(c);
    add_op<bfloat16>(c);
  }
  add_updates();
}

}  // namespace tinynet::benchmarks
