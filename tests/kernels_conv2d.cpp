// Every version of the three convolution passes against the formula, over the option space.

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include <tinynet/core/random.hpp>
#include <tinynet/float_tiles.hpp>
#include <tinynet/kernels/conv2d.hpp>
#include <tinynet/kernels/norm_act/map.hpp>
#include <tinynet/winograd.hpp>

#include "bump.hpp"

namespace {

using namespace tinynet;
using namespace tinynet::kernels;

[[maybe_unused]] const bool winograd_of_16_bits = include_winograd<bfloat16, float16>();

struct Shape {
  std::int64_t n, h, w, ic, oc, kh, kw, stride = 1, padding = 0, dilation = 1, groups = 1;
};

Conv2dGeometry geometry(const Shape& s) {
  Conv2dGeometry g{.n = s.n,
                   .h = s.h,
                   .w = s.w,
                   .ic = s.ic,
                   .oc = s.oc,
                   .kh = s.kh,
                   .kw = s.kw,
                   .stride = s.stride,
                   .padding = s.padding,
                   .dilation = s.dilation,
                   .groups = s.groups};
  g.oh = window_output(g.h, g.kh, g.stride, g.padding, g.dilation);
  g.ow = window_output(g.w, g.kw, g.stride, g.padding, g.dilation);
  return g;
}

std::string describe(const Conv2dGeometry& g) {
  std::ostringstream text;
  text << "x [" << g.n << ", " << g.h << ", " << g.w << ", " << g.ic << "] -> " << g.oc
       << ", window " << g.kh << " x " << g.kw << ", stride " << g.stride << ", padding "
       << g.padding << ", dilation " << g.dilation << ", groups " << g.groups;
  return text.str();
}

/// Values that every scalar type holds exactly, so that one truth serves all of them: 8 significant
/// bits in [1/16, 1), either sign.
std::vector<double> values(std::size_t count, random::Key key) {
  std::vector<double> result(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto word = random::bits(key, i);
    const double mantissa = static_cast<double>(128 + (word & 127)) * (word & 128 ? 1 : -1);
    result[i] = std::ldexp(mantissa, -11 + static_cast<int>(word >> 8 & 3));
  }
  return result;
}

template <class T>
std::vector<T> as(const std::vector<double>& from) {
  std::vector<T> result(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) result[i] = static_cast<T>(from[i]);
  return result;
}

std::vector<double> magnitudes(std::vector<double> from) {
  for (auto& value : from) value = std::abs(value);
  return from;
}

/// Operands of all passes, and the results in double with the sums of |products| that bound the
/// error of any other way to compute them.
struct Truth {
  Conv2dGeometry g;
  std::vector<double> x, w, b, dy;
  std::vector<double> y, dx, dw;
  std::vector<double> y_bound, dx_bound, dw_bound;

  explicit Truth(const Conv2dGeometry& geometry, random::Key key = {7}) : g(geometry) {
    const auto count = [](auto... sizes) { return static_cast<std::size_t>((sizes * ...)); };
    x = values(count(g.n, g.h, g.w, g.ic), key.fold("x"));
    w = values(count(g.oc, g.kh, g.kw, g.ic / g.groups), key.fold("w"));
    b = values(count(g.oc), key.fold("b"));
    dy = values(count(g.n, g.oh, g.ow, g.oc), key.fold("dy"));
    y = y_bound = std::vector<double>(dy.size());
    dx = dx_bound = std::vector<double>(x.size());
    dw = dw_bound = std::vector<double>(w.size());
    compute(y, dx, dw, x, w, b, dy);
    compute(y_bound, dx_bound, dw_bound, magnitudes(x), magnitudes(w), magnitudes(b),
            magnitudes(dy));
  }

 private:
  using Values = std::vector<double>;
  void compute(Values& y_, Values& dx_, Values& dw_, const Values& x_, const Values& w_,
               const Values& b_, const Values& dy_) const {
    const auto* packed = reinterpret_cast<const std::byte*>(w_.data());
    conv2d_reference::forward<double>(y_, x_, packed, {.bias = b_}, g);
    conv2d_reference::backward_input<double>(dx_, Store::overwrite, dy_, packed, g);
    conv2d_reference::backward_weight<double>(dw_, Store::overwrite, dy_, x_, {}, g);
  }
};

/// What bounds the error of Winograd's sums (conv2d/winograd.hpp): 16 times the largest |x| of an output's window
/// times the sum of |w|, over channels; for dw the largest |x| of a tile times the sum of |dy|, over tiles.
struct WinogradBounds {
  std::vector<double> y, dx, dw;

  explicit WinogradBounds(const Truth& truth) {
    const auto& g = truth.g;
    const auto forward = winograd::forward_tiling(g), backward = winograd::backward_tiling(g);
    std::vector<double> windows(static_cast<std::size_t>(g.oc * g.ic));  // sums of |w|
    for (std::int64_t i = 0; i < std::ssize(truth.w); ++i) {
      windows[at(i / (9 * g.ic) * g.ic + i % g.ic)] += std::abs(truth.w[at(i)]);
    }
    y = outputs(truth.x, forward, [&](auto out, auto in) { return windows[at(out * g.ic + in)]; });
    dx = outputs(truth.dy, backward,
                 [&](auto out, auto in) { return windows[at(in * g.ic + out)]; });
    for (std::size_t i = 0; i < y.size(); ++i) y[i] += std::abs(truth.b[i % truth.b.size()]);

    dw.resize(truth.w.size());
    for (std::int64_t i = 0; i < g.n * g.oh * g.ow * g.ic; ++i) {
      const auto pixel = i / g.ic, ic = i % g.ic, row = pixel / g.ow;
      const auto most = 16 * largest(truth.x, forward, row / g.oh, row % g.oh / 2 * 2,
                                     pixel % g.ow / 2 * 2, 4, ic);
      for (std::int64_t oc = 0; oc < g.oc; ++oc) {
        for (std::int64_t tap = 0; tap < 9; ++tap) {
          dw[at((oc * 9 + tap) * g.ic + ic)] += most * std::abs(truth.dy[at(pixel * g.oc + oc)]);
        }
      }
    }
  }

