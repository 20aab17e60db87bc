#pragma once

#include <atomic>
#include <cstdlib>
#include <string>

#include <tinynet/core/cpu.hpp>
#include <tinynet/core/error.hpp>
#include <tinynet/core/trace.hpp>

/// How a kernel picks one of its versions.
///
/// A kernel keeps its versions in an array, fastest first, reference last. A version is a struct
///
///     struct Version {
///       Path path;
///       const char* (*refuses)(const Geometry&);   // why it cannot, or nullptr
///       ...                                        // function pointers that run it
///     };
///
/// and the first that is allowed and does not refuse is taken. The choice looks at the shape and the
/// CPU only, so that the same program gives the same bits on the same machine.
namespace tinynet::inline TINYNET_ABI::kernels {

/// The kinds of version, slowest first. `simd` is vectors of the build's width; `avx512` and `amx`
/// are intrinsics found at run time.
enum class Path { reference, simd, avx512, amx };

inline constexpr const char* path_names[] = {"reference", "simd", "avx512", "amx"};

inline const char* path_name(Path path) { return path_names[static_cast<int>(path)]; }

namespace detail {
inline std::atomic<Path>& path_limit() {
  static std::atomic<Path> limit = [] {
    const char* value = std::getenv("TINYNET_KERNELS");
    if (!value || !*value) return Path::amx;
    for (int i = 0; i < 4; ++i) {
      if (std::string(value) == path_names[i]) return static_cast<Path>(i);
    }
    throw StateError(Message("TINYNET_KERNELS", "no such kind of kernel")
                         .fact("expected", "reference, simd, avx512 or amx")
                         .fact("came", value)
                         .hint("unset TINYNET_KERNELS to use the fastest"));
  }();
  return limit;
}

template <class Version>
const char* name_of(const Version& version) {
  if constexpr (requires { version.way; }) {
    if (version.way) return version.way;
  }
  return path_name(version.path);
}

/// Not inline in `choose`: there it would be compiled once for each kernel and type.
[[gnu::noinline, gnu::cold]] inline void trace_choice(const char* kernel, const char* name,
                                                      const char* refusal) {
  trace(refusal ? Text({kernel, ": not ", name, ", ", refusal}) : Text({kernel, ": ", name}));
}
}  // namespace detail

/// The fastest path that may be used: what TINYNET_KERNELS says, else all.
inline Path path_limit() { return detail::path_limit(); }

/// Limits the paths while it lives, for tests and benchmarks that compare versions in one process.
class ScopedPathLimit {
 public:
  explicit ScopedPathLimit(Path limit) : before_(detail::path_limit().exchange(limit)) {}
  ~ScopedPathLimit() { detail::path_limit() = before_; }
  ScopedPathLimit(const ScopedPathLimit&) = delete;
  ScopedPathLimit& operator=(const ScopedPathLimit&) = delete;

 private:
  Path before_;
};

/// The first version that is allowed and accepts; the last one, the reference, accepts everything.
template <class Versions, class Geometry>
const auto& choose(const char* kernel, const Versions& versions, const Geometry& g) {
  const Path limit = path_limit();
  for (const auto& version : versions) {
    const bool last = &version == &versions.back();
    const char* refusal =
        version.path > limit && !last ? "not allowed by TINYNET_KERNELS" : version.refuses(g);
    if (tracing()) detail::trace_choice(kernel, detail::name_of(version), last ? nullptr : refusal);
    if (!refusal || last) return version;
  }
  return versions.back();
}

/// The choice of a kernel that has a simd version and a reference, which both accept every shape.
[[gnu::noinline]] inline bool simd_allowed(const char* kernel) {
  const bool allowed = path_limit() >= Path::simd;
  if (tracing()) {
    if (!allowed) detail::trace_choice(kernel, "simd", "not allowed by TINYNET_KERNELS");
    detail::trace_choice(kernel, allowed ? "simd" : "reference", nullptr);
  }
  return allowed;
}

/// For versions that accept every shape.
inline constexpr auto accepts_all = [](const auto&) -> const char* { return nullptr; };

}  // namespace tinynet::inline TINYNET_ABI::kernels
