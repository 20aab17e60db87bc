#pragma once

#include <cmath>

#include <tinynet/core/random.hpp>

/// Numbers from distributions that take an unknown number of uniform ones.
namespace tinynet::inline TINYNET_ABI::random {

/// The logarithm of a number from the gamma distribution of that shape, above 0, and scale 1: a
/// shape near 0 gives numbers that no floating point holds (Marsaglia, Tsang, "A simple method for
/// generating gamma variables", 2000).
inline double log_gamma_variate(double shape, Generator& generator) {
  const auto log_uniform = [&] { return std::log(1.0 - generator.uniform()); };  // of (0, 1]
  if (shape < 1) return log_gamma_variate(shape + 1, generator) + log_uniform() / shape;
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = generator.normal(), root = 1 + c * x;
    if (root <= 0) continue;
    const double log_v = 3 * std::log(root), v = root * root * root;
    if (log_uniform() < 0.5 * x * x + d - d * v + d * log_v) return std::log(d) + log_v;
  }
}

/// A number in [0, 1] from the beta distribution; `a` and `b` lie above 0.
inline double beta(double a, double b, Generator& generator) {
  const double x = log_gamma_variate(a, generator), y = log_gamma_variate(b, generator);
  return 1 / (1 + std::exp(y - x));
}

}  // namespace tinynet::inline TINYNET_ABI::random
