#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <utility>

#include <tinynet/core/cpu.hpp>
#include <tinynet/core/parallel.hpp>
#include <tinynet/core/simd.hpp>
#include <tinynet/core/tiles.hpp>
#include <tinynet/kernels/choose.hpp>
#include <tinynet/tensor/tensor.hpp>

/// What the machine can do at most, measured in the run that compares itself with it: a share of a
/// peak from a data sheet says little on a shared machine with a moving clock.
namespace tinynet::benchmarks {

struct Peaks {
  double float_operations = 0;  // per second, fused multiply-adds in the build's vectors, two each
  // Of tiles and of VDPBF16PS; 0 where there are none or TINYNET_KERNELS forbids them.
  double bfloat16_operations = 0;  // per second, AMX
  double dot_operations = 0;       // per second, AVX512-BF16
  double read_bytes = 0;           // per second, from memory
  double copy_bytes = 0;           // per second, read plus written

  /// Of 16-bit operands, by whatever is fastest.
  double half_operations() const {
    return std::max({bfloat16_operations, dot_operations, float_operations});
  }
  /// Of floats, where <tinynet/float_tiles.hpp> is included: of tiles they take six products for one.
  double single_operations() const { return std::max(float_operations, bfloat16_operations / 6); }
};

/// Seconds of the fastest of several calls.
template <class F>
double fastest(F f) {
  using clock = std::chrono::steady_clock;
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 7; ++i) {
    const auto start = clock::now();
    f();
    best = std::min(best, std::chrono::duration<double>(clock::now() - start).count());
  }
  return best;
}

/// Twelve chains hide the latency of two FMA units and leave registers in every instruction set.
template <std::size_t... chain>
float multiply_add(std::int64_t rounds, std::index_sequence<chain...>) {
  using V = simd::batch<float>;
  const V a(0.999f), b(0.001f);
  V sums[] = {V(static_cast<float>(chain))...};
  for (std::int64_t i = 0; i < rounds; ++i) ((sums[chain] = simd::fma(sums[chain], a, b)), ...);
  return (simd::sum<float>(sums[chain]) + ...);
}

inline double measure_float_operations() {
  constexpr std::int64_t chains = 12, rounds = 1 << 20;
  const int threads = num_threads();
  Tensor<float> results({threads});
  const double seconds = fastest([&] {
    parallel_for(threads, [&](std::int64_t thread) {
      results.data()[thread] = multiply_add(rounds, std::make_index_sequence<chains>());
    });
  });
  return 2.0 * static_cast<double>(rounds * chains * simd::width<float> * threads) / seconds;
}

#ifdef TINYNET_TILES
/// Four accumulators fed by operands from the first-level cache. Tile numbers must be literals.
TINYNET_TARGET_AMX inline void multiply_tiles(const bfloat16* a, const bfloat16* b,
                                              std::int64_t rounds) {
  const tiles::TileSection section;
  tiles::finish_stores();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (std::int64_t i = 0; i < rounds; ++i) {
    const auto step = i % 8 * 2 * tiles::tile_elements;
    _tile_loadd(4, a + step, 64);
    _tile_loadd(6, b + step, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + step + tiles::tile_elements, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a + step + tiles::tile_elements, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
}
#endif

inline double measure_bfloat16_operations() {
#ifdef TINYNET_TILES
  if (!cpu().amx_bf16 || kernels::path_limit() < kernels::Path::amx) return 0;
  constexpr std::int64_t rounds = 1 << 16;
  const int threads = num_threads();
  const auto operands = Tensor<bfloat16>::ones({threads, 2, 16 * tiles::tile_elements});
  const double seconds = fastest([&] {
    parallel_for(threads, [&](std::int64_t thread) {
      const auto* a = operands.data() + thread * 32 * tiles::tile_elements;
      multiply_tiles(a, a + 16 * tiles::tile_elements, rounds);
    });
  });
  constexpr std::int64_t products = 4 * tiles::tile_rows * tiles::tile_rows * tiles::tile_depth;
  return 2.0 * static_cast<double>(rounds * products * threads) / seconds;
#else
  return 0;
#endif
}

#ifdef TINYNET_TILES
/// As multiply_add, with pairs of bfloat16.
template <std::size_t... chain>
TINYNET_TARGET_AMX float multiply_pairs(std::int64_t rounds, std::index_sequence<chain...>) {
  const auto pairs = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5f), _mm512_set1_ps(0.25f));
  __m512 sums[] = {_mm512_set1_ps(static_cast<float>(chain))...};
  for (std::int64_t i = 0; i < rounds; ++i) {
    ((sums[chain] = _mm512_dpbf16_ps(sums[chain], pairs, pairs)), ...);
  }
  return (_mm512_cvtss_f32(sums[chain]) + ...);
}
#endif

inline double measure_dot_operations() {
#ifdef TINYNET_TILES
  if (!cpu().avx512_bf16 || kernels::path_limit() < kernels::Path::avx512) return 0;
  constexpr std::int64_t rounds = 1 << 19;
  const int threads = num_threads();
  Tensor<float> results({threads});
  const double seconds = fastest([&] {
    parallel_for(threads, [&](std::int64_t thread) {
      results.data()[thread] = multiply_pairs(rounds, std::make_index_sequence<12>());
    });
  });
  return 2.0 * 12 * 32 * static_cast<double>(rounds * threads) / seconds;
#else
  return 0;
#endif
}

/// 256 MB, more than any cache that a benchmark's operands would stay in.
inline void measure_memory(Peaks& peaks) {
  constexpr std::int64_t size = 32 << 20, grain = 1 << 18;
  const auto from = Tensor<float>::ones({size});
  auto to = Tensor<float>::zeros({size});
  Tensor<float> sums({size / grain});
  const double read = fastest([&] {
    parallel_ranges(size, grain, [&](Range range) {
      simd::batch<float> a(0.0f), b(0.0f), c(0.0f), d(0.0f);
      constexpr auto width = simd::width<float>;
      for (auto i = range.begin; i < range.end; i += 4 * width) {
        a += simd::load(from.data() + i);
        b += simd::load(from.data() + i + width);
        c += simd::load(from.data() + i + 2 * width);
        d += simd::load(from.data() + i + 3 * width);
      }
      sums.data()[range.begin / grain] = simd::sum<float>((a + b) + (c + d));
    });
  });
  const double copy = fastest([&] {
    parallel_ranges(size, grain, [&](Range range) {
      std::copy_n(from.data() + range.begin, range.size(), to.data() + range.begin);
    });
  });
  peaks.read_bytes = static_cast<double>(size) * sizeof(float) / read;
  peaks.copy_bytes = 2 * static_cast<double>(size) * sizeof(float) / copy;
}

/// Measured once, on as many threads as `parallel_for` uses.
inline const Peaks& peaks() {
  static const Peaks measured = [] {
    Peaks p;
    p.float_operations = measure_float_operations();
    p.bfloat16_operations = measure_bfloat16_operations();
    p.dot_operations = measure_dot_operations();
    measure_memory(p);
    return p;
  }();
  return measured;
}

}  // namespace tinynet::benchmarks
