#pragma once

#include <tinynet/ops/activation.hpp>
#include <tinynet/ops/arithmetic.hpp>
#include <tinynet/ops/batch_norm.hpp>
#include <tinynet/ops/batch_norm_act.hpp>
#include <tinynet/ops/batch_norm_deferred.hpp>
#include <tinynet/ops/batch_norm_gate.hpp>
#include <tinynet/ops/cast.hpp>
#include <tinynet/ops/conv2d.hpp>
#include <tinynet/ops/depthwise_conv2d.hpp>
#include <tinynet/ops/dropout.hpp>
#include <tinynet/ops/linear.hpp>
#include <tinynet/ops/loss.hpp>
#include <tinynet/ops/pool2d.hpp>
#include <tinynet/ops/reshape.hpp>
#include <tinynet/ops/softmax.hpp>

#include "case.hpp"

/// The case list. A new op needs a case here, and has with it the gradient check in double, the
/// comparison of every kernel path in float, bfloat16 and float16, the same bits from any number of
/// threads, and a benchmark. `in.x(i)` is input i as an activation, `in.w(i)` as a weight.
///
/// The cases walk the space of options on purpose: windows 1 2 3 5 7, stride 1 2 3, padding 0 to 3,
/// dilation, groups, channels on either side of the vector widths, odd image sizes; and for each op
/// a size that makes several units of work for threads, again no round number.
namespace tinynet::cases {

/// Convolutions, named by their options: x [n, h, w, ic], weight [oc, kh, kw, ic / groups].
struct Convolution {
  Shape x, w;
  ops::Window window = {};
  bool bias = false;

