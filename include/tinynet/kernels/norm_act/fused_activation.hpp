#pragma once

#include <array>
#include <cstddef>
#include <new>
#include <type_traits>

#include <tinynet/kernels/norm_act/reference.hpp>
#include <tinynet/kernels/norm_act/simd.hpp>

namespace tinynet::inline TINYNET_ABI::kernels {

/// What the derivative of an activation reads beside x where a residual was added.
enum class NormActKeeps { nothing, output, residual };

namespace detail {

/// "batch_norm" and what is joined with it, as summaries show it.
template <class F>
struct FusedName {
  static constexpr std::array<char, 48> join(const char* parts, const char* end) {
    std::array<char, 48> name{};
    std::size_t length = 0;
    for (; *parts; ++parts) name.at(length++) = *parts;
    if (*F::name) name.at(length++) = '+';
    for (const char* p = F::name; *p; ++p) name.at(length++) = *p;
    while (*end) name.at(length++) = *end++;
    return name;
  }
  static constexpr std::array names = {join("batch_norm", ""), join("batch_norm+add", ""),
                                       join("batch_norm+gate", ""), join("batch_norm+gate+add", ""),
                                       join("batch_norm", " deferred")};
};

}  // namespace detail

/// An activation (a struct of ops/activation.hpp) as these kernels take it: its innermost loops.
/// All around the loops is compiled once for each T, whatever activations a program has.
template <Scalar T>
class FusedActivation {
 public:
  FusedActivation() : FusedActivation(Identity()) {}
  template <class F>
  requires(!std::is_same_v<F, FusedActivation>) FusedActivation(const F& formula)
      : names_(detail::FusedName<F>::names.data()),
        keeps_(keeps<F>()),
        simd_(&norm_act_loops_simd<T, F>),
        reference_(&norm_act_loops_reference<T, F>) {
    static_assert(sizeof(F) <= sizeof formula_ && std::is_trivially_copyable_v<F>);
    new (formula_) F(formula);
  }

  /// "batch_norm+gate+add+relu", or as much of it as there is.
  const char* name(bool gate, bool add) const { return names_[2 * gate + add].data(); }
  /// "batch_norm+relu deferred"
  const char* deferred_name() const { return names_[4].data(); }
  NormActKeeps keeps() const { return keeps_; }
  /// The formula, which the loops get as their first argument.
  const void* formula() const { return formula_; }
  const NormActLoops<T>& loops(const char* kernel) const {
    return *simd_or_reference(kernel, simd_, reference_);
  }

 private:
  template <class F>
  static constexpr NormActKeeps keeps() {
    if constexpr (std::is_same_v<F, Identity>) return NormActKeeps::nothing;
    else if constexpr (F::keeps == decltype(F::keeps)::output) return NormActKeeps::output;
    else return NormActKeeps::residual;
  }

  const std::array<char, 48>* names_;
  NormActKeeps keeps_;
  const NormActLoops<T>* simd_;
  const NormActLoops<T>* reference_;
  alignas(8) std::byte formula_[16];
};

}  // namespace tinynet::inline TINYNET_ABI::kernels
