#pragma once

#include <algorithm>
#include <cstdint>

#include <tinynet/core/parallel.hpp>
#include <tinynet/core/simd.hpp>
#include <tinynet/core/simd_integers.hpp>
#include <tinynet/kernels/choose.hpp>

/// What the small kernels share: the choice between two versions, a loop over registers that treats
/// the tail like the rest, and how work is cut for threads.
namespace tinynet::inline TINYNET_ABI::kernels {

/// The simd version of `kernel` where it is allowed, else the reference; both accept every shape.
///
///     simd_or_reference("scale", vectors::scale<P>, reference::scale<P>)(values, factor);
template <class F>
F* simd_or_reference(const char* kernel, F* simd, F* reference) {
  return simd_allowed(kernel) ? simd : reference;
}

/// A register's worth of elements; `PartLanes` is the same for the tail of an array.
struct FullLanes {
  template <class T>
  static auto load(const T* p) {
    return simd::load(p);
  }
  template <class T>
  static void store(T* p, const std::type_identity_t<simd::batch<accumulate_t<T>>>& x) {
    simd::store(p, x);
  }
  template <class A, class Integer>
  static auto load_integers(const Integer* p) {
    return simd::load_integers<A>(p);
  }
  template <class A, class Integer>
  static void store_integers(Integer* p, const simd::batch<A>& x) {
    simd::store_integers(p, x);
  }
};

struct PartLanes {
  std::int64_t elements;

  template <class T>
  auto load(const T* p) const {
    return simd::load_partial(p, elements);
  }
  template <class T>
  void store(T* p, const std::type_identity_t<simd::batch<accumulate_t<T>>>& x) const {
    simd::store_partial(p, x, elements);
  }
  template <class A, class Integer>
  auto load_integers(const Integer* p) const {
    return simd::load_integers_partial<A>(p, elements);
  }
  template <class A, class Integer>
  void store_integers(Integer* p, const simd::batch<A>& x) const {
    simd::store_integers_partial(p, x, elements);
  }
};

/// Calls `f(i, lanes)` for i = 0, width, 2 * width ... below n; `lanes` loads and stores what is
/// left there. Inlined: as functions of their own the loops load where their operands lie again for each vector.
template <class A, class F>
[[gnu::always_inline]] inline void for_lanes(std::int64_t n, F&& f) {
  std::int64_t i = 0;
  for (; i + simd::width<A> <= n; i += simd::width<A>) f(i, FullLanes{});
  if (i < n) f(i, PartLanes{n - i});
}

/// to[i] = from[i] for i < count, widened. The last vector begins early, so that it ends with them: one
/// by one, the four behind the first 16 of 20 channels took a quarter of a weight gradient.
template <class T>
[[gnu::always_inline]] inline void widen(accumulate_t<T>* to, const T* from, std::int64_t count) {
  constexpr auto W = simd::width<accumulate_t<T>>;
  std::int64_t i = 0;
  for (; i + W <= count; i += W) simd::store(to + i, simd::load(from + i));
  if (i == count) return;
  if (i > 0) return simd::store(to + count - W, simd::load(from + count - W));
  for (; i < count; ++i) to[i] = from[i];
}

/// Writes a result where `store` says how.
template <class T, class Lanes>
void put(T* p, simd::batch<accumulate_t<T>> x, Store store, Lanes lanes) {
  if (store == Store::add) x += lanes.load(p);
  lanes.store(p, x);
}
template <class T>
void put(T& destination, accumulate_t<T> x, Store store) {
  destination = T(store == Store::add ? accumulate_t<T>(destination) + x : x);
}

/// Elements in a unit of work. Waking a thread costs some microseconds; a pass over this many
/// elements takes about ten.
inline constexpr std::int64_t grain = 1 << 15;

/// Rows in a unit of about `grain` elements.
constexpr std::int64_t grain_rows(std::int64_t row_elements) {
  return std::max<std::int64_t>(1, grain / std::max<std::int64_t>(1, row_elements));
}

/// Rows in a unit of a reduction, whose partial sums are then added in the order of the units: at
/// most eight units, whatever the number of threads.
constexpr std::int64_t reduction_rows(std::int64_t rows, std::int64_t row_elements) {
  return std::max(grain_rows(row_elements), (rows + 7) / 8);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
