#pragma once

#include <map>

#include <doctest/doctest.h>

#include <tinynet/autograd/gradcheck.hpp>
#include <tinynet/core/cpu.hpp>
#include <tinynet/kernels/choose.hpp>

#include "case.hpp"
#include "sanitized.hpp"

/// What the test programs of the op families do with their part of the case list.
namespace tinynet::cases {

/// The gradients against central differences, in double.
inline Gradcheck check_gradient(const Case& c, GradcheckOptions options = {}) {
  std::vector<Tensor<double>> point;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) point.push_back(values(c, i));
  return gradcheck(
      [&](std::vector<Variable<double>>& variables, Context& ctx) {
        Inputs<double> in(variables);
        return c.run(in, ctx).stored;
      },
      point, options);
}

/// For each result, the largest change that follows from changing inputs and upstream gradient by a
/// fraction `nudge` with random signs: how a rounding of that size in every product would show.
inline std::vector<double> sensitivity(const Case& c, double nudge) {
  const auto still = run<double>(c);
  std::vector<double> largest(still.size(), 0);
  for (std::uint64_t trial = 0; trial < 3; ++trial) {
    const auto moved = run<double>(c, {.nudge = nudge, .trial = trial});
    for (std::size_t r = 0; r < still.size(); ++r) {
      for (std::int64_t i = 0; i < still[r].value.size(); ++i) {
        largest[r] =
            std::max(largest[r], std::abs(moved[r].value.data()[i] - still[r].value.data()[i]));
      }
    }
  }
  return largest;
}

/// Empty where two runs agree, else what differs most. Two correct runs differ by
///   eps * |value|       both were rounded when stored, perhaps to neighbours,
///   sums * |value|      and before that may be sums of many terms of one sign,
///   eps * |upstream|    where the derivative reads what was rounded: an output (softmax), a gradient,
///   noise               sums were formed in another order, or of operands that were rounded:
///                       `sensitivity` says what that amounts to.
inline std::string difference(const std::vector<Result>& expected, const std::vector<Result>& came,
                              const std::vector<double>& noise) {
  std::string text;
  double worst = 1;
  for (std::size_t r = 0; r < expected.size(); ++r) {
    const auto &a = expected[r], &b = came[r];
    const double eps = std::max(a.eps, b.eps), smallest = std::max(a.smallest, b.smallest);
    const double sums = std::max(a.sums, b.sums);
    for (std::int64_t i = 0; i < a.value.size(); ++i) {
      const double x = a.value.data()[i], y = b.value.data()[i];
      const double excess = std::abs(x - y) / (eps * (std::abs(x) + a.reread) + sums * std::abs(x) +
                                               smallest + noise[r]);
      if (x == y || excess <= worst) continue;  // NaN goes on
      worst = excess;
      text = a.what + " " + to_string(a.value.shape()) + ", element " + std::to_string(i) +
             ": expected " + std::to_string(x) + ", came " + std::to_string(y) + ", " +
             std::to_string(excess) + " times the bound";
    }
  }
  return text;
}

/// Gradients against central differences, to 1e-6 in double.
inline void check_gradients(const List& list) {
  for (const auto& c : list) {
    if (c.large()) continue;
    const auto checked = check_gradient(c, {.tolerance = 1e-6, .elements = 40});
    if (!checked.passed) FAIL_CHECK(c.name << ": " << checked.message);
  }
}

/// The fraction by which a path may move the operands of its products: sums are formed in another
/// order than the reference's, and tiles round float operands to bfloat16, by up to 2^-9 each.
template <Scalar T>
double nudge(kernels::Path path) {
  const bool rounds = std::is_same_v<T, bfloat16> && path >= kernels::Path::avx512;
  return rounds ? 0x1p-8 : sum_rounding<T>;
}

/// The paths that this machine and TINYNET_KERNELS allow, the reference left out.
inline std::vector<kernels::Path> fast_paths() {
  using kernels::Path;
  std::vector<Path> paths;
  const auto limit = kernels::path_limit();
  if (limit >= Path::simd) paths.push_back(Path::simd);
  if (limit >= Path::avx512 && cpu().fast_bf16_dots) paths.push_back(Path::avx512);
  if (limit >= Path::amx && cpu().amx_bf16) paths.push_back(Path::amx);
  return paths;
}

