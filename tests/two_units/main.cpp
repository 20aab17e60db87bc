// Links units that include everything and runs what they instantiate. Usage: PROGRAM same|different,
// what their ABI namespaces should be: units built for different instruction sets must not share names.
#include <cmath>
#include <cstdio>
#include <string>

namespace first {
std::string abi();
double work();
}  // namespace first
namespace second {
std::string abi();
double work();
}  // namespace second

int main(int, char** argv) {
  const bool expect_same = argv[1] == std::string("same");
  const std::string abis = first::abi() + " and " + second::abi();
  if ((first::abi() == second::abi()) != expect_same) {
    std::printf("%s: expected %s names\n", abis.c_str(), argv[1]);
    return 1;
  }
#ifdef SECOND_NEEDS_AVX2
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    std::printf("%s link; this CPU cannot run the second\n", abis.c_str());
    return 0;
  }
#endif
  const double a = first::work(), b = second::work();
  std::printf("%s: %.9g and %.9g\n", abis.c_str(), a, b);
  return std::abs(a - b) <= 1e-5 * std::abs(a) ? 0 : 1;
}