 private:
  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
  /// Of a channel of the inputs that outputs from (row, col) on read, `side` x `side` of them.
  static double largest(const std::vector<double>& in, const winograd::Tiling& t,
                        std::int64_t image, std::int64_t row, std::int64_t col, std::int64_t side,
                        std::int64_t channel) {
    double most = 0;
    for (std::int64_t k = 0; k < side * side; ++k) {
      const auto h = row - t.padding + k / side, w = col - t.padding + k % side;
      if (h < 0 || h >= t.in_h || w < 0 || w >= t.in_w) continue;
      const auto value = in[at(((image * t.in_h + h) * t.in_w + w) * t.in_c + channel)];
      most = std::max(most, std::abs(value));
    }
    return most;
  }
  static std::vector<double> outputs(const std::vector<double>& in, const winograd::Tiling& t,
                                     auto&& window) {
    std::vector<double> bounds(at(t.n * t.out_h * t.out_w * t.out_c));
    for (std::int64_t pixel = 0; pixel < t.n * t.out_h * t.out_w; ++pixel) {
      const auto row = pixel / t.out_w, col = pixel % t.out_w;
      for (std::int64_t ic = 0; ic < t.in_c; ++ic) {
        const auto most = largest(in, t, row / t.out_h, row % t.out_h, col, 3, ic);
        for (std::int64_t out = 0; out < t.out_c; ++out) {
          bounds[at(pixel * t.out_c + out)] += 16 * most * window(out, ic);
        }
      }
    }
    return bounds;
  }
};

std::string name(const auto& version) { return kernels::detail::name_of(version); }

template <class Version>
bool is_winograd(const Version& version) {
  return version.refuses == &winograd::refuses;
}

/// The largest error in units of its bound.
///
/// A sum of `terms` products in any order, with or without FMA, starting from a bias and with what
/// was there added, errs by at most (terms + 2) u per unit of sum |products| (Higham, Accuracy and
/// Stability, section 3.1; u is half of epsilon). The truth has the same bound in double: for T =
/// double the two add up to epsilon, which is therefore what is used throughout. Rounding to T adds
/// half an epsilon of T of the result, or half of float16's smallest step, 2^-24. Products of pieces
/// (conv2d/tile_pieces.hpp) sum six terms for one, but five of them are below 2^-8 of the first: they are
/// held to the same bound.
template <class T, class Stored>
double worst_error(const std::vector<Stored>& result, const std::vector<double>& truth,
                   const std::vector<double>& bound, const std::vector<double>* before,
                   std::int64_t terms) {
  const double sum_epsilon = std::numeric_limits<accumulate_t<T>>::epsilon();
  const double epsilon = static_cast<double>(std::numeric_limits<Stored>::epsilon());
  double worst = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    const double old = before ? (*before)[i] : 0;
    const double expected = truth[i] + old;
    const double sum_error =
        static_cast<double>(terms + 2) * sum_epsilon * (bound[i] + std::abs(old));
    const double allowed = sum_error * (1 + epsilon) + epsilon / 2 * std::abs(expected) +
                           (std::is_same_v<Stored, float16> ? 0x1p-25 : 0);
    const double error = std::abs(static_cast<double>(result[i]) - expected);
    if (!(error <= allowed)) {
      const double ratio = allowed > 0 ? error / allowed : HUGE_VAL;
      worst = std::isnan(ratio) ? HUGE_VAL : std::max(worst, ratio);
    } else if (allowed > 0) {
      worst = std::max(worst, error / allowed);
    }
  }
  return worst;
}

/// An output between guards: NaN inside, so that an element left unwritten shows, and a pattern
/// behind, so that one too many shows.
template <class T>
struct Output {
  static constexpr std::size_t guard = 64;
  std::vector<T> memory;

  explicit Output(std::size_t count)
      : memory(count + guard, static_cast<T>(std::numeric_limits<float>::quiet_NaN())) {}
  Output(std::size_t count, const std::vector<double>& before) : Output(count) {
    const auto old = as<T>(before);
    std::copy(old.begin(), old.end(), memory.begin());
  }
  std::span<T> span() { return std::span(memory).first(memory.size() - guard); }
  std::vector<T> result() const { return {memory.begin(), memory.end() - guard}; }
  bool guard_intact() const {
    for (auto i = memory.size() - guard; i < memory.size(); ++i) {
      const auto value = static_cast<double>(memory[i]);
      if (!std::isnan(value)) return false;
    }
    return true;
  }
};

template <class T>
Buffer packed(const auto& version, const std::vector<double>& w, const Conv2dGeometry& g) {
  Buffer buffer(static_cast<std::size_t>(version.packed_bytes(g)));
  version.pack(buffer.data(), as<param_t<T>>(w), g);
  return buffer;
}

template <class T>
std::vector<T> run_forward(const Conv2dForward<T>& version, const Truth& truth, bool bias) {
  const auto weights = packed<T>(version, truth.w, truth.g);
  const auto x = as<T>(truth.x);
  const auto b = as<param_t<T>>(bias ? truth.b : std::vector<double>{});
  Output<T> y(truth.y.size());
  version.run(y.span(), x, weights.data(), {.bias = b}, truth.g);
  CHECK(y.guard_intact());
  return y.result();
}

