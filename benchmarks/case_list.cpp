// Every case of the tests' list, forward and backward: small sizes, where overhead shows. A new op
// is timed here as soon as it is tested.
#include "case_benchmark.hpp"

#include "../tests/cases.hpp"

namespace tinynet::benchmarks {

namespace {

template <Scalar T>
void add_case(const cases::Case& c) {
  add(std::string("case/") + type_name<T>() + "/" + c.name,
      [c](benchmark::State& state) { measure_training<T>(state, c); })
      ->MinTime(0.02);
}

}  // namespace

void add_case_list() {
  for (const auto& c : cases::all_cases()) {
    add_case<float>(c);
    add_case<bfloat16>(c);
  }
}

}  // namespace tinynet::benchmarks
