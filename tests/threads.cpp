// The number of threads changes no bit of a training step of any model, nor where small loops run.
#include <doctest/doctest.h>

#include <bit>
#include <cstdint>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <tinynet/models.hpp>
#include <tinynet/nn.hpp>
#include <tinynet/ops.hpp>
#include <tinynet/optim.hpp>

using namespace tinynet;

namespace {

struct Threads {
  explicit Threads(int count) : before(num_threads()) { set_num_threads(count); }
  ~Threads() { set_num_threads(before); }
  int before;
};

/// Everything that two steps of training leave behind: losses, parameters, gradients, statistics.
template <Scalar T, template <class> class Model, class Options>
std::vector<std::uint32_t> train(const Options& options, const Shape& images) {
  Model<T> model(options);
  nn::initialize(model, 1);
  optim::Sgd<float> sgd(nn::parameters(model),
                        {.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-4, .nesterov = true});
  std::vector<std::uint32_t> bits;
  const auto append = [&](const auto& tensor) {
    for (const float x : tensor.span()) bits.push_back(std::bit_cast<std::uint32_t>(x));
  };
  for (std::uint64_t step = 0; step < 2; ++step) {
    const auto x = Tensor<T>::normal(images, random::Key{2}.fold(step));
    Tensor<std::int32_t> labels({images[0]});
    for (std::int64_t i = 0; i < images[0]; ++i) labels(i) = static_cast<std::int32_t>(i % 10);
    Tape tape;
    auto ctx = Context::training(tape, random::Key{3}.fold(step));
    const auto loss =
        ops::cross_entropy(model(Variable<T>(x), ctx), labels, {.label_smoothing = 0.1}, ctx);
    loss.backward();
    append(loss.value());
    for (const auto& state : nn::parameters(model)) append(state->gradient);
    sgd.step();
  }
  const nn::Members members(model);
  members.for_parameters([&](const auto&, auto& parameter) { append(parameter.value()); });
  members.for_buffers([&](const auto&, auto& buffer) { append(buffer); });
  return bits;
}

template <template <class> class Model, class Options>
void check_equal_bits(const Options& options, const Shape& images) {
  const auto check = [&]<class T>(T) {
    CAPTURE(type_name<T>());
    std::vector<std::uint32_t> first;
    for (const int threads : {1, 2, 4, 8}) {
      CAPTURE(threads);
      const Threads scope(threads);
      const auto bits = train<T, Model>(options, images);
      if (threads == 1) first = bits;
      REQUIRE(bits.size() == first.size());
      CHECK(bits == first);
    }
  };
  check(float());
  check(bfloat16());
}

}  // namespace

// Wide enough that every kernel has several units, images odd so that none has an even share.
TEST_CASE("a training step has the same bits on 1, 2, 4 and 8 threads") {
  SUBCASE("ResNet") {
    check_equal_bits<models::ResNet>(
        models::ResNetOptions{.channels = 3, .widths = {32, 64}, .blocks = {1, 1}},
        {17, 19, 19, 3});
  }
  SUBCASE("SE-ResNet with dropped paths") {
    check_equal_bits<models::ResNet>(models::ResNetOptions{.channels = 1,
                                                           .widths = {32, 48},
                                                           .blocks = {1, 1},
                                                           .squeeze_excite = 8,
                                                           .drop_path = 0.3},
                                     {19, 17, 17, 1});
  }
  SUBCASE("depthwise net") {
    check_equal_bits<models::DepthwiseNet>(
        models::DepthwiseNetOptions{.widths = {20, 40}, .blocks = 1}, {17, 21, 21, 3});
  }
  SUBCASE("CNN with dropout") {
    check_equal_bits<models::Cnn>(models::CnnOptions{.channels = 1,
                                                     .image = 21,
                                                     .widths = {32, 64},
                                                     .batch_norm = true,
                                                     .conv_dropout = 0.1,
                                                     .hidden = 128,
                                                     .dropout = 0.3},
                                  {33, 21, 21, 1});
  }
}

#ifdef _OPENMP
TEST_CASE("a loop gets as many threads as its work is worth") {
  const Threads scope(4);
  const auto threads_used = [](Cost cost) {
    std::vector<std::thread::id> ids(64);
    parallel_for(64, cost, [&](std::int64_t unit) {
      ids[static_cast<std::size_t>(unit)] = std::this_thread::get_id();
    });
    return std::set<std::thread::id>(ids.begin(), ids.end()).size();
  };
  constexpr auto worth = Cost::worth_a_thread;
  CHECK(threads_used({0}) == 1);
  CHECK(threads_used({2 * worth - 1}) == 1);
  CHECK(threads_used({2 * worth}) == 2);
  CHECK(threads_used({3 * worth}) == 3);
  CHECK(threads_used({100 * worth}) == 4);
}
#endif

TEST_CASE("every unit of a small loop runs, in order, and its exception arrives") {
  const Threads scope(4);
  std::vector<std::int64_t> order;
  parallel_for(5, Cost{1}, [&](std::int64_t unit) { order.push_back(unit); });
  CHECK(order == std::vector<std::int64_t>{0, 1, 2, 3, 4});
  CHECK_THROWS_AS(parallel_for(5, Cost{1}, [](std::int64_t) { throw StateError("unit"); }),
                  StateError);
}
