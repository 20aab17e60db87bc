#pragma once

#include <tinynet/core/buffer.hpp>
#include <tinynet/kernels/input_map.hpp>
#include <tinynet/kernels/norm_act.hpp>

namespace tinynet::inline TINYNET_ABI::kernels {

/// f(scale * x + shift) as a map that convolutions apply to their input; copies share the coefficients.
template <Scalar T>
class NormActMap {
  using P = param_t<T>;
  using A = accumulate_t<T>;

 public:
  /// None.
  NormActMap() = default;
  /// scale and shift are [c].
  template <class F>
  NormActMap(const F& f, const P* scale, const P* shift, std::int64_t c)
      : f_(f),
        loops_(&f_.loops("norm_act_map")),
        unrounded_(loops_ == &norm_act_loops_reference<T, F> ? norm_act_reference::forward<T, F, A>
                                                             : norm_act_simd::forward<T, F, A>),
        c_(c),
        period_(detail::whole_registers<T>(c) * c),
        rows_(static_cast<std::size_t>(2 * period_) * sizeof(P)) {
    P* to = reinterpret_cast<P*>(rows_.data());
    for (std::int64_t i = 0; i < period_; ++i) to[i] = scale[i % c], to[period_ + i] = shift[i % c];
  }

  /// Not to be used after this object.
  InputMap map() const&& = delete;
  InputMap map() const& { return c_ > 0 ? InputMap{apply, apply_unrounded, this} : InputMap(); }

 private:
  template <class Y>
  NormActForward<T, Y> operands(void* to, const void* from) const {
    const P* rows = reinterpret_cast<const P*>(rows_.data());
    return {static_cast<Y*>(to), static_cast<const T*>(from), nullptr, rows, rows + period_};
  }
  static void apply(const void* state, void* to, const void* from, std::int64_t pixels) {
    const auto& m = *static_cast<const NormActMap*>(state);
    m.loops_->forward(m.f_.formula(), m.template operands<T>(to, from), pixels * m.c_, m.period_);
  }
  static void apply_unrounded(const void* state, void* to, const void* from, std::int64_t pixels) {
    const auto& m = *static_cast<const NormActMap*>(state);
    m.unrounded_(m.f_.formula(), m.template operands<A>(to, from), pixels * m.c_, m.period_);
  }

  FusedActivation<T> f_;
  const NormActLoops<T>* loops_ = nullptr;
  void (*unrounded_)(const void* f, const NormActForward<T, A>&, std::int64_t elements,
                     std::int64_t period) = nullptr;
  std::int64_t c_ = 0, period_ = 0;
  Buffer rows_;  // scale and shift, [period] each
};

}  // namespace tinynet::inline TINYNET_ABI::kernels
