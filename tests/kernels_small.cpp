// The small kernels: each vector version against its reference, for every element type, with tails;
// results of 2 to 8 threads bit-equal to those of one.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include <tinynet/core/random.hpp>
#include <tinynet/kernels/avg_pool2d.hpp>
#include <tinynet/kernels/batch_norm.hpp>
#include <tinynet/kernels/cross_entropy.hpp>
#include <tinynet/kernels/dropout.hpp>
#include <tinynet/kernels/layout.hpp>
#include <tinynet/kernels/lion.hpp>
#include <tinynet/kernels/max_pool2d.hpp>
#include <tinynet/kernels/muon.hpp>
#include <tinynet/kernels/reduce.hpp>
#include <tinynet/kernels/rmsprop.hpp>
#include <tinynet/kernels/softmax.hpp>
#include <tinynet/kernels/unscale.hpp>
#include <tinynet/kernels/update.hpp>

#include "sanitized.hpp"

using namespace tinynet;
using std::int64_t;

namespace {

#define EVERY_TYPE float, double, bfloat16, float16

constexpr int64_t channels[] = {1, 3, 15, 16, 17, 31, 32, 33, 64, 100};
constexpr int thread_counts[] = {2, 3, 4, 8};
constexpr Store stores[] = {Store::overwrite, Store::add};

/// Random numbers of deviation 1, at most 3.5: sums of four uniform ones, which are quick to draw.
template <class T>
std::vector<T> values(int64_t n, std::uint64_t seed, double scale = 1, double shift = 0) {
  std::vector<T> x(static_cast<std::size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    const auto bits = random::mix(seed << 32 ^ static_cast<std::uint64_t>(i));
    const double sum =
        double((bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48));
    x[i] = static_cast<T>(static_cast<float>(shift + scale * std::sqrt(3) * (sum * 0x1p-16 - 2)));
  }
  return x;
}

/// What a destination holds before: for a gradient that is added to, numbers; else NaN, so that an
/// element left out shows.
template <class T>
std::vector<T> destination(int64_t n, Store store = Store::overwrite) {
  if (store == Store::add) return values<T>(n, 99);
  return std::vector<T>(static_cast<std::size_t>(n), T(std::numeric_limits<float>::quiet_NaN()));
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

/// Half the distance between 1 and the next value.
template <class T>
double unit_roundoff() {
  return static_cast<double>(std::numeric_limits<T>::epsilon()) / 2;
}

/// Both versions round once to T (one unit in the last place between them), after `roundings`
/// operations in accumulate_t on numbers of the given magnitude.
template <class T>
double bound(double value, double roundings, double magnitude) {
  return 2 * unit_roundoff<T>() * std::abs(value) +
         2 * roundings * unit_roundoff<accumulate_t<T>>() * magnitude + 1e-7 * (sizeof(T) == 2);
}

/// Roundings of a sum of n terms: the references add in double one by one, which only shows where
/// the vector version is double, too; that one adds blocks.
template <class T>
double sum_roundings(int64_t n) {
  return sizeof(T) == sizeof(double) ? double(n) : 64;
}

/// Calls `run()` (which returns a vector) limited to each version and with several threads.
template <class T>
void check(const std::function<std::vector<T>()>& run, double roundings, double magnitude) {
  std::vector<T> expected, one_thread;
  {
    const kernels::ScopedPathLimit limit(kernels::Path::reference);
    expected = run();
  }
  const kernels::ScopedPathLimit limit(kernels::Path::simd);
  const int threads = num_threads();
  set_num_threads(1);
  one_thread = run();
  REQUIRE(expected.size() == one_thread.size());
  int failures = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double a = static_cast<double>(expected[i]), b = static_cast<double>(one_thread[i]);
    const bool close = std::abs(a - b) <= bound<T>(a, roundings, magnitude);
    if (!close && failures++ == 0) {
      FAIL_CHECK(type_name<T>(), " element ", i, " of ", expected.size(), ": reference ", a,
                 ", simd ", b, ", bound ", bound<T>(a, roundings, magnitude));
    }
  }
  CHECK(failures == 0);
  for (const int count : thread_counts) {
    set_num_threads(count);
    CHECK(same_bits(run(), one_thread));
  }
  set_num_threads(threads);
}

template <class T>
std::span<const T> in(const std::vector<T>& x) {
  return x;
}

/// Rows x channels, small with tails and large enough for several units.
template <class F>
void for_row_shapes(const F& f) {
  for (const auto c : channels) {
    for (const int64_t rows : {1, 2, 37}) f(rows, c);
  }
  f(25'000, 3);
  f(2'000, 33);
  if (!tests::sanitized) f(4'500, 64);  // more units than a reduction has partial sums
}

}  // namespace

TEST_CASE_TEMPLATE("reductions", T, EVERY_TYPE) {
  using A = accumulate_t<T>;
  for_row_shapes([](int64_t rows, int64_t c) {
    CAPTURE(rows);
    CAPTURE(c);
    const auto x = values<T>(rows * c, 1);
    for (const Store store : stores) {
      check<A>(
          [&] {
            auto out = destination<A>(c, store);
            kernels::sum_rows<T>(out, store, x, c);
            return out;
          },
          sum_roundings<T>(rows), std::sqrt(double(rows)) * 4);
    }
    const int64_t n = std::ssize(x);
    const double roundings = sum_roundings<T>(n);
    check<A>([&] { return std::vector<A>{kernels::sum<T>(x)}; }, roundings, 4 * std::sqrt(n));
    check<A>([&] { return std::vector<A>{static_cast<A>(kernels::sum_squares<T>(x))}; }, roundings,
             double(n));
    check<A>([&] { return std::vector<A>{kernels::max_abs<T>(x)}; }, 0, 0);
  });
}

TEST_CASE_TEMPLATE("finite or not", T, EVERY_TYPE) {
  for (const auto path : {kernels::Path::reference, kernels::Path::simd}) {
    const kernels::ScopedPathLimit limit(path);
    for (const std::size_t size : {1, 16, 33, 5000}) {
      auto x = values<T>(static_cast<int64_t>(size), 2);
      CHECK(kernels::all_finite<T>(x));
      for (const float bad : {INFINITY, -INFINITY, NAN}) {
        x[size / 2] = T(bad);
        CHECK(!kernels::all_finite<T>(x));
        if (!std::isnan(bad)) CHECK(std::isinf(kernels::max_abs<T>(x)));
      }
    }
    CHECK(kernels::all_finite<T>({}));
    CHECK(kernels::max_abs<T>({}) == 0);
    CHECK(kernels::sum<T>({}) == 0);
  }
}

TEST_CASE_TEMPLATE("softmax", T, EVERY_TYPE) {
  for_row_shapes([](int64_t rows, int64_t k) {
    CAPTURE(rows);
    CAPTURE(k);
    const auto x = values<T>(rows * k, 3, 3), dy = values<T>(rows * k, 4);
    std::vector<T> y(x.size()), log_y(x.size());
    kernels::softmax_forward<T>(y, x, k);
    kernels::log_softmax_forward<T>(log_y, x, k);
    check<T>(
        [&] {
          auto out = destination<T>(rows * k);
          kernels::softmax_forward<T>(out, x, k);
          return out;
        },
        40, 1);
    check<T>(
        [&] {
          auto out = destination<T>(rows * k);
          kernels::log_softmax_forward<T>(out, x, k);
          return out;
        },
        20, 24);
    for (const Store store : stores) {
      check<T>(
          [&] {
            auto dx = destination<T>(rows * k, store);
            kernels::softmax_backward<T>(dx, store, dy, y, k);
            return dx;
          },
          20, 5);
      check<T>(
          [&] {
            auto dx = destination<T>(rows * k, store);
            kernels::log_softmax_backward<T>(dx, store, dy, log_y, k);
            return dx;
          },
          20, 8 * std::sqrt(double(k)));
    }
  });
}

TEST_CASE("softmax of extreme rows") {
  for (const auto path : {kernels::Path::reference, kernels::Path::simd}) {
    const kernels::ScopedPathLimit limit(path);
    const std::vector<float> x = {1e4f, 0, -INFINITY, NAN, 0, 0, -3e38f, 3e38f, 0};
    std::vector<float> y(9);
    kernels::softmax_forward<float>(y, x, 3);
    CHECK(y[0] == 1);
    CHECK(y[1] == 0);
    CHECK(y[2] == 0);
    for (const int i : {3, 4, 5}) CHECK(std::isnan(y[i]));
    CHECK(y[7] == doctest::Approx(1));
    // A hopeless wrong class must not spoil the loss.
    std::vector<float> loss(1), p(3);
    const std::vector<float> logits = {2, 1, -INFINITY};
    const std::vector<std::int32_t> label = {0};
    kernels::cross_entropy_forward<float>(loss, p, in(logits), in(label), 3, 0);
    CHECK(loss[0] == doctest::Approx(std::log1p(std::exp(-1.0))));
  }
}

TEST_CASE_TEMPLATE("cross entropy", T, EVERY_TYPE) {
  using A = accumulate_t<T>;
  for_row_shapes([](int64_t rows, int64_t k) {
    CAPTURE(rows);
    CAPTURE(k);
    const auto logits = values<T>(rows * k, 5, 3);
    std::vector<std::int32_t> labels(static_cast<std::size_t>(rows));
    for (int64_t i = 0; i < rows; ++i) labels[i] = static_cast<std::int32_t>(7 * i % k);
    auto targets = values<A>(rows * k, 6);
    for (auto& t : targets) t = std::abs(t) / A(k);
    for (const A smoothing : {A(0), A(0.1)}) {
      std::vector<A> p(logits.size()), unused(labels.size());
      kernels::cross_entropy_forward<T>(unused, p, logits, in(labels), k, smoothing);
      const auto forward = [&](const auto& target) {
        auto out = destination<A>(rows + rows * k);
        const auto all = std::span(out);
        kernels::cross_entropy_forward<T>(all.first(rows), all.subspan(rows), logits, in(target), k,
                                          smoothing);
        return out;
      };
      check<A>([&] { return forward(labels); }, 60, 24);
      check<A>([&] { return forward(targets); }, 60, 48);
      for (const Store store : stores) {
        const auto backward = [&](const auto& target) {
          auto dx = destination<T>(rows * k, store);
          kernels::cross_entropy_backward<T>(dx, store, p, in(target), k, A(0.25), smoothing);
          return dx;
        };
        check<T>([&] { return backward(labels); }, 10, 5);
        check<T>([&] { return backward(targets); }, 20, 5);
      }
    }
  });
}

TEST_CASE("label smoothing equals the soft target it stands for") {
  constexpr int64_t k = 5;
  const auto logits = values<double>(2 * k, 7);
  const std::vector<std::int32_t> labels = {4, 1};
  std::vector<double> target(2 * k, 0.2 / k), loss(2), soft_loss(2);
  std::vector<double> p(2 * k), dx(2 * k), soft(2 * k);
  for (int i = 0; i < 2; ++i) target[i * k + labels[i]] += 0.8;
  kernels::cross_entropy_forward<double>(loss, p, logits, in(labels), k, 0.2);
  kernels::cross_entropy_forward<double>(soft_loss, p, logits, in(target), k, 0);
  kernels::cross_entropy_backward<double>(dx, Store::overwrite, p, in(labels), k, 0.5, 0.2);
  kernels::cross_entropy_backward<double>(soft, Store::overwrite, p, in(target), k, 0.5, 0);
  for (int i = 0; i < 2; ++i) CHECK(loss[i] == doctest::Approx(soft_loss[i]).epsilon(1e-14));
  for (int i = 0; i < 2 * k; ++i) CHECK(dx[i] == doctest::Approx(soft[i]).epsilon(1e-13));
}

TEST_CASE_TEMPLATE("batch norm", T, EVERY_TYPE) {
  using P = param_t<T>;
  for_row_shapes([](int64_t rows, int64_t c) {
    CAPTURE(rows);
    CAPTURE(c);
    const auto x = values<T>(rows * c, 8, 2, 1), dy = values<T>(rows * c, 9);
    const auto gamma = values<P>(c, 10), beta = values<P>(c, 11);
    check<P>(
        [&] {
          auto out = destination<P>(2 * c);
          kernels::batch_norm_statistics<T>(std::span(out).first(c), std::span(out).last(c), x, c);
          return out;
        },
        sum_roundings<T>(rows), 8);
    std::vector<P> mean(c), inverse_std(c);
    kernels::batch_norm_statistics<T>(mean, inverse_std, x, c);
    for (auto& v : inverse_std) v = 1 / std::sqrt(v + P(0.1));
    check<T>(
        [&] {
          auto y = destination<T>(rows * c);
          kernels::batch_norm_normalize<T>(y, x, mean, inverse_std, gamma, beta, c);
          return y;
        },
        8, 100);
    for (const Store store : stores) {
      for (const bool eval : {false, true}) {
        const auto backward = [&](std::vector<P>& parameters) {
          auto dx = destination<T>(rows * c, store);
          parameters = destination<P>(2 * c, store);
          const auto run =
              eval ? kernels::batch_norm_backward_eval<T> : kernels::batch_norm_backward<T>;
          run(dx, store, std::span(parameters).first(c), std::span(parameters).last(c), store, dy,
              x, mean, inverse_std, gamma, c);
          return dx;
        };
        std::vector<P> parameters;
        check<T>([&] { return backward(parameters); }, 16, 200);
        check<P>([&] { return backward(parameters), parameters; }, sum_roundings<T>(rows),
                 10 * std::sqrt(double(rows)));
      }
    }
  });
}

namespace {

/// Mean and biased variance of a channel, in double.
std::pair<double, double> moments(const std::vector<float>& x, int64_t c, int64_t channel) {
  const auto rows = std::ssize(x) / c;
  double m = 0, v = 0;
  for (int64_t row = 0; row < rows; ++row) m += x[row * c + channel] / double(rows);
  for (int64_t row = 0; row < rows; ++row)
    v += std::pow(x[row * c + channel] - m, 2) / double(rows);
  return {m, v};
}

}  // namespace

TEST_CASE("batch norm statistics survive a mean far from zero") {
  const int64_t c = 33, rows = 4000;
  const auto x = values<float>(rows * c, 12, 1, 1e4);
  for (const auto path : {kernels::Path::reference, kernels::Path::simd}) {
    const kernels::ScopedPathLimit limit(path);
    std::vector<float> mean(c), variance(c);
    kernels::batch_norm_statistics<float>(mean, variance, x, c);
    for (int64_t ch = 0; ch < c; ++ch) {
      const auto [m, v] = moments(x, c, ch);
      CHECK(std::abs(mean[ch] - m) < 1e-3);
      CHECK(std::abs(variance[ch] / v - 1) < 1e-5);
    }
  }
}

TEST_CASE("batch norm statistics survive rows that lie elsewhere than those before") {
  const int64_t c = 17, rows = 40'000;
  auto x = values<float>(rows * c, 13);
  for (int64_t row = rows / 2; row < rows; ++row) {
    for (int64_t ch = 0; ch < c; ++ch) x[row * c + ch] += 1e3f;
  }
  std::vector<float> mean(c), variance(c);
  kernels::batch_norm_statistics<float>(mean, variance, x, c);
  for (int64_t ch = 0; ch < c; ++ch) {
    const auto [m, v] = moments(x, c, ch);
    CHECK(std::abs(mean[ch] / m - 1) < 1e-6);
    CHECK(std::abs(variance[ch] / v - 1) < 1e-5);
  }
}

namespace {

template <class F>
void for_pool_shapes(const F& f) {
  struct Window {
    int64_t kernel, stride, padding;
  };
  const auto shape = [&](int64_t n, int64_t h, int64_t w, int64_t c, Window v) {
    if (h + 2 * v.padding < v.kernel || w + 2 * v.padding < v.kernel) return;
    f(kernels::Pool2dGeometry{.n = n,
                              .h = h,
                              .w = w,
                              .c = c,
                              .oh = (h + 2 * v.padding - v.kernel) / v.stride + 1,
                              .ow = (w + 2 * v.padding - v.kernel) / v.stride + 1,
                              .kernel = v.kernel,
                              .stride = v.stride,
                              .padding = v.padding});
  };
  for (const Window v : {Window{2, 2, 0}, {3, 2, 1}, {3, 1, 1}, {2, 1, 0}, {2, 3, 1}, {5, 2, 2}}) {
    for (const auto c : channels) shape(2, 7, 5, c, v);
    shape(1, 3, 3, 17, v);
    shape(1, 5, 9, 3, v);
    shape(4, 28, 28, 33, v);
  }
  shape(3, 6, 6, 16, {1, 1, 0});
}

}  // namespace

TEST_CASE_TEMPLATE("pooling", T, EVERY_TYPE) {
  for_pool_shapes([](const kernels::Pool2dGeometry& g) {
    CAPTURE(g.kernel);
    CAPTURE(g.stride);
    CAPTURE(g.c);
    const int64_t inputs = g.n * g.h * g.w * g.c, outputs = g.n * g.oh * g.ow * g.c;
    auto x = values<T>(inputs, 13);
    for (int64_t i = 0; i < inputs; i += 3) x[i] = T(1.0f);  // ties
    const auto dy = values<T>(outputs, 14);
    std::vector<std::uint16_t> argmax(outputs, 0xffff), expected(outputs, 0xffff);
    const auto forward = [&](std::vector<std::uint16_t>* taps) {
      auto y = destination<T>(outputs);
      kernels::max_pool2d_forward<T>(y, taps ? std::span(*taps) : std::span<std::uint16_t>(), x, g);
      return y;
    };
    check<T>([&] { return forward(&argmax); }, 0, 0);
    check<T>([&] { return forward(nullptr); }, 0, 0);
    {
      const kernels::ScopedPathLimit limit(kernels::Path::reference);
      forward(&expected);
    }
    CHECK(same_bits(argmax, expected));
    check<T>(
        [&] {
          auto y = destination<T>(outputs);
          kernels::avg_pool2d_forward<T>(y, x, g);
          return y;
        },
        30, 3);
    for (const Store store : stores) {
      check<T>(
          [&] {
            auto dx = destination<T>(inputs, store);
            kernels::max_pool2d_backward<T>(dx, store, dy, argmax, g);
            return dx;
          },
          10, 10);
      check<T>(
          [&] {
            auto dx = destination<T>(inputs, store);
            kernels::avg_pool2d_backward<T>(dx, store, dy, g);
            return dx;
          },
          30, 10);
    }
  });
}

TEST_CASE_TEMPLATE("max pooling of NaN and infinities", T, EVERY_TYPE) {
  const kernels::Pool2dGeometry g{.n = 1, .h = 2, .w = 6, .c = 1, .oh = 1, .ow = 3};
  const std::vector<T> x = {T(1.f), T(NAN), T(-INFINITY), T(-INFINITY), T(2.f), T(INFINITY),
                            T(NAN), T(3.f), T(-INFINITY), T(-INFINITY), T(2.f), T(2.f)};
  for (const auto path : {kernels::Path::reference, kernels::Path::simd}) {
    const kernels::ScopedPathLimit limit(path);
    std::vector<T> y(3);
    std::vector<std::uint16_t> argmax(3);
    kernels::max_pool2d_forward<T>(y, argmax, x, g);
    CHECK(std::isnan(static_cast<float>(y[0])));
    CHECK(static_cast<float>(y[1]) == -INFINITY);
    CHECK(static_cast<float>(y[2]) == INFINITY);
    CHECK(argmax == std::vector<std::uint16_t>{2, 0, 1});
  }
}

TEST_CASE_TEMPLATE("global average pooling", T, EVERY_TYPE) {
  for (const auto c : channels) {
    for (const int64_t pixels : {1, 49, 784}) {
      const int64_t n = 4;
      const auto x = values<T>(n * pixels * c, 15, 1, 2), dy = values<T>(n * c, 16);
      check<T>(
          [&] {
            auto y = destination<T>(n * c);
            kernels::global_average_pool_forward<T>(y, x, pixels, c);
            return y;
          },
          std::sqrt(double(pixels)) + 4, 4);
      for (const Store store : stores) {
        check<T>(
            [&] {
              auto dx = destination<T>(n * pixels * c, store);
              kernels::global_average_pool_backward<T>(dx, store, dy, pixels, c);
              return dx;
            },
            3, 5);
      }
    }
  }
}

TEST_CASE_TEMPLATE("channel orders", U, std::uint8_t, std::uint16_t, float, double) {
  for (const auto c : channels) {
    for (const int64_t h : {1, 5, 40}) {
      const int64_t n = 2, w = 7;
      std::vector<U> x(n * c * h * w);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<U>(i * 37);
      const auto there = [&] {
        std::vector<U> y(x.size(), U(1));
        kernels::nchw_to_nhwc<U>(y, x, n, c, h, w);
        return y;
      };
      const auto y = there();
      bool right = true;
      for (int64_t i = 0; i < n * c * h * w; ++i) {
        const int64_t image = i / (c * h * w), ch = i / (h * w) % c, pixel = i % (h * w);
        right &= y[(image * h * w + pixel) * c + ch] == x[i];
      }
      CHECK(right);
      {
        const kernels::ScopedPathLimit limit(kernels::Path::reference);
        CHECK(same_bits(there(), y));
      }
      std::vector<U> back(x.size());
      kernels::nhwc_to_nchw<U>(back, y, n, c, h, w);
      CHECK(same_bits(back, x));
    }
  }
}

TEST_CASE_TEMPLATE("normalised bytes", T, EVERY_TYPE) {
  using P = param_t<T>;
  for_row_shapes([](int64_t pixels, int64_t c) {
    std::vector<std::uint8_t> x(pixels * c);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<std::uint8_t>(i * 37 + i / 256);
    std::vector<P> mean(c), std(c);
    for (int64_t ch = 0; ch < c; ++ch) {
      mean[ch] = P(0.4) + P(0.001) * P(ch);
      std[ch] = P(0.2) + P(0.002) * P(ch);
    }
    check<T>(
        [&] {
          auto y = destination<T>(pixels * c);
          kernels::normalise<T>(y, x, mean, std, c);
          return y;
        },
        5, 5);
  });
}

TEST_CASE_TEMPLATE("padding", T, EVERY_TYPE) {
  for (const auto c : channels) {
    const kernels::Pad2dGeometry g{
        .n = 3, .h = 4, .w = 5, .c = c, .top = 1, .bottom = 2, .left = 3};
    const auto x = values<T>(g.n * g.h * g.w * c, 17);
    auto y = destination<T>(g.n * g.padded_h() * g.padded_w() * c);
    kernels::pad2d_forward<T>(y, x, g);
    double inside = 0, all = 0;
    for (const T v : x) inside += v;
    for (const T v : y) all += v;
    CHECK(all == doctest::Approx(inside).epsilon(1e-12));
    auto back = destination<T>(std::ssize(x));
    kernels::pad2d_backward<T>(back, Store::overwrite, y, g);
    CHECK(same_bits(back, x));
    kernels::pad2d_backward<T>(back, Store::add, y, g);
    bool doubled = true;
    for (std::size_t i = 0; i < x.size(); ++i) doubled &= float(back[i]) == 2 * float(x[i]);
    CHECK(doubled);
  }
}

TEST_CASE_TEMPLATE("conversion between types", T, EVERY_TYPE) {
  for (const int64_t size : {1, 15, 33, 100'001}) {
    const auto x = values<double>(size, 18);
    std::vector<T> narrow = destination<T>(size);
    kernels::convert<T, double>(narrow, x);
    std::vector<float> wide = destination<float>(size);
    kernels::convert<float, T>(wide, narrow);
    std::vector<bfloat16> b = destination<bfloat16>(size);
    kernels::convert<bfloat16, T>(b, narrow);
    bool right = true;
    for (int64_t i = 0; i < size; ++i) {
      right &= static_cast<double>(narrow[i]) == static_cast<double>(T(x[i]));
      right &= wide[i] == static_cast<float>(narrow[i]);
      right &= b[i].bits == bfloat16(static_cast<float>(narrow[i])).bits;
    }
    CHECK(right);
  }
}

TEST_CASE_TEMPLATE("optimizer updates: versions agree", P, float, double) {
  for (const int64_t size : {1, 3, 15, 16, 17, 31, 33, 100, 100'003}) {
    const auto start = values<P>(size, 19), gradient = values<P>(size, 20), m = values<P>(size, 21);
    auto v = values<P>(size, 22);
    for (auto& element : v) element = std::abs(element);
    // One vector of all that is written.
    const auto joined = [](auto... parts) {
      std::vector<P> all;
      (all.insert(all.end(), parts.begin(), parts.end()), ...);
      return all;
    };
    for (const bool first : {false, true}) {
      for (const bool nesterov : {false, true}) {
        check<P>(
            [&] {
              auto w = start, buffer = first ? destination<P>(size) : m;
              kernels::sgd_update<P>(w, gradient, buffer,
                                     {.lr = 0.1,
                                      .momentum = 0.9,
                                      .dampening = nesterov ? 0 : 0.2,
                                      .weight_decay = 0.01,
                                      .nesterov = nesterov,
                                      .first_step = first});
              return joined(w, buffer);
            },
            8, 5);
      }
    }
    check<P>(
        [&] {
          auto w = start;
          kernels::sgd_update<P>(w, gradient, {}, {.lr = 0.1, .weight_decay = 0.01});
          return w;
        },
        4, 5);
    check<P>(
        [&] {
          auto w = start, first = m, second = v;
          kernels::adamw_update<P>(w, gradient, first, second,
                                   {.lr = 0.01, .weight_decay = 0.1, .step = 3});
          return joined(w, first, second);
        },
        16, 5);
    check<P>(
        [&] {
          auto w = start, first = m, second = v;
          kernels::adam_update<P>(w, gradient, first, second,
                                  {.lr = 0.01, .weight_decay = 0.1, .step = 3});
          return joined(w, first, second);
        },
        16, 5);
    for (const bool centered : {false, true}) {
      for (const bool has_momentum : {false, true}) {
        check<P>(
            [&] {
              auto w = start, squares = v, velocity = m, mean = m;
              for (auto& element : squares) element += 100;  // far above the mean's square
              if (!has_momentum) velocity.clear();
              if (!centered) mean.clear();
              kernels::rmsprop_update<P>(w, gradient, squares, velocity, mean,
                                         {.lr = 0.1, .momentum = 0.9, .weight_decay = 0.1});
              return joined(w, squares, velocity, mean);
            },
            16, 100);
      }
    }
    check<P>(
        [&] {
          auto w = start, first = m;
          kernels::lion_update<P>(w, gradient, first, {.lr = 0.01, .weight_decay = 0.1});
          return joined(w, first);
        },
        8, 5);
    check<P>(
        [&] {
          auto w = start, velocity = m, direction = v;
          kernels::muon_momentum<P>(direction, gradient, velocity, 0.9, true);
          kernels::muon_apply<P>(w, direction, 0.9, 0.1);
          return joined(w, direction, velocity);
        },
        8, 5);
    check<P>(
        [&] {
          auto fast = start, slow = m;
          kernels::lookahead_update<P>(fast, slow, 0.5);
          if (!kernels::unscale<P>(slow, P(0.25))) slow.clear();
          return joined(fast, slow);
        },
        8, 5);
    check<P>(
        [&] {
          auto average = m;
          kernels::ema_update<P>(average, start, 0.99);
          kernels::scale<P>(average, P(0.5));
          return average;
        },
        4, 5);
  }
}

TEST_CASE("optimizer updates follow PyTorch's formulas") {
  std::vector<double> w = {0.5}, m = {0}, v = {0}, buffer = {NAN};
  double pw = 0.5, pm = 0, pv = 0;
  for (int step = 1; step <= 5; ++step) {
    const double g = 0.3 * step - 0.5;
    kernels::adamw_update<double>(w, std::vector{g}, m, v,
                                  {.lr = 0.01, .weight_decay = 0.1, .step = step});
    pw *= 1 - 0.01 * 0.1;
    pm = pm * 0.9 + g * (1 - 0.9);
    pv = pv * 0.999 + g * g * (1 - 0.999);
    const double denominator = std::sqrt(pv) / std::sqrt(1 - std::pow(0.999, step)) + 1e-8;
    pw += -(0.01 / (1 - std::pow(0.9, step))) * pm / denominator;
    CHECK(w[0] == doctest::Approx(pw).epsilon(1e-14));
  }
  pw = w[0] = 0.5;
  double pb = 0;
  for (int step = 1; step <= 5; ++step) {
    const double g = 0.3 * step - 0.5;
    kernels::sgd_update<double>(w, std::vector{g}, buffer,
                                {.lr = 0.1,
                                 .momentum = 0.9,
                                 .weight_decay = 0.01,
                                 .nesterov = true,
                                 .first_step = step == 1});
    double d = g + 0.01 * pw;
    pb = step == 1 ? d : pb * 0.9 + d;
    d += 0.9 * pb;
    pw += -0.1 * d;
    CHECK(w[0] == doctest::Approx(pw).epsilon(1e-14));
  }
}

TEST_CASE("random words of many counters at once") {
  constexpr auto count = kernels::vectors::philox_blocks;
  for (const std::uint64_t counter : {0ull, 12345ull, (1ull << 32) - 3, ~0ull - 1}) {
    for (const std::uint64_t seed : {0ull, 1ull, 0x9876543210fedcbaull}) {
      std::uint32_t words[4 * count];
      kernels::vectors::philox(words, {seed}, counter);
      for (std::int64_t i = 0; i < count; ++i) {
        const auto block = random::block({seed}, counter + static_cast<std::uint64_t>(i));
        for (std::size_t q = 0; q < 4; ++q) CHECK(words[4 * i + std::int64_t(q)] == block[q]);
      }
    }
  }
}

TEST_CASE_TEMPLATE("dropout", T, EVERY_TYPE) {
  const random::Key key = random::Key{5}.fold("dropout");
  for (const int64_t size : {1, 3, 15, 17, 33, 100, 100'003}) {
    const auto x = values<T>(size, 23);
    for (const Store store : stores) {
      check<T>(
          [&] {
            auto y = destination<T>(size, store);
            kernels::dropout<T>(y, x, 0.7, key, store);
            return y;
          },
          2, 5);
    }
  }
  const std::vector<T> ones(100'000, T(1.0f));
  auto y = destination<T>(std::ssize(ones));
  kernels::dropout<T>(y, ones, 0.75, key);
  int64_t kept = 0;
  bool right = true;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const bool keeps = random::uniform(key, i) < 0.75f;
    right &= float(y[i]) == (keeps ? float(T(1 / 0.75f)) : 0.0f);
    kept += keeps;
  }
  CHECK(right);
  CHECK(std::abs(double(kept) / 1e5 - 0.75) < 4 * std::sqrt(0.75 * 0.25 / 1e5));
  kernels::dropout<T>(y, ones, 0, key);
  CHECK(kernels::max_abs<T>(y) == 0);
  kernels::dropout<T>(y, ones, 1, key);
  CHECK(same_bits(y, ones));
}

TEST_CASE_TEMPLATE("dropout of channels and samples", T, EVERY_TYPE) {
  const random::Key key{6};
  const int64_t n = 9, pixels = 35;
  for (const auto c : channels) {
    const auto x = values<T>(n * pixels * c, 24);
    for (const Store store : stores) {
      check<T>(
          [&] {
            auto y = destination<T>(std::ssize(x), store);
            kernels::dropout2d<T>(y, x, 0.5, key, pixels, c, store);
            return y;
          },
          2, 5);
      check<T>(
          [&] {
            auto y = destination<T>(std::ssize(x), store);
            kernels::drop_path<T>(y, x, 0.5, key, pixels * c, store);
            return y;
          },
          2, 5);
    }
    auto by_channel = destination<T>(std::ssize(x)), by_sample = by_channel;
    kernels::dropout2d<T>(by_channel, x, 0.5, key, pixels, c);
    kernels::drop_path<T>(by_sample, x, 0.5, key, pixels * c);
    bool right = true;
    for (int64_t i = 0; i < std::ssize(x); ++i) {
      const int64_t image = i / (pixels * c);
      const auto word = [&](int64_t w) { return random::uniform(key, w) < 0.5f ? 2.0f : 0.0f; };
      right &= float(by_channel[i]) == word(image * c + i % c) * float(x[i]);
      right &= float(by_sample[i]) == word(image) * float(x[i]);
    }
    CHECK(right);
  }
}