  std::string text() const {
    const auto number = [](std::int64_t v) { return std::to_string(v); };
    return number(w[1]) + "x" + number(w[2]) + " " + number(x[3]) + "->" + number(w[0]) + " at " +
           number(x[1]) + "x" + number(x[2]) + " b" + number(x[0]) + " s" + number(window.stride) +
           " p" + number(window.padding) + " d" + number(window.dilation) + " g" +
           number(window.groups) + (bias ? " bias" : "");
  }
  std::vector<Shape> inputs() const {
    return bias ? std::vector{x, w, Shape{w[0]}} : std::vector{x, w};
  }
};

inline List conv2d_cases() {
  List cases;
  for (const auto& c : std::vector<Convolution>{
           {{1, 1, 1, 1}, {1, 1, 1, 1}},
           {{2, 5, 5, 1}, {3, 3, 3, 1}, {.padding = 1}},
           {{1, 7, 9, 3}, {15, 3, 3, 3}, {.padding = 1}, true},
           {{2, 9, 7, 17}, {33, 3, 3, 17}, {.stride = 2}},
           {{2, 9, 7, 17}, {33, 3, 3, 17}, {.stride = 2, .padding = 1}},
           {{1, 6, 5, 16}, {16, 3, 3, 16}, {.padding = 1}, true},
           {{1, 5, 6, 32}, {31, 1, 1, 32}},
           {{2, 5, 5, 64}, {64, 1, 1, 64}, {}, true},
           {{1, 7, 7, 33}, {17, 1, 1, 33}, {.stride = 2}},
           {{1, 5, 5, 3}, {15, 1, 1, 3}, {.padding = 1}},
           {{3, 5, 4, 15}, {1, 2, 2, 15}},
           {{2, 6, 6, 3}, {32, 2, 2, 3}, {.stride = 2, .padding = 1}, true},
           {{1, 11, 9, 3}, {16, 5, 5, 3}, {.padding = 2}, true},
           {{2, 11, 13, 1}, {15, 5, 5, 1}, {.stride = 2}},
           {{1, 13, 11, 3}, {17, 7, 7, 3}, {.stride = 2, .padding = 3}},
           {{1, 9, 9, 1}, {33, 7, 7, 1}, {.padding = 3}, true},
           {{1, 7, 8, 16}, {17, 3, 3, 16}, {.padding = 2}},
           {{1, 6, 7, 3}, {3, 3, 3, 3}, {.padding = 3}},
           {{1, 3, 3, 64}, {31, 3, 3, 64}},
           {{1, 6, 5, 31}, {32, 3, 3, 31}, {.padding = 1}},
           {{1, 5, 5, 33}, {64, 3, 3, 33}, {.stride = 2, .padding = 1}},
           {{1, 9, 10, 15}, {16, 3, 3, 15}, {.padding = 2, .dilation = 2}, true},
           {{2, 11, 8, 3}, {5, 3, 3, 3}, {.stride = 2, .dilation = 2}},
           {{1, 13, 13, 2}, {4, 5, 5, 2}, {.padding = 3, .dilation = 3}},
           {{2, 6, 5, 4}, {6, 3, 3, 2}, {.padding = 1, .groups = 2}},
           {{1, 7, 6, 33}, {33, 3, 3, 11}, {.stride = 2, .padding = 1, .groups = 3}, true},
           {{1, 5, 5, 32}, {64, 3, 3, 8}, {.padding = 2, .dilation = 2, .groups = 4}},
           {{2, 5, 7, 16}, {16, 1, 1, 2}, {.groups = 8}},
           {{1, 5, 5, 6}, {12, 3, 3, 1}, {.padding = 1, .groups = 6}},  // two filters a channel
           {{1, 6, 5, 17}, {17, 3, 3, 1}, {.padding = 1, .groups = 17}},  // depthwise
           {{1, 6, 9, 3}, {8, 1, 5, 3}},
           {{1, 9, 6, 5}, {7, 5, 2, 5}, {.padding = 1}},
           {{1, 9, 9, 2}, {3, 1, 1, 2}, {.stride = 3}},  // pixels that no window reads
           {{1, 8, 8, 2}, {3, 2, 2, 2}, {.stride = 3, .padding = 1}},
           {{1, 10, 3, 5}, {4, 3, 3, 5}, {.stride = 3, .padding = 2, .dilation = 2}, true},
           {{9, 13, 11, 17}, {33, 3, 3, 17}, {.padding = 1}, true},
           {{3, 14, 15, 64}, {64, 3, 3, 64}, {.padding = 1}},
           {{5, 15, 14, 64}, {96, 3, 3, 64}, {.stride = 2, .padding = 1}},
           {{7, 14, 14, 96}, {64, 1, 1, 96}},
           {{7, 32, 31, 3}, {20, 5, 5, 3}, {.padding = 2}, true},
           {{5, 16, 15, 32}, {64, 3, 3, 8}, {.padding = 1, .groups = 4}},
       }) {
    cases.push_back({.name = "conv2d " + c.text(),
                     .inputs = c.inputs(),
                     .run = [c](auto& in, Context& ctx) {
                       if (!c.bias) return ops::conv2d(in.x(0), in.w(1), c.window, ctx);
                       return ops::conv2d(in.x(0), in.w(1), in.w(2), c.window, ctx);
                     }});
  }
  return cases;
}

inline List depthwise_cases() {
  List cases;
  for (const auto& c : std::vector<Convolution>{
           {{2, 5, 5, 1}, {1, 3, 3, 1}, {.padding = 1}},
           {{1, 7, 6, 3}, {3, 3, 3, 1}, {.padding = 1}, true},
           {{2, 9, 7, 15}, {15, 3, 3, 1}, {.stride = 2, .padding = 1}},
           {{1, 6, 5, 16}, {16, 3, 3, 1}},
           {{1, 8, 9, 17}, {17, 5, 5, 1}, {.padding = 2}, true},
           {{1, 11, 9, 31}, {31, 5, 5, 1}, {.stride = 2, .padding = 2}},
           {{1, 9, 9, 32}, {32, 7, 7, 1}, {.padding = 3}},
           {{1, 13, 11, 33}, {33, 7, 7, 1}, {.stride = 2, .padding = 3}},
           {{1, 5, 6, 64}, {64, 2, 2, 1}, {.stride = 2}},
           {{1, 5, 5, 64}, {64, 1, 1, 1}, {}, true},
           {{1, 9, 10, 20}, {20, 3, 3, 1}, {.padding = 2, .dilation = 2}, true},
           {{2, 11, 8, 5}, {5, 3, 3, 1}, {.stride = 2, .padding = 3, .dilation = 3}},
           {{1, 6, 7, 9}, {9, 1, 5, 1}},
           {{1, 9, 8, 4}, {4, 2, 2, 1}, {.stride = 3}},
           {{9, 17, 15, 37}, {37, 3, 3, 1}, {.padding = 1}, true},
           {{5, 33, 31, 20}, {20, 5, 5, 1}, {.stride = 2, .padding = 2}},
       }) {
    cases.push_back({.name = "depthwise_conv2d " + c.text(),
                     .inputs = c.inputs(),
                     .run = [c](auto& in, Context& ctx) {
                       if (!c.bias) return ops::depthwise_conv2d(in.x(0), in.w(1), c.window, ctx);
                       return ops::depthwise_conv2d(in.x(0), in.w(1), in.w(2), c.window, ctx);
                     }});
  }
  return cases;
}

inline List linear_cases() {
  List cases;
  // n, in, out
  for (const Shape& size : {Shape{1, 1, 1}, Shape{1, 33, 10}, Shape{5, 3, 17}, Shape{16, 16, 16},
                            Shape{17, 31, 33}, Shape{7, 64, 15}, Shape{33, 65, 1},
                            Shape{40, 48, 32}, Shape{201, 333, 145}}) {
    const Shape x{size[0], size[1]}, w{size[2], size[1]}, bias{size[2]};
    cases.push_back({.name = "linear " + to_string(size),
                     .inputs = {x, w},
                     .run = [](auto& in, Context& ctx) {
                       return ops::linear(in.x(0), in.w(1), {}, ctx);
                     }});
    cases.push_back({.name = "linear with bias " + to_string(size),
                     .inputs = {x, w, bias},
                     .run = [](auto& in, Context& ctx) {
                       return ops::linear(in.x(0), in.w(1), in.w(2), ctx);
                     }});
  }
  return cases;
}

/// Two elements, less than a register, several with a rest, several units of work.
inline std::vector<Shape> lengths() { return {{2}, {3, 1, 5}, {2, 5, 7, 3}, {3, 30001}}; }

template <class Activation>
void add_activation(List& cases, Activation activation, const std::string& name,
                    bool rereads = false) {
  for (const auto& shape : lengths()) {
    cases.push_back({.name = name + " " + to_string(shape),
                     .inputs = {shape},
                     .run = [activation](auto& in, Context& ctx) {
                       return activation(in.x(0), ctx);
                     },
                     .spread = 4,
                     .rereads = rereads});
  }
}

inline List elementwise_cases() {
  List cases;
  add_activation(cases, ops::relu, "relu");
  add_activation(cases, ops::leaky_relu, "leaky_relu");
  add_activation(cases, ops::sigmoid, "sigmoid", true);
  add_activation(cases, ops::tanh, "tanh", true);
  add_activation(cases, ops::silu, "silu");
  add_activation(cases, ops::gelu, "gelu");
  add_activation(cases, ops::hard_swish, "hard_swish");
  cases.push_back({.name = "leaky_relu, slope 0.2",
                   .inputs = {{4, 33}},
                   .run = [](auto& in, Context& ctx) {
                     return ops::leaky_relu(in.x(0), {.slope = 0.2}, ctx);
                   }});
  for (const auto& shape : lengths()) {
    cases.push_back({.name = "add " + to_string(shape),
                     .inputs = {shape, shape},
                     .run = [](auto& in, Context& ctx) {
                       return ops::add(in.x(0), in.x(1), ctx);
                     }});
    cases.push_back({.name = "multiply " + to_string(shape),
                     .inputs = {shape, shape},
                     .run = [](auto& in, Context& ctx) {
                       return ops::multiply(in.x(0), in.x(1), ctx);
                     }});
    cases.push_back({.name = "scale " + to_string(shape),
                     .inputs = {shape},
                     .run = [](auto& in, Context& ctx) { return ops::scale(in.x(0), -0.7, ctx); }});
  }
  cases.push_back({.name = "add to itself",
                   .inputs = {{3, 37}},
                   .run = [](auto& in, Context& ctx) { return ops::add(in.x(0), in.x(0), ctx); }});
  cases.push_back({.name = "multiply by itself",
                   .inputs = {{5}},
                   .run = [](auto& in, Context& ctx) {
                     return ops::multiply(in.x(0), in.x(0), ctx);
                   }});
  cases.push_back({.name = "cast to float and back",
                   .inputs = {{7, 9}},
                   .run = [](auto& in, Context& ctx) {
                     using T = typename std::decay_t<decltype(in)>::scalar;
                     const auto wide = ops::silu(ops::cast<param_t<T>>(in.x(0), ctx), ctx);
                     return ops::cast<T>(wide, ctx);
                   }});
  return cases;
}

inline List reduction_cases() {
  List cases;
  for (const auto& shape : lengths()) {
    cases.push_back({.name = "sum " + to_string(shape),
                     .inputs = {shape},
                     .run = [](auto& in, Context& ctx) { return ops::sum(in.x(0), ctx); }});
    cases.push_back({.name = "mean " + to_string(shape),
                     .inputs = {shape},
                     .run = [](auto& in, Context& ctx) { return ops::mean(in.x(0), ctx); }});
  }
  for (const auto& shape : {Shape{3, 2}, Shape{2, 10}, Shape{2, 3, 16}, Shape{3, 33},
                            Shape{2, 1000}, Shape{301, 333}}) {
    cases.push_back({.name = "softmax " + to_string(shape),
                     .inputs = {shape},
                     .run = [](auto& in, Context& ctx) { return ops::softmax(in.x(0), ctx); },
                     .spread = 4,
                     .rereads = true});
    cases.push_back({.name = "log_softmax " + to_string(shape),
                     .inputs = {shape},
                     .run = [](auto& in, Context& ctx) { return ops::log_softmax(in.x(0), ctx); },
                     .spread = 4,
                     .rereads = true});
  }
  for (const auto& shape : {Shape{1, 1, 1, 1}, Shape{2, 3, 5, 3}, Shape{1, 4, 3, 17},
                            Shape{2, 3, 3, 64}, Shape{13, 17, 9, 33}}) {
    cases.push_back({.name = "scale_channels " + to_string(shape),
                     .inputs = {shape, {shape[0], shape[3]}},
                     .run = [](auto& in, Context& ctx) {
                       return ops::scale_channels(in.x(0), in.w(1), ctx);
                     }});
  }
  return cases;
}

inline List layout_cases() {
  List cases;
  cases.push_back({.name = "concat of three",
                   .inputs = {{2, 3, 5}, {2, 3, 1}, {2, 3, 17}},
                   .run = [](auto& in, Context& ctx) {
                     return ops::concat(std::vector{in.x(0), in.x(1), in.x(2)}, ctx);
                   }});
  cases.push_back({.name = "concat of two, large",
                   .inputs = {{13, 17, 9, 33}, {13, 17, 9, 16}},
                   .run = [](auto& in, Context& ctx) {
                     return ops::concat(std::vector{in.x(0), in.x(1)}, ctx);
                   }});
  cases.push_back({.name = "concat with itself",
                   .inputs = {{3, 4}},
                   .run = [](auto& in, Context& ctx) {
                     return ops::concat(std::vector{in.x(0), in.x(0)}, ctx);
                   }});
  for (const auto& shape : {Shape{2, 3, 4, 5}, Shape{1, 1, 1, 1}, Shape{13, 17, 9, 33}}) {
    cases.push_back({.name = "pad " + to_string(shape),
                     .inputs = {shape},
                     .run = [](auto& in, Context& ctx) {
                       return ops::pad(in.x(0), {.top = 1, .bottom = 2, .left = 3}, ctx);
                     }});
  }
  cases.push_back({.name = "pad by nothing",
                   .inputs = {{1, 3, 3, 17}},
                   .run = [](auto& in, Context& ctx) { return ops::pad(in.x(0), {}, ctx); }});
  cases.push_back({.name = "reshape",
                   .inputs = {{2, 3, 4}},
                   .run = [](auto& in, Context& ctx) {
                     return ops::reshape(in.x(0), {4, 6}, ctx);
                   }});
  cases.push_back({.name = "flatten",
                   .inputs = {{2, 3, 4, 5}},
                   .run = [](auto& in, Context& ctx) { return ops::flatten(in.x(0), ctx); }});
  return cases;
}

inline List pooling_cases() {
  List cases;
  struct Pooling {
    Shape x;
    ops::PoolWindow window;
  };
  for (const auto& p : std::vector<Pooling>{
           {{1, 2, 2, 1}, {}},
           {{2, 5, 7, 3}, {.kernel = 2}},
           {{2, 6, 5, 15}, {.kernel = 3, .stride = 2, .padding = 1}},
           {{1, 5, 5, 16}, {.kernel = 3, .stride = 1, .padding = 1}},
           {{1, 6, 7, 17}, {.kernel = 2, .stride = 1, .padding = 1}},
           {{1, 9, 8, 31}, {.kernel = 5, .stride = 2, .padding = 2}},
           {{1, 9, 9, 32}, {.kernel = 7, .stride = 2, .padding = 3}},
           {{1, 7, 7, 33}, {.kernel = 2, .stride = 3}},  // pixels that no window reads
           {{1, 4, 4, 64}, {.kernel = 1, .stride = 2}},
           {{2, 4, 3, 20}, {.kernel = 3, .stride = 3}},
           {{13, 27, 29, 33}, {.kernel = 3, .stride = 2, .padding = 1}},
       }) {
    const auto text = std::to_string(p.window.kernel) + " s" + std::to_string(p.window.stride) +
                      " p" + std::to_string(p.window.padding) + " " + to_string(p.x);
    cases.push_back({.name = "max_pool2d " + text,
                     .inputs = {p.x},
                     .run = [p](auto& in, Context& ctx) {
                       return ops::max_pool2d(in.x(0), p.window, ctx);
                     }});
    cases.push_back({.name = "avg_pool2d " + text,
                     .inputs = {p.x},
                     .run = [p](auto& in, Context& ctx) {
                       return ops::avg_pool2d(in.x(0), p.window, ctx);
                     }});
  }
  for (const auto& shape : {Shape{1, 1, 1, 1}, Shape{2, 3, 5, 3}, Shape{1, 7, 5, 17},
                            Shape{2, 4, 4, 64}, Shape{13, 27, 29, 33}}) {
    cases.push_back({.name = "global_average_pool " + to_string(shape),
                     .inputs = {shape},
                     .run = [](auto& in, Context& ctx) {
                       return ops::global_average_pool(in.x(0), ctx);
                     }});
  }
  return cases;
}

inline List batch_norm_cases() {
  List cases;
  for (const auto& shape :
       {Shape{3, 1}, Shape{2, 3, 3, 3}, Shape{4, 3, 2, 15}, Shape{5, 16}, Shape{1, 3, 5, 17},
        Shape{2, 2, 3, 33}, Shape{2, 2, 2, 64}, Shape{13, 27, 29, 33}}) {
    for (const auto mode : {Mode::training, Mode::evaluation}) {
      const auto c = shape[-1];
      cases.push_back(
          {.name = (mode == Mode::training ? "batch_norm " : "batch_norm, evaluation, ") +
                   to_string(shape),
           .inputs = {shape, {c}, {c}},
           .run = [c, mode](auto& in, Context& ctx) {
             ctx.mode = mode;
             auto mean = in.constant({c}, -1, 1), var = in.constant({c}, 0.5, 2);
             return ops::batch_norm(in.x(0), in.w(1), in.w(2), mean, var, {}, ctx);
           }});
    }
  }
  return cases;
}

/// Normalisation joined with what follows it. With `weight` the sums come from a convolution.
template <class Activation>
void add_batch_norm_act(List& cases, Activation activation, const std::string& name,
                        const Shape& shape, Mode mode, bool residual, const Shape& weight = {}) {
  const auto c = weight.axes() ? weight[0] : shape[-1];
  auto out = shape;
  out[-1] = c;
  std::vector<Shape> inputs{shape, {c}, {c}};
  if (weight.axes()) inputs.push_back(weight);
  if (residual) inputs.push_back(out);
  const bool convolves = weight.axes() > 0;
  cases.push_back(
      {.name = "batch_norm_act " + name + (residual ? ", residual, " : ", ") +
               (mode == Mode::training ? "" : "evaluation, ") +
               (convolves ? "behind a convolution, " : "") + to_string(shape),
       .inputs = inputs,
       .run = [=](auto& in, Context& ctx) {
         using T = typename std::decay_t<decltype(in)>::scalar;
         ctx.mode = mode;
         auto mean = in.constant({c}, -1, 1), var = in.constant({c}, 0.5, 2);
         Tensor<double> moments;
         Variable<T> x = in.x(0), past;
         if (convolves) {
           x = ops::conv2d<T>(x, in.w(3), {}, {.padding = 1}, ctx, &moments);
         }
         if (residual) past = in.x(convolves ? 4 : 3);
         return ops::batch_norm_act<T>(x, moments, {in.w(1), in.w(2), mean, var}, past, activation,
                                       ctx);
       },
       .rereads = residual});
}

inline List batch_norm_act_cases() {
  List cases;
  const auto train = Mode::training;
  const auto add = [&](auto activation, const std::string& name) {
    add_batch_norm_act(cases, activation, name, {2, 3, 5, 17}, train, false);
    add_batch_norm_act(cases, activation, name, {2, 3, 5, 17}, train, true);
  };
  add(kernels::Identity(), "alone");
  add(ops::Relu(), "relu");
  add(ops::LeakyRelu{.slope = 0.2}, "leaky_relu");
  add(ops::Silu(), "silu");
  add(ops::Gelu(), "gelu");
  for (const bool residual : {false, true}) {
    // Of nine rows the middle one would lie exactly where relu bends.
    for (const auto& shape : {Shape{11, 1}, Shape{7, 5, 2, 3}, Shape{4, 4, 5, 20},
                              Shape{2, 2, 3, 33}, Shape{2, 2, 2, 64}, Shape{13, 27, 29, 33}}) {
      add_batch_norm_act(cases, ops::Relu(), "relu", shape, train, residual);
    }
    add_batch_norm_act(cases, ops::Silu(), "silu", {2, 3, 5, 17}, Mode::evaluation, residual);
  }
  return cases;
}

/// With sums from a convolution, whose output is rounded in between: for gradients and threads.
inline List conv_norm_act_cases() {
  List cases;
  for (const bool residual : {false, true}) {
    const auto train = Mode::training;
    add_batch_norm_act(cases, ops::Silu(), "silu", {2, 5, 4, 3}, train, residual, {17, 3, 3, 3});
    add_batch_norm_act(cases, ops::Relu(), "relu", {9, 13, 11, 17}, train, residual,
                       {33, 3, 3, 17});
  }
  return cases;
}

/// A normalisation that the convolution behind it computes: for gradients and threads.
inline List batch_norm_deferred_cases() {
  List cases;
  for (const bool depthwise : {false, true}) {
    for (const auto mode : {Mode::training, Mode::evaluation}) {
      const Shape shape{2, 5, 4, 17}, weight{depthwise ? 17 : 6, 3, 3, depthwise ? 1 : 17};
      cases.push_back({.name = std::string("batch_norm_act_deferred silu, ") +
                               (mode == Mode::training ? "" : "evaluation, ") +
                               (depthwise ? "depthwise " : "") + to_string(shape),
                       .inputs = {shape, {17}, {17}, weight},
                       .run = [=](auto& in, Context& ctx) {
                         using T = typename std::decay_t<decltype(in)>::scalar;
                         ctx.mode = mode;
                         auto mean = in.constant({17}, -1, 1), var = in.constant({17}, 0.5, 2);
                         const auto y = ops::batch_norm_act_deferred<T>(
                             in.x(0), {}, {in.w(1), in.w(2), mean, var}, ops::Silu{}, ctx);
                         if (depthwise)
                           return ops::depthwise_conv2d<T>(y, in.w(3), {}, {.padding = 1}, ctx);
                         return ops::conv2d<T>(y, in.w(3), {}, {.padding = 1}, ctx);
                       }});
    }
  }
  return cases;
}

/// Squeeze-and-excite in short: gates from the means of the normalised image.
template <class Activation>
void add_batch_norm_gate(List& cases, Activation activation, const std::string& name,
                         const Shape& shape, Mode mode, bool residual) {
  const auto c = shape[-1];
  std::vector<Shape> inputs{shape, {c}, {c}, {c, c}};
  if (residual) inputs.push_back(shape);
  cases.push_back(
      {.name = "batch_norm_gate " + name + (residual ? ", residual, " : ", ") +
               (mode == Mode::training ? "" : "evaluation, ") + to_string(shape),
       .inputs = inputs,
       .run = [=](auto& in, Context& ctx) {
         using T = typename std::decay_t<decltype(in)>::scalar;
         ctx.mode = mode;
         auto mean = in.constant({c}, -1, 1), var = in.constant({c}, 0.5, 2);
         Variable<T> past;
         if (residual) past = in.x(4);
         const auto norm = ops::batch_norm_pool<T>(in.x(0), {}, {in.w(1), in.w(2), mean, var}, ctx);
         const auto gate = ops::sigmoid(ops::linear(norm.pooled, in.w(3), {}, ctx), ctx);
         return ops::gate_act<T>(norm, gate, past, activation, ctx);
       },
       .rereads = true});
}

inline List batch_norm_gate_cases() {
  List cases;
  for (const bool residual : {false, true}) {
    for (const auto mode : {Mode::training, Mode::evaluation}) {
      add_batch_norm_gate(cases, ops::Relu(), "relu", {2, 3, 5, 3}, mode, residual);
      add_batch_norm_gate(cases, ops::Silu(), "silu", {3, 4, 5, 17}, mode, residual);
    }
    add_batch_norm_gate(cases, kernels::Identity(), "alone", {1, 4, 4, 8}, Mode::training, residual);
    add_batch_norm_gate(cases, ops::Relu(), "relu", {13, 17, 9, 33}, Mode::training, residual);
  }
  return cases;
}

inline List dropout_cases() {
  List cases;
  for (const auto& shape : {Shape{5, 67}, Shape{3, 30001}}) {
    cases.push_back({.name = "dropout " + to_string(shape),
                     .inputs = {shape},
                     .run = [](auto& in, Context& ctx) {
                       return ops::dropout(in.x(0), 0.3, ctx);
                     }});
  }
  for (const auto& shape : {Shape{3, 2, 3, 17}, Shape{13, 17, 9, 33}}) {
    cases.push_back({.name = "dropout2d " + to_string(shape),
                     .inputs = {shape},
                     .run = [](auto& in, Context& ctx) {
                       return ops::dropout2d(in.x(0), 0.4, ctx);
                     }});
    cases.push_back({.name = "drop_path " + to_string(shape),
                     .inputs = {shape},
                     .run = [](auto& in, Context& ctx) {
                       return ops::drop_path(in.x(0), 0.4, ctx);
                     }});
  }
  cases.push_back({.name = "two dropouts in a row",
                   .inputs = {{4, 33}},
                   .run = [](auto& in, Context& ctx) {
                     return ops::dropout(ops::dropout(in.x(0), 0.2, ctx), 0.2, ctx);
                   }});
  return cases;
}

inline List loss_cases() {
  List cases;
  for (const auto& shape :
       {Shape{1, 2}, Shape{5, 10}, Shape{3, 17}, Shape{2, 100}, Shape{301, 333}}) {
    const auto n = shape[0], k = shape[1];
    for (const double smoothing : {0.0, 0.1}) {
      const auto text = to_string(shape) + (smoothing > 0 ? ", smoothed" : "");
      const ops::CrossEntropyOptions options{.label_smoothing = smoothing};
      cases.push_back({.name = "cross_entropy of labels " + text,
                       .inputs = {shape},
                       .run = [=](auto& in, Context& ctx) {
                         return ops::cross_entropy(in.x(0), in.labels(n, k), options, ctx);
                       }});
      cases.push_back({.name = "cross_entropy of targets " + text,
                       .inputs = {shape},
                       .run = [=](auto& in, Context& ctx) {
                         const auto targets = in.constant(shape, 0, 2 / static_cast<float>(k));
                         return ops::cross_entropy(in.x(0), targets, options, ctx);
                       }});
    }
    cases.push_back({.name = "mse " + to_string(shape),
                     .inputs = {shape},
                     .run = [=](auto& in, Context& ctx) {
                       return ops::mse(in.x(0), in.constant(shape, -1, 1), ctx);
                     }});
    cases.push_back({.name = "bce_with_logits " + to_string(shape),
                     .inputs = {shape},
                     .run = [=](auto& in, Context& ctx) {
                       return ops::bce_with_logits(in.x(0), in.constant(shape, 0, 1), ctx);
                     },
                     .spread = 5});
  }
  cases.push_back({.name = "cross_entropy, summed",
                   .inputs = {{4, 6}},
                   .run = [](auto& in, Context& ctx) {
                     return ops::cross_entropy(in.x(0), in.labels(4, 6),
                                               {.reduction = ops::Reduction::sum}, ctx);
                   }});
  return cases;
}

/// The whole list.
inline List all_cases() {
  List all;
  for (auto* family : {conv2d_cases, depthwise_cases, linear_cases, elementwise_cases,
                       reduction_cases, layout_cases, pooling_cases, batch_norm_cases,
                       batch_norm_act_cases, batch_norm_gate_cases, dropout_cases, loss_cases}) {
    for (auto& c : family()) all.push_back(std::move(c));
  }
  return all;
}

}  // namespace tinynet::cases
