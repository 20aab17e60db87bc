// Tensors, variables and gradients in five steps.
// Claim: nothing else needs to be known to read the rest. Run: ./tensor_tour
#include <cstdio>

#include <tinynet/tinynet.hpp>

using namespace tinynet;

template <class Value>
void show(const char* what, const Value& value) {
  std::printf("%s\n%s\n\n", what, to_string(value).c_str());
}

int main() {
  // A tensor is dense storage with a shape. It is a handle: a copy shares, clone() copies.
  auto x = Tensor<float>::from({2, 3}, {-1, 0, 1, 2, 3, 4});
  x(1, 2) = 40;
  show("A tensor prints its shape, its range and its corners.", x);
  show("reshape shares the storage; a size of -1 is worked out.", x.reshape({-1, 2}));

  // Random numbers are functions of a key and a position: the same on any number of threads.
  const random::Key key{2026};
  show("Normal numbers, stored in bfloat16.",
       Tensor<bfloat16>::normal({4, 1000}, key.fold("demo")));

  // An op takes variables and a context. Without a tape in the context nothing is recorded.
  auto evaluation = Context::evaluation();
  show("ops::silu(x)", ops::silu(Variable<float>(x), evaluation).value());

  // With a tape, backward() walks it from its end and frees it as it goes.
  Tape tape;
  auto ctx = Context::training(tape);
  const auto leaf = Variable<float>::leaf(x, tape);
  const auto loss = ops::sum(ops::multiply(leaf, leaf, ctx), ctx);
  loss.backward();
  std::printf("sum of squares = %g\n\n", loss.item());
  show("Its gradient is 2 x.", leaf.gradient());

  // Errors say what was expected, what came and what to do.
  try {
    const auto weight = Tensor<float>::zeros({8, 3, 3, 16});  // [oc, kh, kw, ic]
    ops::conv2d(Variable<float>(Tensor<float>::zeros({1, 28, 28, 3})), Variable<float>(weight),
                {.padding = 1}, evaluation);
  } catch (const ShapeError& error) {
    std::printf("%s\n\n", error.what());
  }
  std::printf("%s", cpu_report().c_str());
}
