#pragma once

#include <tinynet/kernels/loops.hpp>
#include <tinynet/kernels/norm_act/contract.hpp>

/// The loops in plain form: the definition.
namespace tinynet::inline TINYNET_ABI::kernels::norm_act_reference {

/// The derivative at z, or from y where the formula is written in it.
template <class F, class A>
A derivative(const F& f, A z) {
  if constexpr (std::is_same_v<F, Identity>) return A(1);
  else if constexpr (F::keeps == decltype(F::keeps)::output) return f.df(f.f(z));
  else return f.df(z);
}

/// The same where a residual was added: `kept` is y or the residual.
template <class F, class A>
A derivative(const F& f, A z, A kept) {
  if constexpr (std::is_same_v<F, Identity>) return A(1);
  else if constexpr (F::keeps == decltype(F::keeps)::output) return f.df(kept);
  else return f.df(z + kept);
}

template <Scalar T, class F, class Y = T>
void forward(const void* formula, const NormActForward<T, Y>& o, std::int64_t elements,
             std::int64_t period) {
  using A = accumulate_t<T>;
  const auto& f = *static_cast<const F*>(formula);
  for (std::int64_t i = 0; i < elements; ++i) {
    const auto ch = i % period;
    const A z = o.scale[ch] * static_cast<A>(o.x[i]) + o.shift[ch];
    o.y[i] = static_cast<Y>(f.f(o.residual ? z + static_cast<A>(o.residual[i]) : z));
  }
}

template <Scalar T, class F>
void sums(const void* formula, const NormActSums<T>& o,
          const std::array<accumulate_t<T>*, 2>& sums, std::int64_t elements, std::int64_t period) {
  using A = accumulate_t<T>;
  const auto& f = *static_cast<const F*>(formula);
  for (auto* each : sums) std::fill_n(each, period, A(0));
  for (std::int64_t i = 0; i < elements; ++i) {
    const auto ch = i % period;
    const A x = o.x[i], dy = o.dy[i], z = o.scale[ch] * x + o.shift[ch];
    const A ds = dy * (o.kept ? derivative(f, z, static_cast<A>(o.kept[i])) : derivative(f, z));
    if (o.ds) o.ds[i] = static_cast<T>(ds);
    sums[0][ch] += ds;
    sums[1][ch] += ds * (x - o.center[ch]);
  }
}

template <Scalar T, class F>
void input(const void* formula, const NormActInput<T>& o, std::int64_t elements,
           std::int64_t period) {
  using A = accumulate_t<T>;
  const auto& f = *static_cast<const F*>(formula);
  for (std::int64_t i = 0; i < elements; ++i) {
    const auto ch = i % period;
    const A x = o.x[i], dy = o.dy[i];
    const A ds = dy * derivative(f, o.scale[ch] * x + o.shift[ch]);
    put(o.dx[i], o.a[ch] * ds + o.b[ch] + o.k[ch] * x, o.store);
  }
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::norm_act_reference

namespace tinynet::inline TINYNET_ABI::kernels {

template <Scalar T, class F>
inline constexpr NormActLoops<T> norm_act_loops_reference = {
    norm_act_reference::forward<T, F>, norm_act_reference::sums<T, F>,
    norm_act_reference::input<T, F>};

}  // namespace tinynet::inline TINYNET_ABI::kernels