template <class T>
std::vector<T> run_backward_input(const Conv2dBackwardInput<T>& version, const Truth& truth,
                                  const std::vector<double>* before) {
  const auto weights = packed<T>(version, truth.w, truth.g);
  const auto dy = as<T>(truth.dy);
  auto dx = before ? Output<T>(truth.dx.size(), *before) : Output<T>(truth.dx.size());
  version.run(dx.span(), before ? Store::add : Store::overwrite, dy, weights.data(), truth.g);
  CHECK(dx.guard_intact());
  return dx.result();
}

template <class T>
std::vector<param_t<T>> run_backward_weight(const Conv2dBackwardWeight<T>& version,
                                            const Truth& truth, const std::vector<double>* before) {
  const auto dy = as<T>(truth.dy), x = as<T>(truth.x);
  using P = param_t<T>;
  auto dw = before ? Output<P>(truth.dw.size(), *before) : Output<P>(truth.dw.size());
  version.run(dw.span(), before ? Store::add : Store::overwrite, dy, x, {}, truth.g);
  CHECK(dw.guard_intact());
  return dw.result();
}

/// The reference sums in accumulate_t whatever T is: one T shows it, the others would take most of the time.
/// Dot products over lanes, and Winograd's way, refuse shapes only where others are as fast: all are run.
template <class T>
bool skip(const auto& version, const Conv2dGeometry& g) {
  if (is_winograd(version)) return !winograd::fits(g);
#ifdef TINYNET_TILES
  if (version.refuses == &conv2d_tiles::refuses_avx512) return !cpu().fast_bf16_dots;
#endif
  const bool again = version.path == Path::reference && !std::is_same_v<T, float>;
  return version.refuses(g) || (again && g.macs() > 10000);
}

template <class T>
void check_forward(const Truth& truth) {
  const auto& g = truth.g;
  for (const auto& version : conv2d_forward_versions<T>) {
    if (skip<T>(version, g)) continue;
    INFO(type_name<T>() << ", " << name(version) << ": " << describe(g));
    const auto y = run_forward(version, truth, true);
    const auto terms = is_winograd(version) ? g.ic + 10 : g.kh * g.kw * (g.ic / g.groups);
    const auto bound = is_winograd(version) ? WinogradBounds(truth).y : truth.y_bound;
    CHECK(worst_error<T>(y, truth.y, bound, nullptr, terms) <= 1);
  }
}

template <class T>
void check_backward_input(const Truth& truth) {
  const auto& g = truth.g;
  const auto before = values(truth.dx.size(), {3});
  for (const auto& version : conv2d_backward_input_versions<T>) {
    if (skip<T>(version, g)) continue;
    INFO(type_name<T>() << ", " << name(version) << ": " << describe(g));
    const auto terms = is_winograd(version) ? g.oc + 10 : g.kh * g.kw * (g.oc / g.groups);
    const auto bound = is_winograd(version) ? WinogradBounds(truth).dx : truth.dx_bound;
    const auto dx = run_backward_input(version, truth, nullptr);
    CHECK(worst_error<T>(dx, truth.dx, bound, nullptr, terms) <= 1);
    const auto added = run_backward_input(version, truth, &before);
    CHECK(worst_error<T>(added, truth.dx, bound, &before, terms) <= 1);
  }
}

template <class T>
void check_backward_weight(const Truth& truth) {
  const auto& g = truth.g;
  const auto before = values(truth.dw.size(), {4});
  for (const auto& version : conv2d_backward_weight_versions<T>) {
    if (skip<T>(version, g)) continue;
    INFO(type_name<T>() << ", " << name(version) << ": " << describe(g));
    const auto terms =
        is_winograd(version) ? winograd::forward_tiling(g).count() + 10 : g.n * g.oh * g.ow;
    const auto bound = is_winograd(version) ? WinogradBounds(truth).dw : truth.dw_bound;
    const auto dw = run_backward_weight(version, truth, nullptr);
    CHECK(worst_error<T>(dw, truth.dw, bound, nullptr, terms) <= 1);
    const auto added = run_backward_weight(version, truth, &before);
    CHECK(worst_error<T>(added, truth.dw, bound, &before, terms) <= 1);
  }
}

template <class... Types, class F>
void for_types(F&& f) {
  (f.template operator()<Types>(), ...);
}

/// A number of threads while it lives.
struct Threads {
  int before = num_threads();
  explicit Threads(int count) { set_num_threads(count); }
  ~Threads() { set_num_threads(before); }
  Threads(const Threads&) = delete;
};

void check_all(const Truth& truth) {
  for_types<float, double, bfloat16, float16>([&]<class T>() {
    check_forward<T>(truth);
    check_backward_input<T>(truth);
    check_backward_weight<T>(truth);
  });
}

/// Shapes that walk the option space: each window with each stride, padding and dilation that fits,
/// the channels and image sizes taken in turn.
const std::vector<Truth>& option_space() {
  static const auto shapes = [] {
    const std::int64_t channels[] = {1, 3, 15, 16, 17, 31, 32, 33, 64};
    std::vector<Truth> all;
    std::size_t turn = 0;
    for (const std::int64_t window : {1, 2, 3, 5, 7})
      for (const std::int64_t stride : {1, 2, 3})
        for (const std::int64_t padding : {0, 1, 2, 3})
          for (const std::int64_t dilation : {1, 2, 3}) {
            if (window == 1 && dilation > 1) continue;
            const auto reach = dilation * (window - 1) + 1;
            const auto h = std::max<std::int64_t>(reach - 2 * padding, 1) +
                           static_cast<std::int64_t>(turn % (window > 3 ? 4 : 6));
            const auto ic = channels[turn % 9], oc = channels[turn / 9 % 9 * 4 % 9];
            const auto groups = turn % 5 == 4 ? std::gcd(ic, oc) : 1;
            all.emplace_back(geometry({.n = turn % 3 ? 1 : 3,
                                       .h = h,
                                       .w = h % 2 ? h + 1 : h,
                                       .ic = ic,
                                       .oc = oc,
                                       .kh = window,
                                       .kw = window,
                                       .stride = stride,
                                       .padding = padding,
                                       .dilation = dilation,
                                       .groups = groups}));
            ++turn;
          }
    return all;
  }();
  return shapes;
}

}  // namespace

