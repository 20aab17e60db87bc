#pragma once

/// Version, and the inline namespace that names what a translation unit was compiled for.
///
/// Two units built with different `-m` flags inline different instructions into templates of the
/// same name; the linker would keep one of them and a v2 machine might meet AVX-512. The tag in the
/// namespace makes them different names, so that such units link into one program and both work:
/// units for x86-64, v2, v3 and v4, for AVX alone and for v4 with AVX512-BF16. Single `-m` flags
/// beside these (-mavx2 without -mfma) are not told apart.

#define TINYNET_VERSION_MAJOR 0
#define TINYNET_VERSION_MINOR 1
#define TINYNET_VERSION_PATCH 0

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#if defined(__AVX512BF16__)
#define TINYNET_ISA avx512bf16
#else
#define TINYNET_ISA avx512
#endif
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define TINYNET_ISA avx2
#elif defined(__AVX__)
#define TINYNET_ISA avx
#elif defined(__SSE4_2__)
#define TINYNET_ISA sse4
#elif defined(__SSE2__)
#define TINYNET_ISA sse2
#elif defined(__aarch64__)
#define TINYNET_ISA neon
#else
#define TINYNET_ISA scalar
#endif

#ifdef _OPENMP
#define TINYNET_THREADING omp
#else
#define TINYNET_THREADING serial
#endif

#define TINYNET_JOIN_(major, isa, threading) v##major##_##isa##_##threading
#define TINYNET_JOIN(major, isa, threading) TINYNET_JOIN_(major, isa, threading)
#define TINYNET_STRINGIZE_(x) #x
#define TINYNET_STRINGIZE(x) TINYNET_STRINGIZE_(x)

/// The inline namespace, for example `v0_avx2_omp`.
#define TINYNET_ABI TINYNET_JOIN(TINYNET_VERSION_MAJOR, TINYNET_ISA, TINYNET_THREADING)

namespace tinynet::inline TINYNET_ABI {

inline constexpr auto version = "0.1.0";
inline constexpr auto abi = TINYNET_STRINGIZE(TINYNET_ABI);

}  // namespace tinynet::inline TINYNET_ABI
