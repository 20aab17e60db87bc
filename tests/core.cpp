// Errors, random numbers, memory, threads, the report on the machine.
#include <cstring>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <tinynet/core/config.hpp>
#include <tinynet/core/cpu.hpp>
#include <tinynet/core/error.hpp>
#include <tinynet/core/parallel.hpp>
#include <tinynet/core/random.hpp>
#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/choose.hpp>

#include <sys/wait.h>
#include <unistd.h>

using namespace tinynet;

TEST_SUITE("errors") {
  TEST_CASE("a message has a headline, aligned facts and a way out") {
    const std::string text = Message("conv2d", "input has 32 channels, weight expects 16")
                                 .fact("input", "[128, 16, 16, 32]", "(n, h, w, ic)")
                                 .fact("weight", "[64, 3, 3, 16]", "(oc, kh, kw, ic)")
                                 .fact("in", "body.3.conv1")
                                 .hint("set Conv2dOptions::in to 32");
    CHECK(text ==
          "[conv2d] input has 32 channels, weight expects 16\n"
          "  input   [128, 16, 16, 32]   (n, h, w, ic)\n"
          "  weight  [64, 3, 3, 16]      (oc, kh, kw, ic)\n"
          "  in      body.3.conv1\n"
          "  hint: set Conv2dOptions::in to 32");
  }

  TEST_CASE("a fact without a value is left out, a long name keeps its distance") {
    const std::string text = Message("op", "no").fact("in", "").fact("running_mean", 3);
    CHECK(text == "[op] no\n  running_mean  3");
  }

  TEST_CASE("errors are caught as what the standard library calls them") {
    CHECK_THROWS_AS(throw ShapeError(Message("op", "x")), std::invalid_argument);
    CHECK_THROWS_AS(throw DataError(Message("op", "x")), std::runtime_error);
    CHECK_THROWS_AS(throw StateError(Message("op", "x")), std::logic_error);
  }
}