TEST_CASE("a correlation worked by hand") {
  // [1 2 3; 4 5 6; 7 8 9] with [1 2; 3 4], stride 1, no padding
  const Conv2dGeometry g = geometry({.n = 1, .h = 3, .w = 3, .ic = 1, .oc = 1, .kh = 2, .kw = 2});
  const std::vector<float> x = {1, 2, 3, 4, 5, 6, 7, 8, 9}, w = {1, 2, 3, 4}, b = {10};
  for (const auto& kernel : conv2d_forward_versions<float>) {
    if (kernel.refuses(g)) continue;
    Buffer packed(static_cast<std::size_t>(kernel.packed_bytes(g)));
    kernel.pack(packed.data(), w, g);
    std::vector<float> y(4);
    kernel.run(y, x, packed.data(), {.bias = b}, g);
    CHECK(y == std::vector<float>{47, 57, 77, 87});
    kernel.run(y, x, packed.data(), {}, g);
    CHECK(y == std::vector<float>{37, 47, 67, 77});
  }
  const std::vector<float> dy = {1, 10, 100, 1000};
  for (const auto& kernel : conv2d_backward_input_versions<float>) {
    if (kernel.refuses(g)) continue;
    Buffer packed(static_cast<std::size_t>(kernel.packed_bytes(g)));
    kernel.pack(packed.data(), w, g);
    std::vector<float> dx(9);
    kernel.run(dx, Store::overwrite, dy, packed.data(), g);
    CHECK(dx == std::vector<float>{1, 12, 20, 103, 1234, 2040, 300, 3400, 4000});
  }
  for (const auto& kernel : conv2d_backward_weight_versions<float>) {
    if (kernel.refuses(g)) continue;
    std::vector<float> dw(4);
    kernel.run(dw, Store::overwrite, dy, x, {}, g);
    CHECK(dw == std::vector<float>{5421, 6532, 8754, 9865});
  }
}

TEST_CASE("gradients are the transposed map") {
  const Threads one(1);  // small shapes: a team would spend its time waiting
  // <dy, conv(x, w)> = <dx, x> = <dw, w>, whatever the options
  for (const auto& truth : option_space()) {
    INFO(describe(truth.g));
    const auto dot = [](const auto& a, const auto& b) {
      double sum = 0;
      for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
      return sum;
    };
    const auto scale = dot(magnitudes(truth.dy), truth.y_bound);
    const auto allowed = doctest::Approx(0).scale(scale).epsilon(1e-12);
    for (std::size_t i = 0; i < conv2d_forward_versions<double>.size(); ++i) {
      const auto y = run_forward(conv2d_forward_versions<double>[i], truth, false);
      const auto dx = run_backward_input(conv2d_backward_input_versions<double>[i], truth, nullptr);
      const auto dw =
          run_backward_weight(conv2d_backward_weight_versions<double>[i], truth, nullptr);
      CHECK(dot(truth.dy, y) - dot(dx, truth.x) == allowed);
      CHECK(dot(truth.dy, y) - dot(dw, truth.w) == allowed);
    }
  }
}

TEST_CASE("every version agrees with the formula over the option space") {
  const Threads one(1);
  for (const auto& truth : option_space()) check_all(truth);
}

