// Matrix product and depthwise convolution: every version against a sum in double, with the error
// bound that rounding allows, not more.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <tinynet/kernels/depthwise_conv2d.hpp>
#include <tinynet/kernels/gemm.hpp>
#include <tinynet/kernels/norm_act/map.hpp>

#include "bump.hpp"

using namespace tinynet;
using namespace tinynet::kernels;
using std::int64_t;

namespace {

/// A small generator for test values and for picking cases.
struct Dice {
  std::uint64_t state;
  std::uint32_t next() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::uint32_t>(state >> 33);
  }
  int64_t below(int64_t n) { return next() % n; }
  int64_t pick(std::initializer_list<int64_t> list) { return list.begin()[below(list.size())]; }
  double uniform() { return next() / 1073741824.0 - 1; }  // [-1, 1)
};

template <class T>
std::vector<T> random_values(Dice& dice, int64_t count) {
  std::vector<T> values(count);
  for (auto& v : values) v = T(dice.uniform());
  return values;
}

template <class T>
const T poison = T(std::numeric_limits<float>::quiet_NaN());

/// The largest relative error of rounding to T.
template <class T>
double roundoff() {
  if constexpr (std::is_same_v<T, double>) return 0x1p-53;
  if constexpr (std::is_same_v<T, float>) return 0x1p-24;
  if constexpr (std::is_same_v<T, float16>) return 0x1p-11;
  return 0x1p-8;
}

/// How far a sum of `terms` products formed in X and stored as T may lie from the exact one:
/// each of the additions, the products, a bias and an old value rounds once relative to the sum of
/// magnitudes; storing rounds once more relative to the result. Subnormal halves round absolutely.
/// The factor 2 covers the oracle, which rounds too where X is double.
template <class T>
double error_bound(int64_t terms, double magnitude, double exact) {
  const double sum = 2 * static_cast<double>(terms + 3) * roundoff<accumulate_t<T>>() * magnitude;
  const double absolute = std::is_same_v<T, float16> ? 0x1p-25 : 0;
  return sum + roundoff<T>() * (std::abs(exact) + sum) + absolute;
}

/// Outside of templates, where each use of CHECK would be compiled for each type.
void expect(const std::string& complaint, const std::string& what) {
  INFO(what);
  CHECK(complaint == "");
}
void expect(bool condition, const std::string& what) {
  INFO(what);
  CHECK(condition);
}

