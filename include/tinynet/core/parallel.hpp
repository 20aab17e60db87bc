#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>

#include <tinynet/core/pieces.hpp>

#ifdef _OPENMP
#include <omp.h>
#endif

/// Threads. The only file that names OpenMP.
namespace tinynet::inline TINYNET_ABI {

namespace detail {
inline std::atomic<int>& thread_count() {
#ifdef _OPENMP
  static std::atomic<int> count{omp_get_max_threads()};
#else
  static std::atomic<int> count{1};
#endif
  return count;
}
inline bool& serial_thread() {
  thread_local bool serial = false;
  return serial;
}
}  // namespace detail

/// Threads that `parallel_for` uses: what the OpenMP runtime offers (OMP_NUM_THREADS) until
/// `set_num_threads` says otherwise. Always 1 in a build without OpenMP.
inline int num_threads() { return detail::thread_count(); }

/// Sets the number of threads, at least 1. Results do not depend on it.
inline void set_num_threads([[maybe_unused]] int count) {
#ifdef _OPENMP
  detail::thread_count() = std::max(count, 1);
#endif
}

/// While it lives, `parallel_for` on this thread is a plain loop. A loader's thread holds one:
/// libgomp's barriers spin, so a second team on the same cores would stall the training step.
class SerialSection {
 public:
  SerialSection() : before_(detail::serial_thread()) { detail::serial_thread() = true; }
  ~SerialSection() { detail::serial_thread() = before_; }
  SerialSection(const SerialSection&) = delete;
  SerialSection& operator=(const SerialSection&) = delete;

 private:
  bool before_;
};

/// What a loop's work takes on one core, estimated from its shape alone.
///
/// Opening a region costs 2.5 to 4 microseconds with two threads that are awake, and more where they
/// sleep (benchmarks/kernels --benchmark_filter=parallel_region). So the rule: a loop gets one more
/// thread for each `worth_a_thread` of work, and runs where it is below twice that. Only the number of
/// threads follows from it, never how the work is cut: an estimate that is wrong costs time, not bits.
struct Cost {
  std::int64_t nanoseconds = 0;

  static constexpr std::int64_t worth_a_thread = 10'000;

  /// Multiply-accumulates of a kernel in vectors: a core of 2023 does 50 to 100 a nanosecond.
  static constexpr Cost of_macs(std::int64_t macs) { return {macs / 64}; }
  /// Elements read and written once, 8 bytes each from the nearer caches.
  static constexpr Cost of_elements(std::int64_t elements) { return {elements / 4}; }

  constexpr std::int64_t threads() const { return nanoseconds / worth_a_thread; }
};

namespace detail {

/// The loop behind `parallel_for`, once for all of them: a template with an OpenMP region in it would
/// be compiled, body and all, twice for every kernel.
[[gnu::noinline]] inline void run_units(std::int64_t units,
                                        [[maybe_unused]] std::int64_t most_threads,
                                        void (*run)(const void*, std::int64_t), const void* f) {
#ifdef _OPENMP
  const auto threads =
      static_cast<int>(std::min({std::int64_t{num_threads()}, units, most_threads}));
  if (threads > 1 && !serial_thread() && !omp_in_parallel()) {
    std::exception_ptr error;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (std::int64_t unit = 0; unit < units; ++unit) {
      try {
        run(f, unit);
      } catch (...) {
#pragma omp critical(tinynet_parallel_for_error)
        if (!error) error = std::current_exception();
      }
    }
    if (error) std::rethrow_exception(error);
    return;
  }
#endif
  for (std::int64_t unit = 0; unit < units; ++unit) run(f, unit);
}

}  // namespace detail

/// Calls `f(unit)` for each unit in [0, units), on several threads where that is allowed. Units must
/// be cut from the shape of the work alone and write to disjoint places: then results have the same
/// bits for any number of threads. The first exception of any unit is thrown again here.
template <class F>
void parallel_for(std::int64_t units, const F& f) {
  const auto run = [](const void* body, std::int64_t unit) {
    (*static_cast<const F*>(body))(unit);
  };
  detail::run_units(units, units, run, &f);
}

/// The same for units that may be small: on as many threads as all of them together are worth.
template <class F>
void parallel_for(std::int64_t units, Cost all, const F& f) {
  const auto run = [](const void* body, std::int64_t unit) {
    (*static_cast<const F*>(body))(unit);
  };
  detail::run_units(units, all.threads(), run, &f);
}

/// A half-open range of elements.
struct Range {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t size() const { return end - begin; }
};

/// Cuts [0, total) into ranges of `grain` elements (the last may be shorter) and calls `f(range)`
/// for each. `grain` is part of the arithmetic, not of the machine: choose it by the work alone.
template <class F>
void parallel_ranges(std::int64_t total, std::int64_t grain, const F& f) {
  parallel_for(pieces(total, grain), [&](std::int64_t unit) {
    f(Range{unit * grain, std::min(total, (unit + 1) * grain)});
  });
}

}  // namespace tinynet::inline TINYNET_ABI
