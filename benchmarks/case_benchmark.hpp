#pragma once

#define TINYNET_CASE_SCALARS float, bfloat16
#include "../tests/case.hpp"
#include "benchmark.hpp"

/// Times cases as tests/case.hpp defines them.
namespace tinynet::benchmarks {

/// Counts what an op does while it runs once.
struct Counter : Observer {
  double macs = 0, bytes = 0;
  void see(const Observation& seen) override {
    macs += static_cast<double>(seen.op.macs);
    bytes += static_cast<double>(seen.output.bytes);
    for (const auto& input : seen.inputs) bytes += static_cast<double>(input.bytes);
  }
};

template <Scalar T>
struct Subject {
  cases::Inputs<T> in;
  Work forward, both;

  explicit Subject(const cases::Case& c) : in(all_values(c), nullptr) {
    Counter counter;
    auto ctx = Context::evaluation();
    ctx.mode = Mode::training;
    ctx.observer = &counter;
    c.run(in, ctx);
    const bool tiles = std::is_same_v<T, bfloat16>;
    forward = {2 * counter.macs, counter.bytes, tiles};
    both = {6 * counter.macs, 3 * counter.bytes, tiles};  // gradients read what values were made of
  }
  static std::vector<Tensor<double>> all_values(const cases::Case& c) {
    std::vector<Tensor<double>> all;
    for (std::size_t i = 0; i < c.inputs.size(); ++i) all.push_back(cases::values(c, i));
    return all;
  }
};

/// One forward pass without a tape: nothing is kept.
template <Scalar T>
void measure_forward(benchmark::State& state, const cases::Case& c) {
  Subject<T> subject(c);
  measure(state, subject.forward, [&] {
    auto ctx = Context::evaluation();
    ctx.mode = Mode::training;
    c.run(subject.in, ctx);
  });
}

/// Forward and backward, to the gradients of all inputs.
template <Scalar T>
void measure_training(benchmark::State& state, const cases::Case& c) {
  Subject<T> subject(c);
  // Made once: of a small op the filling would be a part of what is timed.
  Tensor<T> seed;
  Tensor<accumulate_t<T>> summed_seed;
  const auto step = [&] {
    Tape tape;
    auto ctx = Context::training(tape);
    subject.in.restart(&tape);
    c.run(subject.in, ctx).visit([&]<Scalar U>(const Variable<U>& y) {
      const auto from = [&](auto& kept) {
        if (kept.empty()) kept = Tensor<U>::ones(y.shape());
        y.backward(kept);
      };
      if constexpr (std::is_same_v<U, T>) from(seed);
      else from(summed_seed);
    });
  };
  measure(state, subject.both, step);
}

}  // namespace tinynet::benchmarks
