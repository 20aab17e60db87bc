// What moves and converts: layouts, borders, columns, types, a loader's decoding, against the speed of
// memory. Run: ./kernels --benchmark_filter='^memory.*(nhwc|uint8|convert)'
#include <tinynet/kernels/concat.hpp>
#include <tinynet/kernels/layout.hpp>

#include "passes.hpp"

namespace tinynet::benchmarks {

namespace {

using benchmark::State;

/// Images [n, h, w, c] to and from planes, into and out of borders, other types and wider rows.
template <Scalar T>
void add_layout() {
  for (const std::int64_t c : {std::int64_t{3}, channels}) {
    const auto n = images * channels / c;
    const Shape shape{n, side, side, c};
    add_pass<T>("nchw_to_nhwc", shape, [=](State& state) {
      const auto x = filled<T>(shape);
      Tensor<T> y(shape);
      measure_pass(state, bytes_of(x, y),
                   [&] { kernels::nchw_to_nhwc<T>(y.span(), x.span(), n, c, side, side); });
    });
    add_pass<T>("nhwc_to_nchw", shape, [=](State& state) {
      const auto x = filled<T>(shape);
      Tensor<T> y(shape);
      measure_pass(state, bytes_of(x, y),
                   [&] { kernels::nhwc_to_nchw<T>(y.span(), x.span(), n, c, side, side); });
    });
  }
  const kernels::Pad2dGeometry g{.n = images,
                                 .h = side,
                                 .w = side,
                                 .c = channels,
                                 .top = 2,
                                 .bottom = 2,
                                 .left = 2,
                                 .right = 2};
  const Shape padded{images, side + 4, side + 4, channels};
  add_pass<T>("pad2d/forward", image, [=](State& state) {
    const auto x = filled<T>(image);
    Tensor<T> y(padded);
    measure_pass(state, bytes_of(x, y), [&] { kernels::pad2d_forward<T>(y.span(), x.span(), g); });
  });
  add_pass<T>("pad2d/backward", image, [=](State& state) {
    Tensor<T> dx(image);
    const auto dy = filled<T>(padded);
    measure_pass(state, 2 * bytes_of(dx),
                 [&] { kernels::pad2d_backward<T>(dx.span(), Store::overwrite, dy.span(), g); });
  });
  add_pass<T>("concat/forward", image, [](State& state) {
    Activations<T> o;
    const auto wide = 2 * channels, rows = o.x.size() / channels;
    Tensor<T> y({rows, wide});
    measure_pass(state, 2 * bytes_of(y), [&] {
      kernels::place_columns<T>(y.span(), wide, 0, o.x.span(), channels);
      kernels::place_columns<T>(y.span(), wide, channels, o.x.span(), channels);
    });
  });
  add_pass<T>("concat/backward", image, [](State& state) {
    Activations<T> o;
    const auto wide = 2 * channels, rows = o.x.size() / channels;
    const auto dy = filled<T>({rows, wide});
    measure_pass(state, 2 * bytes_of(o.y), [&] {
      kernels::take_columns<T>(o.y.span(), Store::overwrite, channels, dy.span(), wide, 0);
    });
  });
  for (const std::int64_t c : {1, 3}) {
    const Shape shape{images * channels / c, side, side, c};
    add_pass<T>("uint8 to normalised", shape, [=](State& state) {
      Tensor<std::uint8_t> x(shape);
      for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<std::uint8_t>(i * 7);
      Tensor<T> y(shape);
      const auto mean = filled<param_t<T>>({c}, 0.4f, 0.6f),
                 std = filled<param_t<T>>({c}, 0.2f, 0.3f);
      measure_pass(state, bytes_of(x, y), [&] {
        kernels::normalise<T>(y.span(), std::as_const(x).span(), mean.span(), std.span(), c);
      });
    });
  }
}

template <Scalar From, Scalar To>
void add_convert() {
  add_pass<To>(std::string("convert from ") + type_name<From>(), image, [](State& state) {
    const auto x = filled<From>(image);
    Tensor<To> y(image);
    measure_pass(state, bytes_of(x, y), [&] { kernels::convert<To, From>(y.span(), x.span()); });
  });
}

}  // namespace

void add_layout_passes() {
  add_layout<float>();
  add_layout<bfloat16>();
  add_convert<float, bfloat16>();
  add_convert<bfloat16, float>();
}

}  // namespace tinynet::benchmarks