TEST_CASE("every version agrees with the formula on chosen shapes") {
  for (const auto& shape : {
           Shape{.n = 2, .h = 28, .w = 28, .ic = 1, .oc = 16, .kh = 5, .kw = 5, .padding = 2},
           Shape{.n = 1, .h = 32, .w = 32, .ic = 3, .oc = 33, .kh = 3, .kw = 3, .padding = 1},
           Shape{.n = 9, .h = 7, .w = 7, .ic = 32, .oc = 64, .kh = 3, .kw = 3, .padding = 1},
           Shape{.n = 17, .h = 2, .w = 1, .ic = 64, .oc = 31, .kh = 3, .kw = 3, .padding = 1},
           Shape{.n = 5, .h = 14, .w = 14, .ic = 32, .oc = 48, .kh = 1, .kw = 1, .stride = 2},
           Shape{.n = 1, .h = 40, .w = 3, .ic = 17, .oc = 15, .kh = 7, .kw = 1, .stride = 2},
           // more groups than the weight gradient has units
           Shape{.n = 16,
           .h = 3,
           .w = 3,
           .ic = 256,
           .oc = 256,
           .kh = 3,
           .kw = 3,
           .padding = 1,
           .groups = 32},
           // pixels that no output reads: their gradient is zero and must be written
           Shape{.n = 2, .h = 11, .w = 12, .ic = 5, .oc = 6, .kh = 1, .kw = 1, .stride = 3},
           Shape{.n = 2, .h = 10, .w = 9, .ic = 4, .oc = 3, .kh = 2, .kw = 2, .stride = 3},
           Shape{.n = 1,
           .h = 9,
           .w = 9,
           .ic = 3,
           .oc = 2,
           .kh = 2,
           .kw = 2,
           .stride = 2,
           .dilation = 2},
           // windows that touch nothing but padding
           Shape{.n = 1,
           .h = 1,
           .w = 1,
           .ic = 3,
           .oc = 4,
           .kh = 2,
           .kw = 2,
           .stride = 4,
           .padding = 3},
           // one pixel: pairs of channels, of pixels, and what is left over
           Shape{.n = 3, .h = 7, .w = 5, .ic = 20, .oc = 33, .kh = 1, .kw = 1},
           Shape{.n = 5, .h = 9, .w = 11, .ic = 34, .oc = 72, .kh = 1, .kw = 1, .stride = 2},
           Shape{.n = 1, .h = 1, .w = 1, .ic = 2, .oc = 1, .kh = 1, .kw = 1},
           Shape{.n = 33, .h = 8, .w = 8, .ic = 40, .oc = 20, .kh = 1, .kw = 1},
           // blocks of lanes, whole and not; windows that become channels; narrow ends
           Shape{.n = 48, .h = 3, .w = 4, .ic = 40, .oc = 72, .kh = 3, .kw = 3, .padding = 1},
           Shape{.n = 33,
           .h = 6,
           .w = 5,
           .ic = 33,
           .oc = 47,
           .kh = 3,
           .kw = 3,
           .stride = 2,
           .padding = 1},
           Shape{.n = 20, .h = 9, .w = 9, .ic = 1, .oc = 20, .kh = 5, .kw = 5, .padding = 2},
           Shape{.n = 3,
           .h = 13,
           .w = 12,
           .ic = 3,
           .oc = 16,
           .kh = 7,
           .kw = 7,
           .stride = 2,
           .padding = 3},
           Shape{.n = 17, .h = 4, .w = 4, .ic = 8, .oc = 33, .kh = 3, .kw = 3, .padding = 1},
           Shape{.n = 40,
           .h = 4,
           .w = 4,
           .ic = 36,
           .oc = 24,
           .kh = 3,
           .kw = 3,
           .padding = 1,
           .groups = 2},
           // one output; one channel a group
           Shape{.n = 3, .h = 5, .w = 5, .ic = 18, .oc = 9, .kh = 5, .kw = 5, .groups = 9},
           Shape{.n = 2,
           .h = 6,
           .w = 5,
           .ic = 33,
           .oc = 33,
           .kh = 3,
           .kw = 3,
           .stride = 2,
           .padding = 1,
           .groups = 33},
       }) {
    check_all(Truth(geometry(shape)));
  }
}

TEST_CASE("a first layer whose folded window is cut into ranges of channels") {
  // Nobody asks for the gradient of its input, which would take a minute under the sanitizers.
  const Truth truth(geometry({.n = 16, .h = 16, .w = 16, .ic = 3, .oc = 200, .kh = 16, .kw = 16}));
  for_types<float, double, bfloat16, float16>([&]<class T>() {
    check_forward<T>(truth);
    check_backward_weight<T>(truth);
  });
}

TEST_CASE("random shapes agree with the formula") {
  const Threads one(1);
  random::Generator draw({20240607});
  const auto upto = [&](std::uint32_t most) { return std::int64_t{1} + draw.below(most); };
  for (int i = 0; i < 500; ++i) {
    Shape shape{};
    do {
      // One in three has a batch that fills the lanes of tiles, some more than one block of them.
      shape = {.n = draw.chance(0.3f) ? upto(70) : upto(3),
               .h = upto(11),
               .w = upto(11),
               .ic = upto(20),
               .oc = upto(40),
               .kh = upto(7),
               .kw = upto(7),
               .stride = upto(4),
               .padding = upto(5) - 1,
               .dilation = upto(3)};
      if (draw.chance(0.3f)) {
        shape.groups = upto(4);
        shape.ic = (shape.ic + 3) / 4 * shape.groups;
        shape.oc = (shape.oc + 3) / 4 * shape.groups;
      }
    } while (geometry(shape).oh < 1 || geometry(shape).ow < 1 || geometry(shape).macs() > 400000);
    const Truth truth(geometry(shape), random::Key{static_cast<std::uint64_t>(i)});
    const auto check = [&]<class T>() {
      check_forward<T>(truth);
      check_backward_input<T>(truth);
      check_backward_weight<T>(truth);
    };
    check.operator()<bfloat16>();  // has the most versions
    switch (i % 3) {               // all of them would double the time for little more
      case 0:
        check.operator()<float>();
        break;
      case 1:
        check.operator()<float16>();
        break;
      default:
        check.operator()<double>();
        break;
    }
  }
}

TEST_CASE("random shapes of Winograd's kind agree with the formula") {
  const Threads one(1);
  random::Generator draw({20261128});
  const auto upto = [&](std::uint32_t most) { return std::int64_t{1} + draw.below(most); };
  for (int i = 0; i < 300; ++i) {
    Shape shape{};
    do {
      shape = {.n = upto(5),
               .h = upto(14),
               .w = upto(14),
               .ic = upto(70),
               .oc = upto(70),
               .kh = 3,
               .kw = 3,
               .padding = upto(5) - 1};
    } while (geometry(shape).oh < 1 || geometry(shape).ow < 1 || geometry(shape).macs() > 1000000);
    const Truth truth(geometry(shape), random::Key{static_cast<std::uint64_t>(i)});
    check_forward<float>(truth);
    check_backward_input<float>(truth);
    check_backward_weight<float>(truth);
  }
}

TEST_CASE("a large image takes several steps of Winograd's weight gradient") {
  const Truth truth(
      geometry({.n = 1, .h = 200, .w = 200, .ic = 1, .oc = 1, .kh = 3, .kw = 3, .padding = 1}));
  check_forward<float>(truth);
  check_backward_input<float>(truth);
  check_backward_weight<float>(truth);
}

