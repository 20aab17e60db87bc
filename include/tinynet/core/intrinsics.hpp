#pragma once

/// The compiler's x86 intrinsics. Include this before anything else that includes them: GCC 12
/// takes the undefined operand inside its own AVX-512 intrinsics for an uninitialised variable, and
/// says so wherever they are used unless it was told otherwise where they are defined.
#if defined(__x86_64__) || defined(__i386__)
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif
#endif