std::string words(std::initializer_list<int64_t> numbers) {
  std::string text;
  for (const auto number : numbers) text += " " + std::to_string(number);
  return text;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

struct Threads {
  int before = num_threads();
  ~Threads() { set_num_threads(before); }
};

// --- Matrix product -----------------------------------------------------------------------------

/// How a matrix lies in memory.
enum class Layout { rows, columns, padded_rows, padded_columns, scattered };

template <class T>
struct Stored {
  std::vector<T> values;
  Matrix<T> view;
  Stored(int64_t rows, int64_t cols, Layout layout) {
    const int64_t pad = layout == Layout::rows || layout == Layout::columns ? 0 : 5;
    if (layout == Layout::rows || layout == Layout::padded_rows) {
      view = {nullptr, rows, cols, cols + pad, 1};
    } else if (layout == Layout::scattered) {
      view = {nullptr, rows, cols, 3 * cols + pad, 3};
    } else {
      view = {nullptr, rows, cols, 1, rows + pad};
    }
    values.assign((rows - 1) * view.row_stride + (cols - 1) * view.col_stride + 1, poison<T>);
    view.data = values.data();
  }
};

struct GemmCase {
  int64_t m, n, k;
  Layout a = Layout::rows, b = Layout::rows;
  bool padded_c = false, bias = false;
  Store store = Store::overwrite;
};

std::string describe(const GemmCase& g) {
  return ", m n k" + words({g.m, g.n, g.k}) + ", layouts" +
         words({static_cast<int>(g.a), static_cast<int>(g.b)}) + (g.padded_c ? ", padded C" : "") +
         (g.bias ? ", bias" : "") + (g.store == Store::add ? ", add" : "");
}

template <class A, class B, class C>
std::string gemm_name(const Gemm<A, B, C>& kernel) {
  return std::string(path_name(kernel.path)) + " " + type_name<A>() + " " + type_name<B>() + " " +
         type_name<C>();
}

template <class A, class B, class C>
struct GemmData {
  Stored<A> a;
  Stored<B> b;
  Stored<C> c;
  std::vector<accumulate_t<C>> bias;
  const GemmCase& g;

  GemmData(const GemmCase& gemm, Dice& dice)
      : a(gemm.m, gemm.k, gemm.a),
        b(gemm.k, gemm.n, gemm.b),
        c(gemm.m, gemm.n, gemm.padded_c ? Layout::padded_rows : Layout::rows),
        g(gemm) {
    const auto fill = [&](auto& stored) {
      for (int64_t i = 0; i < stored.view.rows; ++i) {
        for (int64_t j = 0; j < stored.view.cols; ++j) {
          stored.view(i, j) = std::remove_reference_t<decltype(stored.view(i, j))>(dice.uniform());
        }
      }
    };
    fill(a), fill(b);
    if (g.store == Store::add) fill(c);
    if (g.bias) bias = random_values<accumulate_t<C>>(dice, g.n);
  }
  const accumulate_t<C>* bias_data() const { return bias.empty() ? nullptr : bias.data(); }

  std::vector<C> run(const Gemm<A, B, C>& kernel) const {
    auto values = c.values;
    auto view = c.view;
    view.data = values.data();
    kernel.run(a.view, b.view, view, bias_data(), g.store);
    return values;
  }
};

template <class T>
double operand(T x, bool as_bfloat16) {
  return as_bfloat16 ? static_cast<float>(bfloat16(static_cast<float>(x))) : static_cast<double>(x);
}

/// The number of elements beyond their bound or wrongly written, in words; empty if none.
template <class A, class B, class C>
std::string wrong(const GemmData<A, B, C>& d, const Gemm<A, B, C>& kernel) {
  const auto values = d.run(kernel);
  // Tiles round float operands first; from there on the sums are held to the bound of float.
  const bool rounded = kernel.path >= Path::avx512;
  int64_t bad = 0;
  double worst = 0;
  for (int64_t i = 0; i < d.g.m; ++i) {
    for (int64_t j = 0; j < d.g.n; ++j) {
      const double bias = d.bias.empty() ? 0 : static_cast<double>(d.bias[j]);
      const double old = d.g.store == Store::add ? static_cast<double>(d.c.view(i, j)) : 0;
      double exact = bias + old, magnitude = std::abs(bias) + std::abs(old);
      for (int64_t p = 0; p < d.g.k; ++p) {
        const double product = operand(d.a.view(i, p), rounded) * operand(d.b.view(p, j), rounded);
        exact += product;
        magnitude += std::abs(product);
      }
      const double got = static_cast<double>(values[i * d.c.view.row_stride + j]);
      const double share = std::abs(got - exact) / error_bound<C>(d.g.k, magnitude, exact);
      if (!(share <= 1)) ++bad;
      if (!(share <= worst)) worst = share;
    }
    for (int64_t j = d.g.n; i + 1 < d.g.m && j < d.c.view.row_stride; ++j) {
      if (!std::isnan(static_cast<double>(values[i * d.c.view.row_stride + j]))) ++bad;
    }
  }
  if (bad == 0) return "";
  return std::to_string(bad) + " of " + std::to_string(d.g.m * d.g.n) + ", worst " +
         std::to_string(worst) + " times the bound";
}

template <class A, class B, class C>
void check_gemm(const GemmCase& g, Dice& dice) {
  const GemmData<A, B, C> data(g, dice);
  for (const auto& kernel : gemm_versions<A, B, C>) {
    if (kernel.refuses({g.m, g.n, g.k})) continue;
    expect(wrong(data, kernel), gemm_name(kernel) + describe(g));
  }
}

/// Calls f with each triple of types that the library multiplies.
template <class F>
void for_each_gemm_type(F&& f) {
  f(float(), float(), float());
  f(double(), double(), double());
  f(bfloat16(), float(), bfloat16());
  f(bfloat16(), bfloat16(), float());
  f(float16(), float(), float16());
  f(float16(), float16(), float());
}

Layout nth_layout(int64_t i) { return static_cast<Layout>(i % 5); }

}  // namespace

