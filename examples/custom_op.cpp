// Two operations of your own: an activation by its formula, and an op with a backward pass.
// Claim: both pass the gradient check at 1e-6 and train like the built-in ones. Run: ./custom_op
#include <cstdio>

#include <tinynet/tinynet.hpp>

using namespace tinynet;

// An activation: value and derivative, written once for scalars and for vectors.
//   f(x) = max(x, 0)^2 (So et al., Primer, 2021)
struct SquaredRelu {
  static constexpr auto name = "squared_relu";
  static constexpr auto keeps = ops::Keeps::input;
  auto f(auto x) const { return relu(x) * relu(x); }
  auto df(auto x) const { return 2 * relu(x); }

 private:
  static auto relu(auto x) { return simd::max(x, decltype(x)(0)); }
};
inline constexpr ops::Elementwise<SquaredRelu> squared_relu;

// An op: check, compute, record. Each row is divided by its length.
//   y = x / |x|,   dx = (dy - y * (y . dy)) / |x|
template <Scalar T>
Variable<T> normalize_rows(const Variable<T>& x, Context& ctx) {  // [n, d] -> [n, d]
  using A = accumulate_t<T>;
  ops::require_axes("normalize_rows", x.shape(), 2, "(n, d)", ctx.path);
  const std::int64_t n = x.shape()[0], d = x.shape()[1];
  Tensor<T> y(x.shape());
  Tensor<A> length({n});
  for (std::int64_t i = 0; i < n; ++i) {
    A sum = 0;
    for (std::int64_t j = 0; j < d; ++j) sum += A(x.value()(i, j)) * A(x.value()(i, j));
    length(i) = std::sqrt(sum);
    for (std::int64_t j = 0; j < d; ++j) y(i, j) = T(A(x.value()(i, j)) / length(i));
  }
  return record(ctx, {"normalize_rows"}, y, inputs(x), [y, length](const auto& dy, auto dx) {
    if (!dx) return;
    const std::int64_t rows = y.shape()[0], columns = y.shape()[1];
    Tensor<T> gradient(y.shape());
    for (std::int64_t i = 0; i < rows; ++i) {
      A dot = 0;
      for (std::int64_t j = 0; j < columns; ++j) dot += A(y(i, j)) * A(dy(i, j));
      for (std::int64_t j = 0; j < columns; ++j) {
        gradient(i, j) = T((A(dy(i, j)) - A(y(i, j)) * dot) / length(i));
      }
    }
    dx.pass(gradient);  // written, or added to what other users of x contribute
  });
}

int main() {
  const auto point = Tensor<double>::normal({4, 6}, {1});
  const auto first =
      gradcheck([](auto& in, Context& ctx) { return squared_relu(in[0], ctx); }, {point});
  const auto second =
      gradcheck([](auto& in, Context& ctx) { return normalize_rows(in[0], ctx); }, {point});
  std::printf("squared_relu    gradient check: largest error %.1e\n", first.error);
  std::printf("normalize_rows  gradient check: largest error %.1e\n", second.error);

  // Both in a network that learns which of four quadrants a point lies in.
  nn::Sequential<float> model(
      nn::Linear<float>({.in = 2, .out = 32}), nn::Activation<float, SquaredRelu>(),
      [](const auto& x, Context& ctx) { return normalize_rows(x, ctx); },
      nn::Linear<float>({.in = 32, .out = 4}));
  nn::initialize(model, 1);
  optim::Sgd<float> optimizer(nn::parameters(model), {.lr = 0.5, .momentum = 0.9});
  float loss_value = 0;
  for (std::uint64_t step = 0; step < 200; ++step) {
    const auto points = Tensor<float>::uniform({64, 2}, random::Key{2}.fold(step), -1, 1);
    Tensor<std::int32_t> labels({64});
    for (int i = 0; i < 64; ++i) labels(i) = (points(i, 0) > 0) + 2 * (points(i, 1) > 0);
    Tape tape;
    auto ctx = Context::training(tape);
    const auto loss = ops::cross_entropy(model(points, ctx), labels, {}, ctx);
    loss.backward();
    optimizer.step();
    loss_value = loss.item();
  }
  std::printf("loss after 200 steps: %.3f (1.386 is guessing)\n", loss_value);
  return first && second && loss_value < 0.3f ? 0 : 1;
}
