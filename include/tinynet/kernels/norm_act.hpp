#pragma once

#include <numeric>
#include <span>

#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/norm_act/contract.hpp>
#include <tinynet/kernels/norm_act/fused_activation.hpp>

/// The passes: how they are cut for threads, and coefficients laid out for registers.
namespace tinynet::inline TINYNET_ABI::kernels {

namespace detail {

/// Pixels whose channels fill whole registers. With a few channels that are no multiple of a
/// register the tail of each pixel would cost as much as the pixel.
template <Scalar T>
std::int64_t whole_registers(std::int64_t c) {
  return simd::width<accumulate_t<T>> / std::gcd(simd::width<accumulate_t<T>>, c);
}

/// The same where that is few of all pixels.
template <Scalar T>
std::int64_t pixels_of_period(std::int64_t pixels, std::int64_t c) {
  const auto tile = whole_registers<T>(c);
  return pixels >= 4 * tile ? tile : 1;
}

/// A row of coefficients, repeated for each pixel of a period.
template <class P>
const P* repeated(const P* row, std::int64_t c, std::int64_t times, Scratch& scratch) {
  if (times == 1) return row;
  P* to = scratch.take<P>(c * times).data();
  for (std::int64_t i = 0; i < times; ++i) std::copy_n(row, c, to + i * c);
  return to;
}

/// Calls f(image, pixels) for ranges of pixels, the images of a range one after another.
template <class F>
void for_pixel_ranges(const NormActGeometry& g, std::int64_t tile, const F& f) {
  const auto rows = round_up(grain_rows(g.c), tile);
  parallel_ranges(g.n * g.pixels, rows, [&](Range unit) {
    while (unit.begin < unit.end) {
      const auto image = unit.begin / g.pixels, first = image * g.pixels;
      const auto end = std::min(unit.end, first + g.pixels);
      f(image, Range{unit.begin - first, end - first});
      unit.begin = end;
    }
  });
}

/// Sums over the pixels of a range of an image: totals [2, c]. Blocks of rows are summed in
/// accumulate_t, the blocks in double.
template <Scalar T>
void norm_act_range_sums(double* totals, const NormActLoops<T>& loops, const void* formula,
                         NormActSums<T> o, std::int64_t image, Range range,
                         const NormActGeometry& g) {
  using A = accumulate_t<T>;
  Scratch scratch;
  const auto tile = pixels_of_period<T>(range.size(), g.c), period = tile * g.c;
  const auto at = image * g.image() + range.begin * g.c;
  o = {o.ds ? o.ds + at : nullptr,
       o.dy + at,
       o.x + at,
       o.kept ? o.kept + at : nullptr,
       repeated(o.scale + image * g.c, g.c, tile, scratch),
       repeated(o.shift + image * g.c, g.c, tile, scratch),
       repeated(o.center, g.c, tile, scratch)};
  const std::array<A*, 2> sums = {scratch.take<A>(period).data(), scratch.take<A>(period).data()};
  std::fill_n(totals, 2 * g.c, 0.0);
  const auto end = range.size() * g.c;
  const auto step = vectors::cached_rows<T>(period) * period;
  for (std::int64_t done = 0; done < end; done += step) {
    const auto elements = std::min(step, end - done);
    loops.sums(formula, o, sums, elements, period);
    for (int q = 0; q < 2; ++q) {
      const A* each = sums[q];
      for (std::int64_t i = 0; i < tile; ++i, each += g.c) {
        for (std::int64_t ch = 0; ch < g.c; ++ch) totals[q * g.c + ch] += each[ch];
      }
    }
    if (o.ds) o.ds += elements;
    if (o.kept) o.kept += elements;
    o.dy += elements;
    o.x += elements;
  }
}

}  // namespace detail

/// y = f(scale * x + shift + residual); scale and shift are [n, c].
template <Scalar T>
void norm_act_forward(const NormActForward<T>& o, const FusedActivation<T>& f,
                      const NormActGeometry& g) {
  const auto& loops = f.loops("norm_act_forward");
  const auto tile = detail::pixels_of_period<T>(g.pixels, g.c);
  detail::for_pixel_ranges(g, tile, [&](std::int64_t image, Range pixels) {
    Scratch scratch;
    const auto at = image * g.image() + pixels.begin * g.c;
    loops.forward(f.formula(),
                  {o.y + at, o.x + at, o.residual ? o.residual + at : nullptr,
                   detail::repeated(o.scale + image * g.c, g.c, tile, scratch),
                   detail::repeated(o.shift + image * g.c, g.c, tile, scratch)},
                  pixels.size() * g.c, tile * g.c);
  });
}

/// ds = dy * f'(z), and for each image sums [n, 2, c] over its pixels of ds and of
/// ds * (x - center). Several images are a unit of work each; one is cut into eight at most.
template <Scalar T>
void norm_act_sums(std::span<double> sums, const NormActSums<T>& o, const FusedActivation<T>& f,
                   const NormActGeometry& g) {
  const auto& loops = f.loops("norm_act_sums");
  if (g.n > 1) {
    parallel_ranges(g.n, grain_rows(g.image()), [&](Range images) {
      for (auto image = images.begin; image < images.end; ++image) {
        detail::norm_act_range_sums(sums.data() + image * 2 * g.c, loops, f.formula(), o, image,
                                    {0, g.pixels}, g);
      }
    });
    return;
  }
  const auto rows = reduction_rows(g.pixels, g.c);
  Scratch scratch;
  const auto partial = scratch.take<double>(pieces(g.pixels, rows) * 2 * g.c);
  parallel_ranges(g.pixels, rows, [&](Range pixels) {
    detail::norm_act_range_sums(partial.data() + pixels.begin / rows * 2 * g.c, loops, f.formula(),
                                o, 0, pixels, g);
  });
  std::copy_n(partial.begin(), 2 * g.c, sums.begin());
  for (auto unit = 2 * g.c; unit < std::ssize(partial); unit += 2 * g.c) {
    for (std::int64_t i = 0; i < 2 * g.c; ++i) sums[i] += partial[unit + i];
  }
}

/// dx = a * ds + b + k * x; a, b and k are [n, c].
template <Scalar T>
void norm_act_input(const NormActInput<T>& o, const FusedActivation<T>& f,
                    const NormActGeometry& g) {
  const auto& loops = f.loops("norm_act_input");
  const auto tile = detail::pixels_of_period<T>(g.pixels, g.c);
  detail::for_pixel_ranges(g, tile, [&](std::int64_t image, Range pixels) {
    Scratch scratch;
    const auto at = image * g.image() + pixels.begin * g.c;
    const auto row = [&](const param_t<T>* of) {
      return detail::repeated(of + image * g.c, g.c, tile, scratch);
    };
    loops.input(f.formula(),
                {o.dx + at, o.store, o.dy + at, o.x + at, row(o.scale), row(o.shift), row(o.a),
                 row(o.b), row(o.k)},
                pixels.size() * g.c, tile * g.c);
  });
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