TEST_CASE("the number of threads does not change a bit") {
  const Threads restored(1);
  for (const auto& shape : {
           Shape{.n = 1, .h = 28, .w = 28, .ic = 16, .oc = 96, .kh = 3, .kw = 3, .padding = 1},
           Shape{.n = 33,
           .h = 9,
           .w = 7,
           .ic = 17,
           .oc = 40,
           .kh = 3,
           .kw = 3,
           .stride = 2,
           .padding = 1},
           Shape{.n = 13, .h = 4, .w = 4, .ic = 64, .oc = 128, .kh = 3, .kw = 3, .padding = 1},
           Shape{.n = 35, .h = 14, .w = 2, .ic = 32, .oc = 64, .kh = 3, .kw = 3, .padding = 1},
           Shape{.n = 33, .h = 8, .w = 8, .ic = 40, .oc = 20, .kh = 1, .kw = 1},
           Shape{.n = 5,
           .h = 12,
           .w = 12,
           .ic = 12,
           .oc = 20,
           .kh = 5,
           .kw = 5,
           .padding = 2,
           .groups = 4},
       }) {
    const Truth truth(geometry(shape));
    const auto each = [&]<class T>(const auto& versions, auto run) {
      for (const auto& version : versions) {
        if (skip<T>(version, truth.g) || version.path == Path::reference) continue;
        set_num_threads(1);
        const auto alone = run(version);
        for (const int threads : {2, 3, 4, 8}) {
          INFO(type_name<T>() << ", " << name(version) << ", " << threads
                              << " threads: " << describe(truth.g));
          set_num_threads(threads);
          const auto result = run(version);
          CHECK(std::memcmp(alone.data(), result.data(), alone.size() * sizeof(alone[0])) == 0);
        }
      }
    };
    for_types<float, double, bfloat16, float16>([&]<class T>() {
      each.template operator()<T>(conv2d_forward_versions<T>, [&](const auto& version) {
        return run_forward(version, truth, true);
      });
      each.template operator()<T>(conv2d_backward_input_versions<T>, [&](const auto& version) {
        return run_backward_input(version, truth, nullptr);
      });
      each.template operator()<T>(conv2d_backward_weight_versions<T>, [&](const auto& version) {
        return run_backward_weight(version, truth, nullptr);
      });
    });
  }
}

TEST_CASE("which version is chosen, and what refuses in words") {
  const auto path = [](const Conv2dGeometry& g) { return conv2d_forward<bfloat16>(g).path; };
  const auto wide = geometry({.n = 16, .h = 7, .w = 7, .ic = 64, .oc = 64, .kh = 3, .kw = 3});
  const auto narrow = geometry({.n = 16, .h = 7, .w = 7, .ic = 16, .oc = 16, .kh = 3, .kw = 3});
  {
    const ScopedPathLimit limit(Path::simd);
    CHECK(path(wide) == Path::simd);
  }
#ifdef TINYNET_TILES
  if (cpu().amx_bf16 && path_limit() == Path::amx) {
    const auto& tiles = conv2d_forward_amx_pixels<bfloat16>;
    const auto& weight_tiles = conv2d_backward_weight_amx_pixels<bfloat16>;
    const auto point = geometry({.n = 16, .h = 7, .w = 7, .ic = 40, .oc = 40, .kh = 1, .kw = 1});
    const auto full = geometry({.n = 16, .h = 7, .w = 7, .ic = 64, .oc = 64, .kh = 1, .kw = 1});
    const auto first = geometry({.n = 16, .h = 7, .w = 7, .ic = 3, .oc = 16, .kh = 3, .kw = 3});
    CHECK((conv2d_forward<bfloat16>(point).run == tiles.run));
    CHECK((conv2d_forward<bfloat16>(full).run == tiles.run));
    CHECK((conv2d_forward<bfloat16>(first).run == tiles.run));
    CHECK((conv2d_backward_weight<bfloat16>(point).run == weight_tiles.run));
    CHECK(weight_tiles.refuses(full) == std::string("channels that fill the tiles of lanes"));
    CHECK(tiles.refuses(wide) == std::string("a window of several pixels, or padding"));
    CHECK((conv2d_forward<bfloat16>(wide).run == conv2d_forward_amx<bfloat16>.run));
  }
#endif
  const auto first = geometry({.n = 16, .h = 7, .w = 7, .ic = 3, .oc = 16, .kh = 3, .kw = 3});
  CHECK(conv2d_forward_winograd<float>.refuses(first) ==
        std::string("few channels: transforms take longer than they save"));
  // 65,535 squared residues, most of them empty, would take hours.
  const auto far =
      geometry({.n = 2, .h = 8, .w = 8, .ic = 4, .oc = 6, .kh = 3, .kw = 3, .stride = 65535});
  CHECK(conv2d_backward_input_simd<float>.refuses(far) == std::string("a stride above 256"));
  const ScopedPathLimit limit(Path::avx512);
  CHECK(path(wide) == (cpu().fast_bf16_dots ? Path::avx512 : Path::simd));
  CHECK(path(narrow) == Path::simd);
  CHECK(conv2d_forward<float16>(wide).path == Path::simd);
  CHECK((conv2d_forward<float>(wide).run == conv2d_forward_winograd<float>.run));
  CHECK((conv2d_backward_input<float>(wide).run == conv2d_backward_input_winograd<float>.run));
  CHECK((conv2d_backward_weight<float>(wide).run == conv2d_backward_weight_winograd<float>.run));
  winograd_allowed() = false;
  CHECK((conv2d_forward<float>(wide).run == conv2d_forward_simd<float>.run));
  winograd_allowed() = true;
#ifdef TINYNET_TILES
  if (!cpu().fast_bf16_dots) {
    CHECK(conv2d_forward_avx512<bfloat16>.refuses(wide) == cpu().bf16_dots_refusal);
    return;
  }
  CHECK(conv2d_forward_avx512<bfloat16>.refuses(wide) == nullptr);
  CHECK(conv2d_forward_avx512<bfloat16>.refuses(narrow) ==
        std::string("too few channels: vectors are as fast"));
  const auto point = geometry({.n = 16, .h = 7, .w = 7, .ic = 40, .oc = 40, .kh = 1, .kw = 1});
  CHECK(conv2d_backward_weight_avx512<bfloat16>.refuses(point) ==
        std::string("a window of one pixel and channels that leave registers in part empty"));
  CHECK(conv2d_forward_avx512_pixels<bfloat16>.refuses(point) == nullptr);
  CHECK(conv2d_backward_input_avx512_pixels<bfloat16>.refuses(point) == nullptr);
  CHECK(conv2d_backward_weight_avx512_pixels<bfloat16>.refuses(point) == nullptr);
  CHECK(conv2d_forward_avx512_pixels<bfloat16>.refuses(wide) ==
        std::string("a window of several pixels, or padding"));
  const auto odd = geometry({.n = 16, .h = 7, .w = 7, .ic = 41, .oc = 40, .kh = 1, .kw = 1});
  CHECK(conv2d_forward_avx512_pixels<bfloat16>.refuses(odd) ==
        std::string("an odd number of channels makes no pairs"));
  const auto strided =
      geometry({.n = 16, .h = 7, .w = 7, .ic = 40, .oc = 40, .kh = 1, .kw = 1, .stride = 2});
  CHECK(conv2d_backward_input_avx512_pixels<bfloat16>.refuses(strided) ==
        std::string("gradients of strides leave pixels out"));
#endif
}