TEST_CASE("gemm: every version keeps its bound at sizes around tiles and vectors") {
  Dice dice{1};
  int64_t i = 0;
  const int64_t sizes[] = {1, 3, 15, 16, 17, 31, 32, 33, 64, 100};
  for (const auto m : sizes) {
    for (const auto n : sizes) {
      for (const auto k : sizes) {
        if (m * n * k > 200'000 && (m + n + k) % 3) continue;
        for_each_gemm_type([&](auto a, auto b, auto c) {
          ++i;
          const GemmCase g{m,
                           n,
                           k,
                           nth_layout(i),
                           nth_layout(i / 5),
                           i % 3 == 0,
                           i % 7 < 3,
                           i % 4 == 0 ? Store::add : Store::overwrite};
          check_gemm<decltype(a), decltype(b), decltype(c)>(g, dice);
        });
      }
    }
  }
}

TEST_CASE("gemm: long sums, cut into blocks and parts") {
  Dice dice{2};
  for_each_gemm_type([&](auto a, auto b, auto c) {
    for (const auto layout : {Layout::rows, Layout::columns}) {
      const auto check = [&](const GemmCase& g) {
        check_gemm<decltype(a), decltype(b), decltype(c)>(g, dice);
      };
      check({3, 5, 1025, layout, layout, true, true});
      check({10, 33, 4097, layout, layout, false, true, Store::add});
      check({64, 9, 6001, layout, layout});
      check({1, 1, 3000, layout, layout});
    }
  });
}

TEST_CASE("gemm: more than one block of rows and columns") {
  Dice dice{3};
  check_gemm<float, float, float>({300, 600, 40, Layout::rows, Layout::columns, true}, dice);
  check_gemm<bfloat16, float, bfloat16>({300, 600, 40, Layout::rows, Layout::columns, true}, dice);
  check_gemm<bfloat16, bfloat16, float>({520, 70, 65, Layout::columns, Layout::rows}, dice);
}

TEST_CASE("gemm: few rows, and few products an element") {
  Dice dice{8};
  int64_t i = 0;
  for (int64_t few = 1; few <= 9; ++few) {
    for_each_gemm_type([&](auto a, auto b, auto c) {
      const auto check = [&](int64_t m, int64_t n, int64_t k) {
        ++i;
        check_gemm<decltype(a), decltype(b), decltype(c)>(
            {m, n, k, nth_layout(i), nth_layout(i / 5), i % 3 == 0, i % 4 < 2,
             i % 2 ? Store::add : Store::overwrite},
            dice);
      };
      for (int layout = 0; layout < 5; ++layout) check(few, 70, 150);  // sums in parts, and tails
      check(few, 1056, 20);                                            // more than one block
      check(70, 601, few);
    });
  }
}

TEST_CASE("gemm: nothing to sum") {
  Dice dice{4};
  const GemmCase g{3, 4, 1, Layout::rows, Layout::rows, false, true};
  const GemmData<float, float, float> data(g, dice);
  for (const auto& kernel : gemm_versions<float, float, float>) {
    if (kernel.refuses({3, 4, 0})) continue;
    auto c = data.c.values;
    kernel.run({data.a.view.data, 3, 0, 0, 1}, {data.b.view.data, 0, 4, 4, 1},
               matrix(c.data(), 3, 4), data.bias_data(), Store::overwrite);
    for (int64_t i = 0; i < 12; ++i) CHECK(c[i] == data.bias[i % 4]);
    kernel.run(data.a.view, {data.b.view.data, 1, 0, 4, 1}, matrix(c.data(), 3, 0), nullptr,
               Store::overwrite);
    kernel.run({data.a.view.data, 0, 1, 1, 1}, data.b.view, matrix(c.data(), 0, 4), nullptr,
               Store::overwrite);
  }
}

TEST_CASE("gemm: 500 random configurations") {
  Dice dice{5};
  for (int round = 0; round < 500; ++round) {
    const auto size = [&] { return 1 + dice.below(dice.pick({8, 40, 130})); };
    const GemmCase g{size(),
                     size(),
                     size(),
                     nth_layout(dice.next()),
                     nth_layout(dice.next()),
                     dice.below(2) == 0,
                     dice.below(2) == 0,
                     dice.below(2) ? Store::add : Store::overwrite};
    const auto which = dice.below(6);
    int64_t type = 0;
    for_each_gemm_type([&](auto a, auto b, auto c) {
      if (type++ == which) check_gemm<decltype(a), decltype(b), decltype(c)>(g, dice);
    });
  }
}

TEST_CASE("gemm: the number of threads does not show in the bits") {
  const Threads restore;
  Dice dice{6};
  for_each_gemm_type([&](auto a, auto b, auto c) {
    using A = decltype(a);
    using B = decltype(b);
    using C = decltype(c);
    for (const auto& g : {GemmCase{128, 100, 200}, GemmCase{10, 20, 9000, Layout::columns},
                          GemmCase{600, 40, 30, Layout::rows, Layout::columns},
                          GemmCase{4, 300, 2000, Layout::rows, Layout::columns},
                          GemmCase{5, 300, 2000}, GemmCase{500, 300, 3, Layout::columns}}) {
      const GemmData<A, B, C> data(g, dice);
      for (const auto& kernel : gemm_versions<A, B, C>) {
        if (kernel.path == Path::reference || kernel.refuses({g.m, g.n, g.k})) continue;
        set_num_threads(1);
        const auto one = data.run(kernel);
        for (const int threads : {2, 3, 4, 8}) {
          set_num_threads(threads);
          expect(same_bits(data.run(kernel), one), gemm_name(kernel) + words({threads}));
        }
      }
    }
  });
}

TEST_CASE("gemm: infinities and NaN reach the result and nothing beside it") {
  Dice dice{7};
  const GemmCase g{17, 33, 40, Layout::rows, Layout::columns};
  GemmData<bfloat16, float, bfloat16> data(g, dice);
  data.a.view(5, 39) = bfloat16(std::numeric_limits<float>::infinity());
  data.b.view(39, 32) = std::numeric_limits<float>::quiet_NaN();
  for (const auto& kernel : gemm_versions<bfloat16, float, bfloat16>) {
    if (kernel.refuses({g.m, g.n, g.k})) continue;
    const auto values = data.run(kernel);
    for (int64_t i = 0; i < g.m; ++i) {
      for (int64_t j = 0; j < g.n; ++j) {
        expect(std::isfinite(static_cast<float>(values[i * g.n + j])) == (i != 5 && j != 32),
               gemm_name(kernel));
      }
    }
  }
}

TEST_CASE("gemm: what is chosen, and why not the faster one") {
  const GemmGeometry g{64, 64, 64};
  const auto chosen = [&] {
    return choose("gemm", gemm_versions<bfloat16, float, bfloat16>, g).path;
  };
  {
    const ScopedPathLimit limit(Path::reference);
    CHECK(chosen() == Path::reference);
  }
  {
    const ScopedPathLimit limit(Path::simd);
    CHECK(chosen() == Path::simd);
  }
  {
    const ScopedPathLimit limit(Path::avx512);
    CHECK(chosen() == (cpu().fast_bf16_dots ? Path::avx512 : Path::simd));
  }
  const ScopedPathLimit limit(Path::amx);
  if (cpu().amx_bf16) CHECK(chosen() == Path::amx);
  CHECK(choose("gemm", gemm_versions<float, float, float>, g).path == Path::simd);
  // Few rows are read as they lie, whatever the CPU has, if they are of the type of the sums.
  const auto few = [](const auto& versions, GemmGeometry of) {
    return &choose("gemm", versions, of) == &versions.front();
  };
  CHECK(few(gemm_versions<bfloat16, float, bfloat16>, {8, 64, 64}));
  CHECK(!few(gemm_versions<bfloat16, float, bfloat16>, {9, 64, 64}));
  CHECK(!few(gemm_versions<bfloat16, float, bfloat16>, {64, 64, 8}));
  CHECK(few(gemm_versions<bfloat16, bfloat16, float>, {64, 64, 8}));
  CHECK(!few(gemm_versions<bfloat16, bfloat16, float>, {8, 64, 64}));
#ifdef TINYNET_TILES
  CHECK(gemm_amx_refuses<float, float, float>(g) == std::string("no operand is bfloat16"));
  if (cpu().amx_bf16) {
    CHECK(gemm_amx_refuses<bfloat16, float, bfloat16>({4, 4, 4}) ==
          std::string("too small a product to fill tiles"));
  }
  if (cpu().fast_bf16_dots) {
    CHECK(gemm_avx512_refuses<bfloat16, float, bfloat16>({4, 4, 4}) ==
          std::string("too small a product to fill tiles"));
  } else {
    CHECK(gemm_avx512_refuses<bfloat16, float, bfloat16>(g) == cpu().bf16_dots_refusal);
  }
#endif
}

// --- Depthwise convolution ----------------------------------------------------------------------

namespace {

Conv2dGeometry depthwise_geometry(int64_t n, int64_t h, int64_t w, int64_t c, int64_t kh,
                                  int64_t kw, int64_t stride, int64_t padding, int64_t dilation) {
  Conv2dGeometry g{.n = n, .h = h, .w = w, .ic = c};
  g.oc = g.groups = c;
  g.kh = kh, g.kw = kw, g.stride = stride, g.padding = padding, g.dilation = dilation;
  g.oh = window_output(h, kh, stride, padding, dilation);
  g.ow = window_output(w, kw, stride, padding, dilation);
  return g;
}

std::string describe(const Conv2dGeometry& g) {
  return " [n h w c]" + words({g.n, g.h, g.w, g.ic}) + ", window" + words({g.kh, g.kw}) +
         ", stride padding dilation" + words({g.stride, g.padding, g.dilation});
}

template <class T>
std::vector<double> widened(const std::vector<T>& values, bool magnitudes) {
  std::vector<double> wide(values.size());
  for (std::size_t i = 0; i < wide.size(); ++i) {
    const auto v = static_cast<double>(values[i]);
    wide[i] = magnitudes ? std::abs(v) : v;
  }
  return wide;
}

template <class T>
struct DepthwiseData {
  using P = param_t<T>;
  Conv2dGeometry g;
  std::vector<T> x, dy, dx;
  std::vector<P> w, bias, dw;
  NormActMap<T> map;

  DepthwiseData(const Conv2dGeometry& geometry, bool with_bias, Dice& dice, bool mapped = false)
      : g(geometry) {
    x = random_values<T>(dice, g.n * g.h * g.w * g.ic);
    dy = random_values<T>(dice, g.n * g.oh * g.ow * g.oc);
    dx = random_values<T>(dice, x.size());
    w = random_values<P>(dice, g.oc * g.kh * g.kw);
    dw = random_values<P>(dice, w.size());
    if (with_bias) bias = random_values<P>(dice, g.oc);
    if (mapped) {
      const auto scale = random_values<P>(dice, g.ic), shift = random_values<P>(dice, g.ic);
      map = {Bump{}, scale.data(), shift.data(), g.ic};
    }
  }
  /// The same problem in double, or the one whose results are the sums of magnitudes.
  DepthwiseData<double> in_double(bool magnitudes) const {
    Dice none{0};
    DepthwiseData<double> d({.n = 0}, false, none);
    d.g = g;
    std::vector<accumulate_t<T>> wide(x.begin(), x.end());
    if (const auto f = map.map()) f.unrounded(wide.data(), x.data(), g.n * g.h * g.w);
    d.x = widened(wide, magnitudes), d.dy = widened(dy, magnitudes), d.dx = widened(dx, magnitudes);
    d.w = widened(w, magnitudes), d.dw = widened(dw, magnitudes);
    d.bias = widened(bias, magnitudes);
    return d;
  }
  std::vector<T> forward(const DepthwiseForward<T>& kernel) const {
    std::vector<T> y(dy.size(), poison<T>);
    kernel.run(y, x, w, bias, map.map(), g);
    return y;
  }
  std::vector<T> backward_input(const DepthwiseBackwardInput<T>& kernel, Store store) const {
    auto to = store == Store::add ? dx : std::vector<T>(dx.size(), poison<T>);
    kernel.run(to, store, dy, w, g);
    return to;
  }
  std::vector<P> backward_weight(const DepthwiseBackwardWeight<T>& kernel, Store store) const {
    auto to = store == Store::add ? dw : std::vector<P>(dw.size(), poison<P>);
    kernel.run(to, store, dy, x, map.map(), g);
    return to;
  }
  std::pair<std::vector<T>, std::vector<P>> backward(const DepthwiseBackward<T>& kernel,
                                                     Store store) const {
    const bool add = store == Store::add;
    std::pair to{add ? dx : std::vector<T>(dx.size(), poison<T>),
                 add ? dw : std::vector<P>(dw.size(), poison<P>)};
    kernel.run(to.first, store, to.second, store, dy, x, map.map(), w, g);
    return to;
  }
};

template <class T>
std::string beyond_bound(const std::vector<T>& got, const std::vector<double>& exact,
                         const std::vector<double>& magnitude, int64_t terms) {
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double bound = error_bound<T>(terms, magnitude[i], exact[i]);
    if (!(std::abs(static_cast<double>(got[i]) - exact[i]) <= bound)) {
      return "element " + std::to_string(i) + ": " + std::to_string(static_cast<double>(got[i])) +
             " for " + std::to_string(exact[i]) + " +- " + std::to_string(bound);
    }
  }
  return "";
}

template <class T>
void check_depthwise(const Conv2dGeometry& g, bool bias, Store store, Dice& dice) {
  const bool mapped = dice.below(3) == 0;
  const DepthwiseData<T> data(g, bias, dice, mapped);
  const auto exact = data.in_double(false), magnitude = data.in_double(true);
  const auto& forward = depthwise_forward_versions<double>.back();
  const auto& input = depthwise_backward_input_versions<double>.back();
  const auto& weight = depthwise_backward_weight_versions<double>.back();
  const auto what = [&](Path path, const char* pass) {
    return std::string(path_name(path)) + " " + type_name<T>() + " " + pass + describe(g) +
           (bias ? ", bias" : "") + (mapped ? ", map" : "") + (store == Store::add ? ", add" : "");
  };
  const auto y = exact.forward(forward), y_size = magnitude.forward(forward);
  for (const auto& kernel : depthwise_forward_versions<T>) {
    expect(beyond_bound(data.forward(kernel), y, y_size, g.kh * g.kw),
           what(kernel.path, "forward"));
  }
  const auto dx = exact.backward_input(input, store);
  const auto dx_size = magnitude.backward_input(input, store);
  for (const auto& kernel : depthwise_backward_input_versions<T>) {
    expect(beyond_bound(data.backward_input(kernel, store), dx, dx_size, g.kh * g.kw),
           what(kernel.path, "backward_input"));
  }
  const auto dw = exact.backward_weight(weight, store);
  const auto dw_size = magnitude.backward_weight(weight, store);
  for (const auto& kernel : depthwise_backward_weight_versions<T>) {
    expect(beyond_bound(data.backward_weight(kernel, store), dw, dw_size, g.n * g.oh * g.ow),
           what(kernel.path, "backward_weight"));
  }
  for (const auto& kernel : depthwise_backward_versions<T>) {
    const auto both = data.backward(kernel, store);
    expect(beyond_bound(both.first, dx, dx_size, g.kh * g.kw), what(kernel.path, "backward, dx"));
    expect(beyond_bound(both.second, dw, dw_size, g.n * g.oh * g.ow),
           what(kernel.path, "backward, dw"));
  }
}

void check_depthwise_all(const Conv2dGeometry& g, bool bias, Store store, Dice& dice) {
  check_depthwise<float>(g, bias, store, dice);
  check_depthwise<double>(g, bias, store, dice);
  check_depthwise<bfloat16>(g, bias, store, dice);
  check_depthwise<float16>(g, bias, store, dice);
}

}  // namespace

