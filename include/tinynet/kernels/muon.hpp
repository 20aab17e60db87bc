#pragma once

#include <tinynet/kernels/update.hpp>

/// The elementwise parts of Muon; between them stands newton_schulz.hpp.
namespace tinynet::inline TINYNET_ABI::kernels {

template <class P>
struct MuonMomentumStep {
  P momentum;
  bool nesterov;

  template <class X>
  void operator()(X& direction, const X& gradient, X& velocity) const {
    velocity = momentum * velocity + gradient;
    direction = nesterov ? X(gradient + momentum * velocity) : velocity;
  }
};

template <class P>
struct MuonApplyStep {
  P keep, lr;

  template <class X>
  void operator()(X& value, const X& direction) const {
    value = keep * value - lr * direction;
  }
};

/// velocity = momentum * velocity + gradient, and the direction that is to be orthogonalised.
template <class P>
void muon_momentum(std::span<P> direction, std::span<const P> gradients, std::span<P> velocity,
                   double momentum, bool nesterov) {
  update<P>("muon_momentum", std::ssize(direction),
            MuonMomentumStep<P>{static_cast<P>(momentum), nesterov}, direction.data(),
            gradients.data(), velocity.data());
}

/// values = keep * values - lr * direction.
template <class P>
void muon_apply(std::span<P> values, std::span<const P> direction, double keep, double lr) {
  update<P>("muon_apply", std::ssize(values),
            MuonApplyStep<P>{static_cast<P>(keep), static_cast<P>(lr)}, values.data(),
            direction.data());
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