TEST_SUITE("random") {
  using Words = std::array<std::uint32_t, 4>;

  // The known answers that come with the paper's implementation (Random123, kat_vectors).
  TEST_CASE("philox gives the paper's answers") {
    constexpr auto ones = 0xffffffffu;
    CHECK(random::philox({0, 0}, {0, 0, 0, 0}) ==
          Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    CHECK(random::philox({ones, ones}, {ones, ones, ones, ones}) ==
          Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    CHECK(random::philox({0xa4093822, 0x299f31d0},
                         {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}) ==
          Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
  }

  // A mean of n draws of variance v is off by more than 5 sqrt(v / n) once in two million keys.
  TEST_CASE("moments") {
    constexpr int n = 200000;
    const random::Key key = random::Key{7}.fold("moments");
    double uniform = 0, uniform2 = 0, normal = 0, normal2 = 0, normal4 = 0;
    for (int i = 0; i < n; ++i) {
      const double u = random::uniform(key, i), z = random::normal(key, i);
      REQUIRE(u >= 0);
      REQUIRE(u < 1);
      uniform += u / n;
      uniform2 += u * u / n;
      normal += z / n;
      normal2 += z * z / n;
      normal4 += z * z * z * z / n;
    }
    const auto within = [&](double variance) { return 5 * std::sqrt(variance / n); };
    CHECK(std::abs(uniform - 0.5) < within(1.0 / 12));
    CHECK(std::abs(uniform2 - 1.0 / 3) < within(4.0 / 45));
    CHECK(std::abs(normal) < within(1));
    CHECK(std::abs(normal2 - 1) < within(2));
    CHECK(std::abs(normal4 - 3) < within(96));
  }

  TEST_CASE("streams of different keys have nothing in common") {
    constexpr int n = 100000;
    const random::Key seed{1};
    const random::Key keys[] = {
        seed,           random::Key{2}, seed.fold(0),         seed.fold(1),
        seed.fold("a"), seed.fold("b"), seed.fold(1).fold(2), seed.fold(2).fold(1)};
    for (const auto& a : keys) {
      for (const auto& b : keys) {
        if (&a == &b) continue;
        REQUIRE(a.value != b.value);
        double covariance = 0;
        for (int i = 0; i < n; ++i) {
          covariance += (random::uniform(a, i) - 0.5) * (random::uniform(b, i) - 0.5) / n;
        }
        CHECK(std::abs(covariance) < 5.0 / 12 / std::sqrt(double(n)));
      }
    }
  }

  TEST_CASE("neighbours within a stream are independent, words are not reused") {
    constexpr int n = 100000;
    double covariance = 0;
    std::set<std::uint32_t> words;
    for (int i = 0; i < n; ++i) {
      covariance += random::normal({3}, i) * random::normal({3}, i + 1) / n;
      words.insert(random::bits({3}, i));
    }
    CHECK(std::abs(covariance) < 5 / std::sqrt(double(n)));
    CHECK(words.size() > n - 10);  // n^2 / 2^33 words meet by chance, about one
  }

  TEST_CASE("integers below a bound are uniform") {
    constexpr int n = 70000;
    int count[7] = {};
    for (int i = 0; i < n; ++i) ++count[random::below({4}, i, 7)];
    for (const int c : count) CHECK(std::abs(c - n / 7) < 5 * std::sqrt(n / 7.0));
  }

  TEST_CASE("a generator walks a stream without drawing a word twice") {
    random::Generator generator({5});
    CHECK(generator.uniform() == random::uniform({5}, 0));
    CHECK(generator.normal() == random::normal({5}, 1));  // words 2 and 3: word 0 is used up
    CHECK(generator.below(9) == random::below({5}, 4, 9));
    CHECK(generator.uniform(2, 4) == 2 + 2 * random::uniform({5}, 5));
    CHECK_FALSE(generator.chance(0));
    CHECK(generator.chance(1));
  }
}

TEST_SUITE("memory") {
  TEST_CASE("storage is recycled by size and not asked from the system again") {
    trim_memory();
    const auto before = memory_statistics();
    std::byte* first = nullptr;
    {
      Buffer buffer(100000);
      first = buffer.data();
      CHECK(buffer.capacity() >= 100000);
      CHECK(reinterpret_cast<std::uintptr_t>(first) % 64 == 0);
      CHECK(memory_statistics().bytes_in_use == before.bytes_in_use + buffer.capacity());
    }
    CHECK(memory_statistics().bytes_in_use == before.bytes_in_use);
    for (int i = 0; i < 10; ++i) CHECK(Buffer(99990).data() == first);  // the same class of sizes
    CHECK(memory_statistics().system_allocations == before.system_allocations + 1);
    CHECK(memory_statistics().peak_bytes_in_use >= before.bytes_in_use + 100000);
    trim_memory();
    CHECK(memory_statistics().bytes_from_system <= before.bytes_from_system);
  }

  TEST_CASE("large storage also serves what is up to half as large, small storage its size alone") {
    constexpr std::size_t mega = std::size_t{1} << 20;
    trim_memory();
    const auto* large = Buffer(8 * mega).data();
    const auto* small = Buffer(1000).data();
    const auto before = memory_statistics();
    {
      const Buffer half(4 * mega);
      CHECK(half.data() == large);
      CHECK(memory_statistics().bytes_in_use == before.bytes_in_use + half.capacity());
      CHECK(half.capacity() == 8 * mega);
    }
    CHECK(memory_statistics().bytes_in_use == before.bytes_in_use);
    CHECK(Buffer(8 * mega).data() == large);  // back where it belongs
    CHECK(memory_statistics().system_allocations == before.system_allocations);
    CHECK(Buffer(3 * mega).data() != large);
    CHECK(Buffer(900).data() != small);
    CHECK(memory_statistics().system_allocations == before.system_allocations + 2);
  }

  TEST_CASE("size classes hold what was asked for and waste at most an eighth") {
    CHECK(detail::BufferPool::class_index(64) == 0);
    CHECK(detail::BufferPool::class_index(std::size_t{1} << 62) == 8 + 8 * 53 - 1);
    std::size_t last_index = 0, last_size = 64;
    for (std::size_t bytes = 1; bytes < (std::size_t{1} << 33); bytes += 1 + bytes / 37) {
      const auto size = detail::BufferPool::size_class(bytes);
      REQUIRE(size >= bytes);
      REQUIRE(size % 64 == 0);
      if (bytes > 512) REQUIRE(size <= bytes + bytes / 8 + 1);
      REQUIRE(detail::BufferPool::size_class(size) == size);
      const auto index = detail::BufferPool::class_index(size);
      REQUIRE(index >= last_index);  // one number for each size, in their order
      REQUIRE((index == last_index) == (size == last_size));
      last_index = index;
      last_size = size;
    }
    CHECK_THROWS_AS(Buffer(std::size_t(-1)), std::bad_alloc);
  }

  TEST_CASE("copies share, and unique says so") {
    Buffer a(64);
    CHECK(a.unique());
    {
      const Buffer b = a;
      CHECK(b.data() == a.data());
      CHECK_FALSE(a.unique());
    }
    CHECK(a.unique());
    Buffer c = std::move(a);
    CHECK(c.unique());
    CHECK_FALSE(a);  // NOLINT: moved from
    a = c;
    a = Buffer(a);
    CHECK(a.data() == c.data());
    CHECK_FALSE(Buffer().unique());
  }

  TEST_CASE("buffers may be freed by another thread") {
    const auto before = memory_statistics().bytes_in_use;
    std::vector<Buffer> buffers;
    for (int i = 0; i < 100; ++i) buffers.emplace_back(1000);
    std::thread([own = std::move(buffers)]() mutable { own.clear(); }).join();
    CHECK(memory_statistics().bytes_in_use == before);
  }

  TEST_CASE("scratch nests, is aligned, and stops growing") {
    const auto use = [] {
      Scratch outer;
      const auto a = outer.take<float>(5);
      const auto b = outer.take<double>(100000);
      CHECK(reinterpret_cast<std::uintptr_t>(b.data()) % 64 == 0);
      std::fill(a.begin(), a.end(), 1.0f);
      std::fill(b.begin(), b.end(), 2.0);
      const float* inner_at = nullptr;
      for (int i = 0; i < 3; ++i) {
        Scratch inner;
        const auto c = inner.take<float>(70000);
        if (inner_at) CHECK(c.data() == inner_at);  // given back, and taken again
        inner_at = c.data();
        std::fill(c.begin(), c.end(), 3.0f);
      }
      for (const float x : a) CHECK(x == 1.0f);
      CHECK(std::all_of(b.begin(), b.end(), [](double x) { return x == 2.0; }));
    };
    use();
    use();
    const auto allocations = memory_statistics().system_allocations;
    for (int i = 0; i < 5; ++i) use();
    CHECK(memory_statistics().system_allocations == allocations);
  }

#ifdef TINYNET_POISON
  TEST_CASE("AddressSanitizer sees what nobody may touch") {
    const auto poisoned = [](const void* at) { return __asan_address_is_poisoned(at) != 0; };
    const Buffer buffer(1000);  // 1024 with what is left over
    CHECK(!poisoned(buffer.data() + 999));
    CHECK(poisoned(buffer.data() + 1000));
    const std::byte* gone = nullptr;
    {
      Scratch scratch;
      const auto first = scratch.take<std::byte>(100), second = scratch.take<std::byte>(100);
      for (const auto& taken : {first, second}) {
        CHECK(!poisoned(taken.data() + 163));  // 64 bytes more are lent
        CHECK(poisoned(taken.data() + 164));
      }
      gone = second.data();
    }
    CHECK(poisoned(gone));
    const std::byte* freed = Buffer(5000).data();
    CHECK(poisoned(freed));
  }
#endif
}

TEST_SUITE("threads") {
  struct Threads {
    explicit Threads(int count) : before(num_threads()) { set_num_threads(count); }
    ~Threads() { set_num_threads(before); }
    int before;
  };

  TEST_CASE("parallel_for calls every unit once, for any number of threads") {
    for (const int threads : {1, 2, 3, 7}) {
      const Threads scope(threads);
      for (const std::int64_t units : {0, 1, 2, 5, 1000}) {
        std::vector<int> calls(static_cast<std::size_t>(units));
        parallel_for(units, [&](std::int64_t unit) { ++calls[unit]; });
        CHECK(std::all_of(calls.begin(), calls.end(), [](int n) { return n == 1; }));
      }
    }
  }

  TEST_CASE("ranges cover the work without overlap") {
    for (const std::int64_t total : {0, 1, 9, 10, 11, 95}) {
      std::vector<int> calls(static_cast<std::size_t>(total));
      parallel_ranges(total, 10, [&](Range range) {
        CHECK(range.size() >= 1);
        CHECK(range.size() <= 10);
        for (auto i = range.begin; i < range.end; ++i) ++calls[i];
      });
      CHECK(std::all_of(calls.begin(), calls.end(), [](int n) { return n == 1; }));
    }
  }

  TEST_CASE("an exception of a unit arrives at the caller, and the next loop runs") {
    for (const int threads : {1, 3}) {
      const Threads scope(threads);
      CHECK_THROWS_WITH_AS(parallel_for(50,
                                        [](std::int64_t unit) {
                                          if (unit == 17) throw std::runtime_error("unit 17");
                                        }),
                           "unit 17", std::runtime_error);
      std::atomic<int> calls = 0;
      parallel_for(50, [&](std::int64_t) { ++calls; });
      CHECK(calls == 50);
    }
  }

  TEST_CASE("a nested loop stays on its thread") {
    const Threads scope(3);
    std::atomic<int> moved = 0;
    parallel_for(6, [&](std::int64_t) {
      const auto self = std::this_thread::get_id();
      parallel_for(6, [&](std::int64_t) { moved += std::this_thread::get_id() != self; });
    });
    CHECK(moved == 0);
  }

  TEST_CASE("a serial section keeps loops on their thread, as long as it lives") {
    const Threads scope(3);
    const auto threads_used = [] {
      std::vector<std::thread::id> ids(64);
      parallel_for(64, [&](std::int64_t unit) { ids[unit] = std::this_thread::get_id(); });
      return std::set<std::thread::id>(ids.begin(), ids.end()).size();
    };
#ifdef _OPENMP
    CHECK(threads_used() == 3);
#endif
    {
      const SerialSection outer;
      CHECK(threads_used() == 1);
      { const SerialSection inner; }
      CHECK(threads_used() == 1);
    }
#ifdef _OPENMP
    CHECK(threads_used() == 3);
#endif
  }

  TEST_CASE("the number of threads is at least one") {
    const Threads scope(0);
    CHECK(num_threads() == 1);
  }
}

TEST_SUITE("machine") {
  TEST_CASE("the ABI namespace names version, instruction set and threading") {
    const std::string name = abi;
    CHECK(name.substr(0, 3) == "v0_");
#ifdef _OPENMP
    CHECK(name.find("_omp") != std::string::npos);
#else
    CHECK(name.find("_serial") != std::string::npos);
#endif
    CHECK(std::string(version) == std::to_string(TINYNET_VERSION_MAJOR) + "." +
                                      std::to_string(TINYNET_VERSION_MINOR) + "." +
                                      std::to_string(TINYNET_VERSION_PATCH));
  }

  TEST_CASE("the report names the CPU, the build and what is missing") {
    const auto report = cpu_report();
    CHECK(report.find("CPU      " + cpu().name + "\n") == 0);
    CHECK(report.find("\noffers  ") != std::string::npos);
    CHECK(report.find("\nbuild    " + std::string(abi) + ", " + std::to_string(simd::width<float>) +
                      " floats a vector, " + std::to_string(num_threads()) + " thread") !=
          std::string::npos);
    const auto no_amx =
        "no AMX   " + cpu().amx_refusal + ": bf16 products run in " +
        (cpu().fast_bf16_dots ? "AVX512-BF16" : "fp32, " + cpu().bf16_dots_refusal) + "\n";
    CHECK((report.find(no_amx) != std::string::npos) == !cpu().amx_bf16);
    CHECK(cpu().amx_refusal.empty() == cpu().amx_bf16);
    CHECK(cpu().bf16_dots_refusal.empty() == cpu().fast_bf16_dots);
    CHECK((cpu().avx512_bf16 || !cpu().fast_bf16_dots));
    if (cpu().amx_bf16) CHECK(report.find(" amx-bf16") != std::string::npos);
#ifdef __AVX512F__
    CHECK(cpu().avx512);  // or this program would not have come so far
#endif
#ifdef __AVX2__
    CHECK(cpu().avx2);
#endif
  }

  /// What a child process with TINYNET_KERNELS set to `value` makes of it: the limit is read once.
  std::string limit_under(const char* value) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const auto child = fork();
    if (child == 0) {
      setenv("TINYNET_KERNELS", value, 1);
      std::string text;
      try {
        text = kernels::path_name(kernels::path_limit());
      } catch (const StateError& error) {
        text = error.what();
      }
      const auto written = write(ends[1], text.data(), text.size());
      _exit(written == static_cast<ssize_t>(text.size()) ? 0 : 1);
    }
    close(ends[1]);
    std::string text;
    char part[256];
    for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0;)
      text.append(part, static_cast<std::size_t>(n));
    close(ends[0]);
    int status = 1;
    waitpid(child, &status, 0);
    CHECK(status == 0);
    return text;
  }

  TEST_CASE("TINYNET_KERNELS limits the paths and refuses what it does not know") {
    CHECK(limit_under("reference") == "reference");
    CHECK(limit_under("simd") == "simd");
    CHECK(limit_under("avx512") == "avx512");
    CHECK(limit_under("amx") == "amx");
    CHECK(limit_under("") == "amx");
    CHECK(limit_under("fast") ==
          "[TINYNET_KERNELS] no such kind of kernel\n"
          "  expected  reference, simd, avx512 or amx\n"
          "  came    fast\n"
          "  hint: unset TINYNET_KERNELS to use the fastest");
  }

  TEST_CASE("a scoped limit ends with its scope") {
    const auto before = kernels::path_limit();
    {
      const kernels::ScopedPathLimit outer(kernels::Path::simd);
      CHECK(kernels::path_limit() == kernels::Path::simd);
      {
        const kernels::ScopedPathLimit inner(kernels::Path::reference);
        CHECK(kernels::path_limit() == kernels::Path::reference);
      }
      CHECK(kernels::path_limit() == kernels::Path::simd);
    }
    CHECK(kernels::path_limit() == before);
  }

  TEST_CASE("a chooser takes the first version that is allowed and accepts") {
    struct Version {
      kernels::Path path;
      const char* (*refuses)(const int&);
    };
    const auto odd = [](const int& size) { return size % 2 ? "odd sizes" : nullptr; };
    const std::array<Version, 3> versions = {{{kernels::Path::amx, odd},
                                              {kernels::Path::simd, kernels::accepts_all},
                                              {kernels::Path::reference, kernels::accepts_all}}};
    const auto chosen = [&](int size) { return kernels::choose("test", versions, size).path; };
    const kernels::ScopedPathLimit all(kernels::Path::amx);
    CHECK(chosen(2) == kernels::Path::amx);
    CHECK(chosen(3) == kernels::Path::simd);
    const kernels::ScopedPathLimit simd_only(kernels::Path::simd);
    CHECK(chosen(2) == kernels::Path::simd);
    const kernels::ScopedPathLimit none(kernels::Path::reference);
    CHECK(chosen(2) == kernels::Path::reference);
  }
}