TEST_CASE("depthwise: windows, strides, padding and dilation") {
  Dice dice{8};
  int64_t i = 0;
  for (const int64_t window : {1, 2, 3, 5, 7}) {
    for (const int64_t stride : {1, 2, 3}) {
      for (const int64_t padding : {0, 1, 2, 3}) {
        for (const int64_t dilation : {1, 2}) {
          const auto g =
              depthwise_geometry(1 + i % 2, 9, 7, 20, window, window, stride, padding, dilation);
          if (g.oh <= 0 || g.ow <= 0) continue;
          ++i;
          check_depthwise_all(g, i % 2 == 0, i % 3 ? Store::overwrite : Store::add, dice);
        }
      }
    }
  }
}

TEST_CASE("depthwise: channels around the vector width, odd images") {
  Dice dice{9};
  for (const int64_t c : {1, 3, 15, 16, 17, 20, 31, 32, 33, 64}) {
    check_depthwise_all(depthwise_geometry(2, 5, 11, c, 3, 3, 1, 1, 1), true, Store::overwrite,
                        dice);
    check_depthwise_all(depthwise_geometry(1, 6, 6, c, 3, 3, 2, 1, 1), false, Store::add, dice);
    check_depthwise_all(depthwise_geometry(3, 1, 1, c, 3, 3, 1, 1, 1), true, Store::add, dice);
  }
  check_depthwise_all(depthwise_geometry(1, 13, 1, 5, 3, 1, 1, 1, 1), true, Store::add, dice);
  check_depthwise_all(depthwise_geometry(1, 8, 9, 5, 2, 5, 1, 2, 1), true, Store::overwrite, dice);
  check_depthwise<float>(depthwise_geometry(1, 67, 61, 40, 3, 3, 1, 1, 1), true, Store::add, dice);
  // A stride beyond the image costs no memory of its size.
  check_depthwise_all(depthwise_geometry(2, 8, 7, 20, 3, 3, 65535, 1, 1), true, Store::add, dice);
  check_depthwise<bfloat16>(depthwise_geometry(1, 67, 61, 40, 5, 5, 2, 2, 1), true, Store::add,
                            dice);
}