/// What must come where gradients are added to ones. Rounding after each addition errs by the parts
/// of the sum, of size 1 and |gradient|, not by the sum.
inline std::vector<Result> plus_one(std::vector<Result> results) {
  for (std::size_t r = 1; r < results.size(); ++r) {
    results[r].value = results[r].value.clone();
    for (auto& v : results[r].value.span()) v += 1;
    results[r].reread += 2;
  }
  return results;
}

/// The noise of a case at each size of nudge, worked out once.
class Noise {
 public:
  explicit Noise(const Case& c) : case_(c) {}
  const std::vector<double>& at(double nudge) {
    auto& known = known_[nudge];
    if (known.empty()) known = sensitivity(case_, nudge);
    return known;
  }

 private:
  const Case& case_;
  std::map<double, std::vector<double>> known_;
};

template <Scalar T>
void check_paths(const Case& c, Noise& noise) {
  using kernels::Path;
  const auto expect = [&](const std::string& who, const std::vector<Result>& expected,
                          const std::vector<Result>& came, double moved) {
    const auto text = difference(expected, came, noise.at(moved));
    if (!text.empty())
      FAIL_CHECK(c.name << ", " << std::string(type_name<T>()) << ", " << who << ": " << text);
  };
  const auto paths = fast_paths();
  if (tests::sanitized && c.large()) {
    for (const auto path : paths) {
      const kernels::ScopedPathLimit limit(path);
      run<T>(c);
      run<T>(c, {.add = true});
    }
    return;
  }

  std::vector<Result> reference;
  {
    const kernels::ScopedPathLimit limit(Path::reference);
    reference = run<T>(c);
    const auto added = run<T>(c, {.add = true});
    expect("reference, gradients added", plus_one(reference), added, nudge<T>(Path::reference));
    if constexpr (!std::is_same_v<T, double>) {
      // The same inputs in both, so that the types of storage and sums alone make the difference.
      const RunOptions same{
          .rounded = [](double v) { return static_cast<double>(static_cast<T>(v)); }};
      auto exact = run<double>(c, same);
      expect("reference against double", exact, run<T>(c, same), nudge<T>(Path::reference));
    }
  }
  for (const auto path : paths) {
    const kernels::ScopedPathLimit limit(path);
    const auto results = run<T>(c);
    const auto added = run<T>(c, {.add = true});
    expect(kernels::path_name(path), reference, results, nudge<T>(path));
    expect(std::string(kernels::path_name(path)) + ", gradients added", plus_one(results), added,
           nudge<T>(path));
  }
}

/// Every path against the reference, the reference in 16 and 32 bits against double, and gradients
/// that are added against gradients that are written. Under sanitizers large cases only run through the
/// fast paths: the reference would need minutes for theirs.
inline void check_paths(const List& list) {
  for (const auto& c : list) {
    Noise noise(c);
    check_paths<float>(c, noise);
    check_paths<bfloat16>(c, noise);
    check_paths<float16>(c, noise);
    check_paths<double>(c, noise);
  }
}

template <Scalar T>
void check_threads(const Case& c) {
  const int before = num_threads();
  set_num_threads(1);
  const auto one = run<T>(c);
  for (const int threads : {2, 3}) {
    set_num_threads(threads);
    const auto several = run<T>(c);
    for (std::size_t r = 0; r < one.size(); ++r) {
      const auto a = one[r].value.span(), b = several[r].value.span();
      if (std::equal(a.begin(), a.end(), b.begin())) continue;
      FAIL_CHECK(c.name << ", " << std::string(type_name<T>()) << ": " << one[r].what
                        << " differs with " << threads << " threads");
    }
  }
  set_num_threads(before);
}

/// The same bits from one, two and three threads.
inline void check_threads(const List& list) {
  for (const auto& c : list) {
    check_threads<float>(c);
    check_threads<bfloat16>(c);
  }
}

}  // namespace tinynet::cases