TEST_CASE("groups do not see each other's channels") {
  // A kernel that loads past its group multiplies what it finds with zeros: not so if that is NaN.
  const Truth truth(geometry(
      {.n = 20, .h = 5, .w = 5, .ic = 40, .oc = 40, .kh = 3, .kw = 3, .padding = 1, .groups = 2}));
  auto poisoned = truth;
  for (std::size_t i = 0; i < truth.x.size(); ++i) {
    if (i % 40 < 20) continue;
    poisoned.x[i] = poisoned.dy[i] = std::numeric_limits<double>::quiet_NaN();
  }
  for_types<float, bfloat16>([&]<class T>() {
    const auto compare = [&](const auto& clean, const auto& dirty) {
      for (std::size_t i = 0; i < clean.size(); ++i) {
        if (i % 40 < 20) REQUIRE(static_cast<float>(clean[i]) == static_cast<float>(dirty[i]));
      }
    };
    const auto& forward = conv2d_forward<T>(truth.g);
    compare(run_forward(forward, truth, true), run_forward(forward, poisoned, true));
    const auto& input = conv2d_backward_input<T>(truth.g);
    compare(run_backward_input(input, truth, nullptr),
            run_backward_input(input, poisoned, nullptr));
    const auto& weight = conv2d_backward_weight<T>(truth.g);
    const auto clean = run_backward_weight(weight, truth, nullptr);
    const auto dirty = run_backward_weight(weight, poisoned, nullptr);
    CHECK(std::equal(clean.begin(), clean.begin() + std::ssize(clean) / 2, dirty.begin()));
  });
}

namespace {

/// Every version with a map, a bias and moments gives the bits it gives without, for a mapped copy.
template <class T>
void check_fusion(const Truth& truth) {
  const auto& g = truth.g;
  using P = param_t<T>;
  const auto scale = as<P>(values(static_cast<std::size_t>(g.ic), {21}));
  const auto shift = as<P>(values(static_cast<std::size_t>(g.ic), {22}));
  const auto center = as<P>(values(static_cast<std::size_t>(g.oc), {23}));
  const auto bias = as<P>(truth.b);
  const NormActMap<T> normalize(Bump{}, scale.data(), shift.data(), g.ic);
  const auto x = as<T>(truth.x), dy = as<T>(truth.dy);
  auto copy = x;
  normalize.map()(copy.data(), x.data(), std::ssize(x) / g.ic);
  const auto same_bits = [](const auto& a, const auto& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(a[0])) == 0;
  };
  for (const auto& version : conv2d_forward_versions<T>) {
    if (skip<float>(version, g)) continue;
    INFO(type_name<T>() << ", " << name(version) << ": " << describe(g));
    const auto weights = packed<T>(version, truth.w, g);
    Output<T> plain(truth.y.size()), fused(truth.y.size());
    Output<double> sums(static_cast<std::size_t>(2 * g.oc));
    version.run(plain.span(), copy, weights.data(), {.bias = bias}, g);
    version.run(fused.span(), x, weights.data(),
                {.bias = bias, .map = normalize.map(), .moments = {center, sums.span()}}, g);
    CHECK(fused.guard_intact());
    CHECK(sums.guard_intact());
    const auto y = plain.result();
    CHECK(same_bits(y, fused.result()));
    const auto result = sums.result();
    for (std::int64_t ch = 0; ch < g.oc; ++ch) {
      double first = 0, second = 0, magnitude = 0, rounded = 0, largest = 0, count = 0;
      for (std::size_t i = static_cast<std::size_t>(ch); i < y.size();
           i += static_cast<std::size_t>(g.oc)) {
        const double d =
            static_cast<double>(y[i]) - static_cast<double>(center[static_cast<std::size_t>(ch)]);
        first += d, second += d * d, magnitude += std::abs(d), ++count;
        rounded += std::abs(static_cast<double>(y[i])) + 1e-7;
        largest = std::max(largest, std::abs(d));
      }
      // Sums of accumulate_t of at most 1024 values, and the rounding of each difference and square;
      // what rounding y to T changes, if the version sums up before.
      const double u = std::numeric_limits<accumulate_t<T>>::epsilon();
      const double terms = std::min(count, 1024.0) + 3;
      const double half = static_cast<double>(std::numeric_limits<T>::epsilon()) / 2 * rounded;
      REQUIRE(std::abs(result[static_cast<std::size_t>(ch)] - first) <=
              terms * u * (magnitude + rounded) + half);
      REQUIRE(std::abs(result[static_cast<std::size_t>(g.oc + ch)] - second) <=
              terms * u * (second + 2 * largest * rounded) + 2.1 * largest * half);
    }
  }
  for (const auto& version : conv2d_backward_weight_versions<T>) {
    if (skip<float>(version, g)) continue;
    INFO(type_name<T>() << ", " << name(version) << ": " << describe(g));
    Output<P> plain(truth.dw.size()), fused(truth.dw.size());
    version.run(plain.span(), Store::overwrite, dy, copy, {}, g);
    version.run(fused.span(), Store::overwrite, dy, x, normalize.map(), g);
    CHECK(same_bits(plain.result(), fused.result()));
  }
}

}  // namespace