TEST_CASE("depthwise: 500 random configurations") {
  Dice dice{10};
  for (int round = 0; round < 500;) {
    const auto g =
        depthwise_geometry(1 + dice.below(3), 1 + dice.below(12), 1 + dice.below(12),
                           1 + dice.below(dice.pick({4, 40})), 1 + dice.below(7), 1 + dice.below(7),
                           1 + dice.below(3), dice.below(4), 1 + dice.below(3));
    if (g.oh <= 0 || g.ow <= 0) continue;
    ++round;
    const bool bias = dice.below(2) == 0;
    const auto store = dice.below(2) ? Store::add : Store::overwrite;
    switch (dice.below(4)) {
      case 0:
        check_depthwise<float>(g, bias, store, dice);
        break;
      case 1:
        check_depthwise<double>(g, bias, store, dice);
        break;
      case 2:
        check_depthwise<bfloat16>(g, bias, store, dice);
        break;
      default:
        check_depthwise<float16>(g, bias, store, dice);
    }
  }
}

TEST_CASE("depthwise: the number of threads does not show in the bits") {
  const Threads restore;
  Dice dice{11};
  for (const auto& g : {depthwise_geometry(11, 9, 9, 20, 3, 3, 1, 1, 1),
                        depthwise_geometry(1, 33, 17, 17, 3, 3, 2, 1, 1)}) {
    const DepthwiseData<bfloat16> data(g, true, dice);
    const auto& forward = depthwise_forward_versions<bfloat16>.front();
    const auto& input = depthwise_backward_input_versions<bfloat16>.front();
    const auto& weight = depthwise_backward_weight_versions<bfloat16>.front();
    set_num_threads(1);
    const auto y = data.forward(forward);
    const auto dx = data.backward_input(input, Store::add);
    const auto dw = data.backward_weight(weight, Store::add);
    const auto& joined = depthwise_backward<bfloat16>(g);
    const auto both = data.backward(joined, Store::add);
    for (const int threads : {2, 3, 4, 8}) {
      set_num_threads(threads);
      CHECK(same_bits(data.forward(forward), y));
      CHECK(same_bits(data.backward_input(input, Store::add), dx));
      CHECK(same_bits(data.backward_weight(weight, Store::add), dw));
      const auto again = data.backward(joined, Store::add);
      CHECK(same_bits(again.first, both.first));
      CHECK(same_bits(again.second, both.second));
    }
  }
}

