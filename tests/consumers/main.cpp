// The smallest program that uses the library, as its users would write it.
#include <cstdio>

#include <tinynet/tinynet.hpp>

int main() {
  std::printf("tinynet %s (%s)\n", tinynet::version, tinynet::abi);
}