TEST_CASE("a convolution maps its input and sums up its output on the way") {
  for (const auto& shape : {
           Shape{.n = 20, .h = 5, .w = 6, .ic = 40, .oc = 72, .kh = 3, .kw = 3, .padding = 1},
           Shape{.n = 3,
           .h = 14,
           .w = 11,
           .ic = 17,
           .oc = 33,
           .kh = 3,
           .kw = 3,
           .stride = 2,
           .padding = 1},
           Shape{.n = 33, .h = 7, .w = 7, .ic = 32, .oc = 20, .kh = 1, .kw = 1, .stride = 2},
           Shape{.n = 17, .h = 8, .w = 8, .ic = 3, .oc = 16, .kh = 3, .kw = 3, .padding = 1},
           Shape{.n = 18,
           .h = 6,
           .w = 8,
           .ic = 32,
           .oc = 48,
           .kh = 5,
           .kw = 3,
           .padding = 3,
           .dilation = 2,
           .groups = 2},
           Shape{.n = 16, .h = 5, .w = 5, .ic = 64, .oc = 64, .kh = 1, .kw = 1},
           // more than eight pixels a lane, some of them left out
           Shape{.n = 33, .h = 2, .w = 23, .ic = 34, .oc = 40, .kh = 1, .kw = 3, .padding = 1},
           Shape{.n = 33, .h = 3, .w = 25, .ic = 34, .oc = 40, .kh = 1, .kw = 1, .stride = 2},
           // a row wider than a unit of Winograd's
           Shape{.n = 1, .h = 3, .w = 1100, .ic = 16, .oc = 3, .kh = 3, .kw = 3, .padding = 1},
           // ranges of channels in the weight gradient
           Shape{.n = 32, .h = 3, .w = 4, .ic = 160, .oc = 160, .kh = 3, .kw = 3, .padding = 1},
       }) {
    const Truth truth(geometry(shape));
    for_types<float, double, bfloat16, float16>([&]<class T>() { check_fusion<T>(truth); });
  }
}

TEST_CASE("what is not finite stays where it is read") {
  // Sums of pieces must not make NaN of it everywhere, nor lose it.
  Truth truth(
      geometry({.n = 20, .h = 6, .w = 6, .ic = 32, .oc = 32, .kh = 3, .kw = 3, .padding = 1}));
  for (const double bad :
       {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    truth.x[32 * 36 * 3 + 32 * 7 + 5] = bad;  // image 3, pixel (1, 1)
    for_types<float, bfloat16, float16>([&]<class T>() {
      for (const auto& version : conv2d_forward_versions<T>) {
        if (skip<T>(version, truth.g)) continue;
        INFO(type_name<T>() << ", " << name(version) << ", " << bad);
        const auto y = run_forward(version, truth, true);
        for (std::size_t i = 0; i < y.size(); ++i) {
          const auto image = i / 32 / 36, row = i / 32 / 6 % 6, col = i / 32 % 6;
          const bool reads = image == 3 && row <= 2 && col <= 2;
          REQUIRE(std::isfinite(static_cast<float>(y[i])) == !reads);
        }
      }
    });
  }
}

TEST_CASE("an output of the forward pass does not depend on the rest of the batch") {
  const Truth all(
      geometry({.n = 5, .h = 7, .w = 7, .ic = 16, .oc = 33, .kh = 3, .kw = 3, .padding = 1}));
  for (const auto& version : conv2d_forward_versions<float>) {
    if (skip<float>(version, all.g)) continue;
    INFO(name(version));
    const auto batch = run_forward(version, all, true);
    Truth one = all;
    one.g.n = 1;
    const auto image = one.y.size() / 5, input = one.x.size() / 5;
    for (std::size_t n = 0; n < 5; ++n) {
      one.x.assign(all.x.begin() + static_cast<std::ptrdiff_t>(n * input),
                   all.x.begin() + static_cast<std::ptrdiff_t>((n + 1) * input));
      one.y.resize(image);
      const auto alone = run_forward(version, one, true);
      CHECK(std::equal(alone.begin(), alone.end(),
                       batch.begin() + static_cast<std::ptrdiff_t>(n * image)));
    }
  }
}