TEST_CASE("depthwise: an infinity stays in its channel and window") {
  Dice dice{12};
  const auto g = depthwise_geometry(1, 5, 5, 20, 3, 3, 1, 1, 1);
  DepthwiseData<float> data(g, false, dice);
  data.x[(2 * 5 + 2) * 20 + 7] = std::numeric_limits<float>::infinity();
  for (const auto& kernel : depthwise_backward_weight_versions<float>) {
    const auto dw = data.backward_weight(kernel, Store::overwrite);
    for (int64_t i = 0; i < 180; ++i) CHECK(std::isfinite(dw[i]) == (i / 9 != 7));
  }
  const auto dw = data.backward(depthwise_backward<float>(g), Store::overwrite).second;
  for (int64_t i = 0; i < 180; ++i) CHECK(std::isfinite(dw[i]) == (i / 9 != 7));
  for (const auto& kernel : depthwise_forward_versions<float>) {
    const auto y = data.forward(kernel);
    for (int64_t i = 0; i < 500; ++i) {
      const auto h = i / 100, w = i / 20 % 5;
      const bool reached = i % 20 == 7 && h >= 1 && h <= 3 && w >= 1 && w <= 3;
      CHECK(std::isfinite(y[i]) == !reached);
    }
  }
}

TEST_CASE("depthwise: gradients of infinities, where the reference has them") {
  Dice dice{13};
  const auto finite = [](const std::vector<float>& values) {
    std::vector<bool> is(values.size());
    for (std::size_t i = 0; i < is.size(); ++i) is[i] = std::isfinite(values[i]);
    return is;
  };
  for (const auto& g : {depthwise_geometry(1, 9, 9, 20, 3, 3, 2, 1, 1),
                        depthwise_geometry(1, 9, 8, 5, 5, 5, 2, 2, 1),
                        depthwise_geometry(1, 9, 9, 3, 2, 3, 3, 0, 1),
                        depthwise_geometry(1, 9, 9, 7, 3, 3, 1, 2, 2)}) {
    for (const bool of_x : {false, true}) {
      DepthwiseData<float> data(g, false, dice);
      auto& values = of_x ? data.x : data.dy;
      values[values.size() / 2] = std::numeric_limits<float>::infinity();
      const auto [dx, dw] =
          data.backward(depthwise_backward_versions<float>.back(), Store::overwrite);
      for (const auto& kernel : depthwise_backward_versions<float>) {
        const auto got = data.backward(kernel, Store::overwrite);
        expect(finite(got.first) == finite(dx) ? "" : "dx", path_name(kernel.path) + describe(g));
        expect(finite(got.second) == finite(dw) ? "" : "dw", path_name(kernel.path) + describe(g));
      }
    }
  }
}

TEST_CASE("depthwise: what is chosen") {
  const auto g = depthwise_geometry(1, 5, 5, 20, 3, 3, 1, 1, 1);
  {
    const ScopedPathLimit limit(Path::reference);
    CHECK(depthwise_forward<float>(g).path == Path::reference);
    CHECK(depthwise_backward_input<float>(g).path == Path::reference);
    CHECK(depthwise_backward_weight<float>(g).path == Path::reference);
  }
  const ScopedPathLimit limit(Path::amx);
  CHECK(depthwise_forward<float>(g).path == Path::simd);
  CHECK(depthwise_backward_input<bfloat16>(g).path == Path::simd);
  CHECK(depthwise_backward_weight<double>(g).path == Path::simd);
  CHECK(depthwise_backward<float>(g).path == Path::simd);
}
