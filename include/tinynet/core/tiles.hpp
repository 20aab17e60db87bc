#pragma once

#include <cstdint>

#include <tinynet/core/config.hpp>
#include <tinynet/core/intrinsics.hpp>

/// Tiles: eight registers of 16 rows x 64 bytes, and one instruction that multiplies them.
///
///   TDPBF16PS   C[16][16] += A[16][32] * B[32][16]     C float, A and B bfloat16
///
/// where B lies as 16 rows of 16 *pairs*: row p holds B[2p][j], B[2p+1][j] for j = 0 .. 15. Sums
/// are formed pair by pair, and subnormal numbers count as zero.
///
/// The same product is 16 steps of AVX-512's
///
///   VDPBF16PS   C[i][16] += A[i][2p], A[i][2p+1] * row p of B     for each i
///
/// with the pair of A broadcast, so a CPU without tiles, but fast at that, runs on the same operands.
///
/// Whatever touches tiles is a function marked TINYNET_TARGET_AMX that takes pointers: the build
/// may be for any x86-64, so such a function cannot be inlined into its caller and vectors cannot
/// be passed to it. Whether it may be called at all is `cpu().amx_bf16`. What fills tiles and reads
/// results is marked TINYNET_TARGET_BF16, and only needs `cpu().avx512_bf16`.
#if defined(__x86_64__) && defined(__linux__) && (defined(__GNUC__) || defined(__clang__))
#define TINYNET_TILES 1

#define TINYNET_TARGET_BF16 \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,bmi,bmi2")))
// Inlined by force: a function that takes or returns vectors is no boundary to cross.
#define TINYNET_BF16_INLINE TINYNET_TARGET_BF16 __attribute__((always_inline)) inline
#define TINYNET_TARGET_AMX \
  __attribute__((          \
      target("amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,bmi,bmi2")))

namespace tinynet::inline TINYNET_ABI::tiles {

inline constexpr std::int64_t tile_rows = 16;   // of A and C; columns of B and C
inline constexpr std::int64_t tile_depth = 32;  // bfloat16 that one instruction sums over
inline constexpr std::int64_t tile_elements = tile_rows * tile_depth;  // 1 KB

/// What multiplies tiles: registers of tiles, or dot products of vectors.
enum class TileUnit { amx, avx512 };

/// The second-level cache of a core that has the unit: 2 MB beside AMX (Sapphire Rapids and later), 1 MB
/// beside fast dot products (Zen 4 and 5, Cooper Lake).
constexpr std::int64_t l2_bytes(TileUnit unit) {
  return std::int64_t{unit == TileUnit::amx ? 2 : 1} << 20;
}

/// The 64 bytes that LDTILECFG reads: palette 1, all eight tiles 16 rows of 64 bytes. Tiles 0 to 3 are
/// for sums, 4 and 5 for A, 6 and 7 for B.
struct alignas(64) TileConfiguration {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};

  /// For products that sum over `depth` bfloat16, an even number up to 32.
  static constexpr TileConfiguration of_depth(std::int64_t depth) {
    TileConfiguration c;
    c.row_bytes[4] = c.row_bytes[5] = static_cast<std::uint16_t>(2 * depth);
    c.rows[6] = c.rows[7] = static_cast<std::uint8_t>(depth / 2);
    return c;
  }
};
static_assert(sizeof(TileConfiguration) == 64);

/// Tile loads do not tell the compiler that they read memory: stands between filling a buffer and
/// loading tiles from it.
inline void finish_stores() { __asm__ volatile("" ::: "memory"); }

/// Owns the thread's tiles while it lives, where the unit has any. Every section of tile work makes its
/// own: other libraries configure and release tiles on the same threads.
class TileSection {
 public:
  TINYNET_TARGET_AMX explicit TileSection(TileUnit unit = TileUnit::amx) : unit_(unit) {
    if (unit_ == TileUnit::amx) load({});
  }
  TINYNET_TARGET_AMX explicit TileSection(const TileConfiguration& configuration)
      : unit_(TileUnit::amx) {
    load(configuration);
  }
  TINYNET_TARGET_AMX ~TileSection() {
    if (unit_ == TileUnit::amx) _tile_release();
  }
  TileSection(const TileSection&) = delete;
  TileSection& operator=(const TileSection&) = delete;

 private:
  TINYNET_TARGET_AMX static void load(const TileConfiguration& configuration) {
    // GCC's _tile_loadconfig declares that it reads 8 bytes: stores that fill the rest would be dropped.
    __asm__ volatile("" : : "r"(&configuration) : "memory");
    _tile_loadconfig(&configuration);
  }

  TileUnit unit_;
};

}  // namespace tinynet::inline TINYNET_ABI::tiles

#endif
