#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include <tinynet/core/config.hpp>
#include <tinynet/core/parallel.hpp>
#include <tinynet/core/simd.hpp>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace tinynet::inline TINYNET_ABI {

/// What the processor and the operating system offer at run time, whatever the build assumed.
struct Cpu {
  std::string name = "unknown";
  bool avx2 = false;    // with FMA and F16C
  bool avx512 = false;  // F, BW, DQ, VL
  bool avx512_bf16 = false;
  bool avx512_fp16 = false;
  bool amx_bf16 = false;    // tiles and TDPBF16PS, permission granted by the kernel
  std::string amx_refusal;  // why amx_bf16 is false
  /// VDPBF16PS at the rate of float FMA, so at twice its products: Zen 4 and 5. On Intel's CPUs with AMX
  /// it has half that rate, and converting to float is as fast.
  bool fast_bf16_dots = false;
  std::string bf16_dots_refusal;  // why it is false
};

namespace detail {

#if defined(__x86_64__)
struct Cpuid {
  std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  Cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
    __get_cpuid_count(leaf, subleaf, &eax, &ebx, &ecx, &edx);
  }
};

/// Register files that the operating system saves (XCR0); an instruction set without it is unusable.
inline std::uint64_t saved_state() {
  if (!(Cpuid(1, 0).ecx >> 27 & 1)) return 0;  // OSXSAVE
  std::uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low | std::uint64_t{high} << 32;
}

/// Linux grants the 8 KB of tile state to a process only on request.
inline bool request_tile_permission() {
#if defined(__linux__) && defined(SYS_arch_prctl)
  constexpr int request_permission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int tile_data = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}
#endif

inline Cpu detect_cpu() {
  Cpu cpu;
#if defined(__x86_64__)
  char brand[49] = {};
  for (std::uint32_t i = 0; i < 3; ++i) {
    const Cpuid part(0x80000002 + i, 0);
    std::memcpy(brand + 16 * i, &part, 16);
  }
  if (brand[0]) cpu.name = brand;

  const auto bit = [](std::uint32_t word, int i) { return (word >> i & 1) != 0; };
  const Cpuid one(1, 0), seven(7, 0), seven_one(7, 1);
  const auto saved = saved_state();
  const bool saves_avx = (saved & 0x06) == 0x06;
  const bool saves_avx512 = (saved & 0xe6) == 0xe6;
  const bool saves_tiles = (saved & 0x60000) == 0x60000;

  cpu.avx2 = saves_avx && bit(seven.ebx, 5) && bit(one.ecx, 12) && bit(one.ecx, 29);
  cpu.avx512 = saves_avx512 && bit(seven.ebx, 16) && bit(seven.ebx, 17) && bit(seven.ebx, 30) &&
               bit(seven.ebx, 31);
  cpu.avx512_bf16 = cpu.avx512 && bit(seven_one.eax, 5);
  cpu.avx512_fp16 = cpu.avx512 && bit(seven.edx, 23);
  const Cpuid vendor(0, 0);
  const bool amd = vendor.ebx == 0x68747541 && vendor.edx == 0x69746e65 &&  // "AuthenticAMD"
                   vendor.ecx == 0x444d4163;
  cpu.fast_bf16_dots = cpu.avx512_bf16 && amd;
  if (!cpu.avx512_bf16) {
    cpu.bf16_dots_refusal = "the CPU has no AVX512-BF16";
  } else if (!amd) {
    cpu.bf16_dots_refusal = "AVX512-BF16 is known to be fast on CPUs of AMD only";
  }
#ifdef TINYNET_EMULATED_TILES  // tests/tile_emulation.hpp
  cpu.amx_bf16 = cpu.avx512_bf16 = cpu.fast_bf16_dots = cpu.avx512;
  return cpu;
#endif
  if (!bit(seven.edx, 24) || !bit(seven.edx, 22)) {
    cpu.amx_refusal = "the CPU has no AMX-BF16";
  } else if (!saves_tiles) {
    cpu.amx_refusal = "the operating system does not save AMX tiles";
  } else if (!cpu.avx512_bf16) {
    cpu.amx_refusal = "there is no AVX512-BF16, which packs for AMX";
  } else if (!request_tile_permission()) {
    cpu.amx_refusal = "the kernel refused the permission to use AMX tiles";
  } else {
    cpu.amx_bf16 = true;
  }
#else
  cpu.amx_refusal = cpu.bf16_dots_refusal = "not an x86-64 CPU";
#endif
  return cpu;
}

}  // namespace detail

/// The machine this process runs on, detected once.
inline const Cpu& cpu() {
  static const Cpu detected = detail::detect_cpu();
  return detected;
}

/// A few lines for people: the CPU, what the build uses of it and what either lacks.
template <class = void>
std::string cpu_report() {
  const auto& c = cpu();
  std::string report = "CPU      " + c.name + "\n";
  report += "offers  ";
  if (c.avx2) report += " avx2";
  if (c.avx512) report += " avx512";
  if (c.avx512_bf16) report += " avx512-bf16";
  if (c.avx512_fp16) report += " avx512-fp16";
  if (c.amx_bf16) report += " amx-bf16";
  report += "\nbuild    " + std::string(abi) + ", " + std::to_string(simd::width<float>) +
            " floats a vector, " + std::to_string(num_threads()) + " thread" +
            (num_threads() == 1 ? "" : "s") + "\n";
  if (!c.amx_bf16) {
    report += "no AMX   " + c.amx_refusal + ": bf16 products run in " +
              (c.fast_bf16_dots ? "AVX512-BF16" : "fp32, " + c.bf16_dots_refusal) + "\n";
  }
  if (c.avx512 && simd::width<float> < 16) {
    report +=
        "note     the build uses narrower vectors than the CPU has: -march=native is faster\n";
  }
#ifndef _OPENMP
  report += "note     built without OpenMP: one thread\n";
#endif
  return report;
}

}  // namespace tinynet::inline TINYNET_ABI
