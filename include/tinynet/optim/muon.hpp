#pragma once

#include <array>
#include <cmath>

#include <tinynet/kernels/muon.hpp>
#include <tinynet/kernels/newton_schulz.hpp>
#include <tinynet/optim/flat_optimizer.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

/// What a matrix's learning rate is multiplied with, as in PyTorch.
enum class AdjustLr {
  none,
  original,         // sqrt(max(1, rows / cols)): outputs change alike, whatever the shape
  match_rms_adamw,  // 0.2 * sqrt(max(rows, cols)): elements change as much as by AdamW, whose lr
                    // and weight_decay then fit (Liu et al. 2025)
};

/// What the orthogonalisation is computed in.
enum class NewtonSchulzPrecision {
  bfloat16,  // on products that tiles are made for
  full,      // the parameters' own
};

/// Coefficients of one iteration: s -> a*s + b*s^3 + c*s^5 for each singular value s.
inline constexpr std::array<double, 3> quintic{3.4445, -4.7750, 2.0315};  // 0.68 to 1.13 in 5 steps
inline constexpr std::array<double, 3> cubic{1.5, -0.5, 0};               // slow, but towards 1

struct MuonOptions {
  double lr = 0.02;
  double momentum = 0.95;
  bool nesterov = true;
  double weight_decay = 0;  // decoupled: value -= lr * weight_decay * value
  std::array<double, 3> ns_coefficients = quintic;
  int ns_steps = 5;
  double eps = 1e-7;  // added to the norm of the direction, which may be 0
  NewtonSchulzPrecision precision = NewtonSchulzPrecision::bfloat16;
  AdjustLr adjust_lr = AdjustLr::original;
  bool normalize_weights = false;  // each weight to the norm sqrt(rows), before each update
  std::vector<Group> groups = {};
};

/// Momentum, orthogonalised by Newton-Schulz iterations (Jordan et al. 2024): every direction of a
/// weight matrix is moved alike. For weights of linear layers and convolutions, a convolution's
/// [oc, kh, kw, ic] read as a matrix [oc, kh * kw * ic]; StateError for parameters with one axis,
/// which are another optimizer's (see split):
///
///     m = momentum * m + gradient
///     u = orthogonal(nesterov ? gradient + momentum * m : m)
///     value = value * sqrt(rows) / |value|                                  (normalize_weights)
///     value -= lr * (adjust * u + weight_decay * value)
///
///     optim::Muon muon(parts.matching, {.lr = 0.24, .momentum = 0.6, .ns_steps = 3,
///                                       .normalize_weights = true});
template <class P>
class Muon : public FlatOptimizer<P> {
 public:
  explicit Muon(const ParameterList<P>& parameters, const MuonOptions& options = {})
      : FlatOptimizer<P>(parameters, setup(options)), options_(options) {
    for (const auto& parameter : this->parameters()) {
      const auto& shape = parameter->value.shape();
      if (shape.axes() >= 2) continue;
      throw StateError(Message("Muon", "a parameter is no matrix")
                           .fact("parameter", parameter->name)
                           .fact("shape", shape)
                           .hint("give it to another optimizer: optim::split(parameters, "
                                 "optim::matrices())"));
    }
  }

  const MuonOptions& options() const { return options_; }

 private:
  static typename FlatOptimizer<P>::Setup setup(const MuonOptions& o) {
    require_setting(o.momentum >= 0 && o.momentum < 1, "Muon", "momentum", o.momentum,
                    "at least 0 and below 1");
    require_setting(o.ns_steps >= 1, "Muon", "ns_steps", o.ns_steps, "1 or more");
    require_setting(o.eps >= 1e-38, "Muon", "eps", o.eps, "1e-38 or more");  // 1 / eps in float
    for (const double c : o.ns_coefficients) {
      require_setting(std::isfinite(c), "Muon", "ns_coefficients", c, "finite numbers");
    }
    return {.name = "Muon",
            .lr = o.lr,
            .momentum = o.momentum,
            .weight_decay = o.weight_decay,
            .groups = o.groups,
            .state = {"momentum_buffer"}};
  }

  void update(const typename FlatOptimizer<P>::Update& run) override {
    std::size_t at = 0;
    for (const auto& parameter : run.parameters) {
      const auto size = parameter->value.span().size();
      if (size > 0) {
        const std::int64_t rows = parameter->value.shape()[0];
        update_matrix(run, rows, run.values.subspan(at, size), run.gradients.subspan(at, size),
                      run.state[0].subspan(at, size));
      }
      at += size;
    }
  }

  void update_matrix(const typename FlatOptimizer<P>::Update& run, std::int64_t rows,
                     std::span<P> values, std::span<const P> gradients, std::span<P> velocity) {
    const std::int64_t cols = std::ssize(values) / rows;
    Scratch scratch;
    const auto direction = scratch.take<P>(std::ssize(values));
    kernels::muon_momentum<P>(direction, gradients, velocity, run.momentum, options_.nesterov);
    const auto [a, b, c] = options_.ns_coefficients;
    const kernels::NewtonSchulz iteration{a, b, c, options_.ns_steps, options_.eps};
    const auto matrix = kernels::matrix(direction.data(), rows, cols);
    if (options_.precision == NewtonSchulzPrecision::bfloat16) {
      kernels::newton_schulz<bfloat16>(matrix, iteration);
    } else {
      kernels::newton_schulz<P>(matrix, iteration);
    }
    double keep = 1 - run.lr * run.weight_decay;
    if (options_.normalize_weights) {
      const double norm = std::sqrt(kernels::sum_squares<P>(values));
      if (norm > 0) keep *= std::sqrt(static_cast<double>(rows)) / norm;
    }
    kernels::muon_apply<P>(values, direction, keep, run.lr * adjustment(rows, cols));
  }

  double adjustment(std::int64_t rows, std::int64_t cols) const {
    const auto r = static_cast<double>(rows), c = static_cast<double>(cols);
    if (options_.adjust_lr == AdjustLr::original) return std::sqrt(std::max(1.0, r / c));
    if (options_.adjust_lr == AdjustLr::match_rms_adamw) return 0.2 * std::sqrt(std::max(r, c));
    return 1;
  }

  MuonOptions options_;
};

}  // namespace tinynet::inline TINYNET_ABI::optim
