// The training floor: metrics, the progress line, evaluate, fit.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <tinynet/data/mix.hpp>
#include <tinynet/models/cnn.hpp>
#include <tinynet/models/resnet.hpp>
#include <tinynet/optim/sgd.hpp>
#include <tinynet/train/loop.hpp>
#include <tinynet/train/lr_find.hpp>

#include "messages.hpp"

using namespace tinynet;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

template <class Error, class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

/// Noise with a bright left or right half: label 0 or 1.
data::Dataset halves(std::int64_t n, std::uint64_t seed = 1) {
  constexpr std::int64_t side = 8;
  Tensor<std::uint8_t> images({n, side, side, 1});
  Tensor<std::int32_t> labels({n});
  for (std::int64_t i = 0; i < n; ++i) {
    const auto label = static_cast<std::int32_t>(random::below({seed}, std::uint64_t(i), 2));
    labels.data()[i] = label;
    for (std::int64_t p = 0; p < side * side; ++p) {
      const auto at = static_cast<std::uint64_t>(i * side * side + p);
      const auto noise = random::below(random::Key{seed}.fold("noise"), at, 150);
      const bool bright = (p % side >= side / 2) == (label == 1);
      images.data()[i * side * side + p] = static_cast<std::uint8_t>(noise + (bright ? 100 : 0));
    }
  }
  return data::Dataset("halves", images, labels, {"left", "right"});
}

template <class T>
models::Cnn<T> small_cnn() {
  return models::Cnn<T>({.image = 8,
                         .widths = {4, 8},
                         .batch_norm = true,
                         .hidden = 16,
                         .dropout = 0.2,
                         .classes = 2});
}

/// Everything a progress line writes, with a clock that the test sets.
struct Screen {
  std::string text;
  double now = 100;

  train::ProgressOutput output(int width) {
    return {.write = [this](std::string_view more) { text += more; },
            .width = width,
            .seconds = [this] { return now; }};
  }
  std::string take() { return std::exchange(text, ""); }
};

const train::ProgressOutput quiet{};

}  // namespace

TEST_CASE("a mean weighs its values") {
  train::Mean mean;
  CHECK(std::isnan(mean.value()));
  mean.add(1, 128);
  mean.add(4, 64);
  CHECK(mean.value() == 2);
  mean.add(not_a_number);
  CHECK(std::isnan(mean.value()));
}

TEST_CASE("accuracy counts") {
  train::Accuracy accuracy;
  CHECK(std::isnan(accuracy.value()));
  accuracy.add(3, 4);
  accuracy.add(0, 2);
  CHECK(accuracy.correct() == 3);
  CHECK(accuracy.total() == 6);
  CHECK(accuracy.value() == 0.5);
}

TEST_CASE("wilson gives the interval of the textbooks") {
  const auto check = [](std::int64_t correct, std::int64_t total, double low, double high) {
    const auto interval = train::wilson(correct, total);
    CHECK(interval.low == doctest::Approx(low).epsilon(1e-4));
    CHECK(interval.high == doctest::Approx(high).epsilon(1e-4));
  };
  check(8, 10, 0.49016, 0.94332);  // statsmodels, proportion_confint(method="wilson")
  check(0, 10, 0, 0.27753);
  check(10, 10, 0.72247, 1);
  check(9055, 10000, 0.89961, 0.91108);
  CHECK(train::wilson(0, 0).low == 0);
  CHECK(train::wilson(0, 0).high == 1);
}

TEST_CASE("argmax takes the first largest value and no NaN") {
  const auto at = [](std::vector<float> values) { return train::argmax<float>(values); };
  CHECK(at({1, 3, 2}) == 1);
  CHECK(at({-5, -3, -3}) == 1);
  CHECK(at({0, 0}) == 0);
  CHECK(at({5, not_a_number, 7}) == -1);
  CHECK(at({not_a_number}) == -1);
  CHECK(at({-INFINITY, -INFINITY}) == 0);
  CHECK(at({1, INFINITY}) == 1);
  CHECK(at({}) == -1);
  const std::array<bfloat16, 3> brain{bfloat16(1.0f), bfloat16(2.0f), bfloat16(-3.0f)};
  CHECK(train::argmax<bfloat16>(brain) == 1);
}

TEST_CASE("count_correct compares with labels, NaN is never right") {
  const auto logits = Tensor<float>::from({4, 2}, {1, 0, 0, 1, not_a_number, 0, 3, 2});
  CHECK(train::count_correct(logits, Tensor<std::int32_t>::from({4}, {0, 1, 0, 1})) == 2);
  CHECK(train::count_correct(Variable<float>(logits),
                             Tensor<std::int32_t>::from({4}, {0, 0, 1, 0})) == 2);
  CHECK(error_of<ShapeError>(
            [&] { train::count_correct(logits, Tensor<std::int32_t>::zeros({3})); }) ==
        "[count_correct] needs one label for each row of logits\n  logits  [4, 2]"
        "              (n, classes)\n  labels  [3]                 (n)");
}

TEST_CASE("a file gets one line for each epoch") {
  Screen screen;
  train::Progress progress(10, 235, screen.output(0));
  progress.begin(2);
  for (int i = 0; i < 235; ++i) {
    screen.now += 4.0 / 235;
    progress.step({{"loss", 0.3}});
  }
  CHECK(screen.text.empty());
  screen.now += 3;  // validation, which is not training time
  progress.finish({{"loss", 0.24812}, {"acc", 0.9102}, {"val_acc", 0.90549}});
  CHECK(screen.take() ==
        "Epoch 3/10  235/235 [==============================] 4s 17ms/step  loss 0.2481  acc "
        "0.9102  val_acc 0.9055\n");
  CHECK(progress.seconds() == doctest::Approx(4));

  progress.begin(3);
  CHECK(progress.seconds() == 0);
  for (int i = 0; i < 3; ++i) progress.step({});
  progress.finish({{"loss", 0.00012}});
  CHECK(screen.take() ==
        "Epoch 4/10    3/235 [..............................] ETA 0s 0us/step"
        "  loss 1.20e-04\n");

  progress.begin(4, 225);  // an epoch that goes on
  for (int i = 225; i < 235; ++i) {
    screen.now += 0.1;
    progress.step({});
  }
  progress.finish({});
  CHECK(screen.take() == "Epoch 5/10  235/235 [==============================] 1s 100ms/step\n");
}

TEST_CASE("a terminal sees the line grow, ten times a second") {
  Screen screen;
  train::Progress progress(10, 100, screen.output(120));
  progress.begin(0);
  CHECK(screen.text.empty());
  screen.now += 0.02;
  progress.step({{"loss", 2.5}});
  CHECK(screen.take() ==
        "\rEpoch 1/10    1/100 [..............................] ETA 2s 20ms/step  loss 2.5000");
  for (int i = 2; i <= 5; ++i) {
    screen.now += 0.02;
    progress.step({{"loss", 2.5}});
    CHECK(screen.take().empty());
  }
  screen.now += 0.1;
  progress.step({{"loss", 1.25}});
  CHECK(screen.take() ==
        "\rEpoch 1/10    6/100 [>.............................] ETA 3s 33ms/step  loss 1.2500");
  for (int i = 7; i <= 50; ++i) progress.step({});
  CHECK(screen.take().empty());
  screen.now += 0.16;
  progress.step({});
  CHECK(screen.take() ==
        "\rEpoch 1/10   51/100 [==============>...............] ETA 0s 7ms/step              ");
  for (int i = 52; i <= 99; ++i) progress.step({});
  CHECK(screen.take().empty());
  progress.step({{"loss", 1}});  // the last step is always shown: what follows may take long
  CHECK(screen.take() ==
        "\rEpoch 1/10  100/100 [==============================] 0s 4ms/step  loss 1.0000");
  progress.finish({{"loss", 1}, {"val_acc", 0.5}});
  CHECK(screen.take() ==
        "\rEpoch 1/10  100/100 [==============================] 0s 4ms/step  loss 1.0000"
        "  val_acc 0.5000\n");
  progress.begin(1);
  progress.step({});
  CHECK(screen.take() == "\rEpoch 2/10    1/100 [..............................] ETA 0s 0us/step");
}

TEST_CASE("in a narrow terminal the bar shrinks, then the end of the line is cut") {
  for (int width = 5; width < 120; ++width) {
    CAPTURE(width);
    Screen screen;
    train::Progress progress(10, 235, screen.output(width));
    progress.begin(2);
    progress.step({{"loss", 0.25}, {"acc", 0.9}});
    const auto text = screen.take();
    CHECK(text.size() <= static_cast<std::size_t>(width));  // one of them is \r
    for (int i = 1; i < 235; ++i) progress.step({{"loss", 0.25}, {"acc", 0.9}});
    CHECK(screen.take().size() <= static_cast<std::size_t>(width));
    progress.finish({{"loss", 0.25}, {"acc", 0.9}});
    CHECK(screen.take().find("loss 0.2500  acc 0.9000") != std::string::npos);
  }
  Screen screen;
  train::Progress progress(10, 235, screen.output(80));
  progress.begin(2);
  for (int i = 0; i < 235; ++i) {
    screen.now += 4.0 / 235;
    progress.step({});
  }
  screen.take();
  progress.finish({{"loss", 0.2481}, {"acc", 0.9102}, {"val_acc", 0.9055}});
  CHECK(screen.take() ==
        "\rEpoch 3/10  235/235 [===] 4s 17ms/step  loss 0.2481  acc 0.9102  "
        "val_acc 0.9055\n");
}

TEST_CASE("an error in the middle of an epoch leaves the line") {
  Screen screen;
  {
    train::Progress progress(1, 2, screen.output(80));
    progress.begin(0);
    progress.step({});
    screen.take();
  }
  CHECK(screen.take() == "\n");
  { const train::Progress unused(1, 2, screen.output(80)); }
  CHECK(screen.take().empty());
}

TEST_CASE("durations as people write them, and steps of any length") {
  CHECK(train::Progress::duration(0.4) == "0s");
  CHECK(train::Progress::duration(59.4) == "59s");
  CHECK(train::Progress::duration(83) == "1:23");
  CHECK(train::Progress::duration(7425) == "2:03:45");
  const auto each = [](double seconds) {
    Screen screen;
    train::Progress progress(1, 1, screen.output(0));
    progress.begin(0);
    screen.now += seconds;
    progress.step({});
    progress.finish({});
    return screen.take();
  };
  const std::string bar = "Epoch 1/1  1/1 [==============================] ";
  CHECK(each(0.000726) == bar + "0s 726us/step\n");
  CHECK(each(0.0123) == bar + "0s 12ms/step\n");
  CHECK(each(75.25) == bar + "1:15 75.2s/step\n");
}

TEST_CASE("evaluate counts, in evaluation mode and without a tape") {
  const data::Loader<float> loader(halves(50), {.batch_size = 16});
  std::int64_t seen = 0;
  // Logits from the brightness of the two halves: right but for a constant preference.
  const auto model = [&](const Variable<float>& x, Context& ctx) {
    CHECK(!ctx.is_training());
    CHECK(ctx.tape == nullptr);
    seen += x.shape()[0];
    Tensor<float> logits({x.shape()[0], 2});
    for (std::int64_t i = 0; i < x.shape()[0]; ++i) {
      float difference = 0;
      for (std::int64_t p = 0; p < 64; ++p) {
        difference += (p % 8 < 4 ? 1.0f : -1.0f) * x.value().data()[i * 64 + p];
      }
      logits(i, 0) = difference;
      logits(i, 1) = 0;
    }
    return Variable<float>(logits);
  };
  const auto result = train::evaluate(model, loader);
  CHECK(seen == 50);
  CHECK(result.total == 50);
  CHECK(result.correct == 50);
  CHECK(result.accuracy == 1);
  CHECK(result.low == doctest::Approx(0.92865).epsilon(1e-4));
  CHECK(result.high == doctest::Approx(1));
  CHECK(result.loss > 0);
  CHECK(result.loss < 0.01);

  const auto undecided = [](const Variable<float>& x, Context&) {
    return Variable<float>(Tensor<float>::zeros({x.shape()[0], 2}));
  };
  const auto half = train::evaluate(undecided, loader);
  CHECK(half.loss == doctest::Approx(std::log(2.0)));
  CHECK(half.accuracy == doctest::Approx(double(half.correct) / 50));
}

TEST_CASE_TEMPLATE("fit learns", T, float, bfloat16, float16) {
  const data::Loader<T> train_loader(halves(200), {.batch_size = 32});
  const data::Loader<T> test_loader(halves(60, 2), {.batch_size = 32});
  auto model = small_cnn<T>();
  nn::initialize(model, 1);
  using P = param_t<T>;
  optim::Sgd<P> sgd(nn::parameters<P>(model), {.momentum = 0.9});
  Screen screen;
  const auto history = train::fit(model, sgd, train_loader,
                                  {.epochs = 4,
                                   .schedule = optim::cosine({.lr = 0.05, .steps = 28}),
                                   .validation = &test_loader,
                                   .progress = screen.output(0)});
  REQUIRE(history.size() == 4);
  CHECK(sgd.steps() == 28);
  CHECK(history[0].epoch == 0);
  CHECK(history[3].epoch == 3);
  CHECK(history[3].loss < history[0].loss);
  CHECK(history[3].accuracy > 0.95);
  REQUIRE(history[3].validation.has_value());
  CHECK(history[3].validation->accuracy > 0.95);
  CHECK(history[3].validation->total == 60);
  CHECK(*history[3].lr == doctest::Approx(0.05 * (1 + std::cos(3.14159265358979 * 27 / 28)) / 2));
  const auto text = screen.take();
  CHECK(std::count(text.begin(), text.end(), '\n') == 4);
  CHECK(text.find("Epoch 1/4  7/7 [==============================] 0s ") == 0);
  CHECK(text.find("  loss 0.") != std::string::npos);
  CHECK(text.find("  val_acc ") != std::string::npos);
}

TEST_CASE("fit scales the loss of float16, by a scaler of the caller's or its own") {
  const data::Loader<float16> loader(halves(32), {.batch_size = 32});
  /// Whether the first weights learn behind a last layer that leaves next to nothing of their gradients.
  const auto learns = [&](optim::GradScaler* scaler, std::int64_t steps, double lr) {
    auto model = small_cnn<float16>();
    nn::initialize(model, 1);
    optim::Sgd<float> sgd(nn::parameters(model), {.lr = lr});
    const auto weights = [&](bool first) {
      std::span<float> found;
      for (const auto& parameter : sgd.parameters()) {
        if (parameter->kind != ParameterKind::weight) continue;
        found = parameter->value.span();
        if (first) break;
      }
      return found;
    };
    for (auto& weight : weights(false)) weight *= 1e-7f;
    const std::vector<float> before(weights(true).begin(), weights(true).end());
    train::fit(model, sgd, loader, {.epochs = steps, .scaler = scaler, .progress = quiet});
    return !std::equal(before.begin(), before.end(), weights(true).begin());
  };
  optim::GradScaler none({.init_scale = 1}), growing({.init_scale = 65536, .growth_interval = 2});
  CHECK_FALSE(learns(&none, 1, 1e4));
  CHECK(learns(nullptr, 1, 1e4));
  learns(&growing, 6, 0.05);
  CHECK(growing.scale() == 8 * 65536);
  // A loss of float's largest scale overflows in the first gradient: no step is taken.
  optim::GradScaler overflowing({.init_scale = 1e38});
  CHECK_FALSE(learns(&overflowing, 6, 0.05));
  CHECK(overflowing.skipped() == 6);
}

TEST_CASE("fit and lr_find take a scaler for networks of float16 whose images are in float") {
  const data::Loader<float> loader(halves(32), {.batch_size = 32});
  auto model = small_cnn<float>();
  nn::initialize(model, 1);
  optim::Sgd<float> sgd(nn::parameters(model), {.lr = 0.05});
  optim::GradScaler scaler({.init_scale = 1024, .growth_interval = 1});
  train::fit(model, sgd, loader, {.epochs = 3, .scaler = &scaler, .progress = quiet});
  CHECK(scaler.scale() == 8 * 1024);
  const auto losses = [&](std::optional<optim::GradScalerOptions> scaling) {
    std::vector<double> all;
    for (const auto& point :
         train::lr_find(model, sgd, loader, {.steps = 5, .scaler = scaling}).points) {
      all.push_back(point.loss);
    }
    return all;
  };
  CHECK(losses({}) == losses(optim::GradScalerOptions{.init_scale = 1024}));  // a power of two
  CHECK(tests::contains(
      tests::message_of<StateError>([&] { losses(optim::GradScalerOptions{.init_scale = 0}); }),
      "[GradScaler] init_scale"));
}

TEST_CASE("fit gives the same bits for any number of threads, prefetch and progress") {
  const auto weights = [](int threads, int prefetch, train::ProgressOutput progress) {
    const auto before = num_threads();
    set_num_threads(threads);
    const data::Loader<float> loader(
        halves(200),
        {.batch_size = 32, .augment = data::RandomCrop{.padding = 1}, .prefetch = prefetch});
    auto model = small_cnn<float>();
    nn::initialize(model, 1);
    optim::Sgd<float> sgd(nn::parameters(model), {.lr = 0.05, .momentum = 0.9});
    train::fit(model, sgd, loader, {.epochs = 3, .progress = progress});
    set_num_threads(before);
    std::vector<float> values;
    for (const auto& state : sgd.parameters()) {
      const Tensor<float>& value = state->value;
      values.insert(values.end(), value.span().begin(), value.span().end());
    }
    return values;
  };
  Screen screen;
  const auto expected = weights(1, 0, quiet);
  CHECK(weights(2, 0, quiet) == expected);
  CHECK(weights(1, 2, screen.output(80)) == expected);
  CHECK(weights(3, 1, quiet) == expected);
}

TEST_CASE("fit asks no storage from the system after its first epoch, last short batch included") {
  const data::Loader<float> train_loader(halves(200), {.batch_size = 48, .prefetch = 2});
  const data::Loader<float> test_loader(halves(60, 2), {.batch_size = 48, .prefetch = 2});
  auto model = small_cnn<float>();
  nn::initialize(model, 1);
  optim::Sgd<float> sgd(nn::parameters(model), {.lr = 0.01});
  std::vector<std::size_t> allocations;
  train::fit(model, sgd, train_loader,
             {.epochs = 4,
              .validation = &test_loader,
              .on_epoch =
                  [&](const train::EpochResult&) {
                    allocations.push_back(memory_statistics().system_allocations);
                    return true;
                  },
              .progress = quiet});
  REQUIRE(allocations.size() == 4);
  CHECK(allocations[1] == allocations[0]);
  CHECK(allocations[3] == allocations[0]);
}

TEST_CASE("on_epoch ends the training where it says so") {
  const data::Loader<float> loader(halves(20), {.batch_size = 10});
  auto model = small_cnn<float>();
  nn::initialize(model, 1);
  optim::Sgd<float> sgd(nn::parameters(model), {.lr = 0.01});
  const auto history =
      train::fit(model, sgd, loader,
                 {.epochs = 10,
                  .on_epoch = [](const train::EpochResult& result) { return result.epoch < 2; },
                  .progress = quiet});
  CHECK(history.size() == 3);
  CHECK(!history[0].lr.has_value());
  CHECK(!history[0].validation.has_value());
}

TEST_CASE("a loss that is not finite stops fit and names the place") {
  const data::Loader<float> loader(halves(40), {.batch_size = 10, .shuffle = false});
  auto model = small_cnn<float>();
  nn::initialize(model, 1);
  optim::Sgd<float> sgd(nn::parameters(model), {.lr = 0.01});
  train::FitOptions<float> options{.epochs = 2, .progress = quiet};
  const auto error = [&](auto& net) {
    return error_of<StateError>([&] { train::fit(net, sgd, loader, options); });
  };
  const std::string hint = "\n  hint: lower the learning rate, or let it warm up";

  SUBCASE("a layer that overflows") {
    nn::init::fill(model.head.weight, nn::init::constant(3e38), {});
    const auto text = error(model);
    CHECK(text.find("[fit] the loss is ") == 0);
    CHECK(text.find("\n  step    1                   epoch 1, batch 1\n  layer   head"
                    "                linear" +
                    hint) != std::string::npos);
  }
  SUBCASE("a parameter") {
    for (const auto& state : sgd.parameters()) {
      if (state->name == "features.4.weight") state->value.data()[3] = not_a_number;
    }
    CHECK(error(model) ==
          "[fit] the loss is NaN\n  step    1                   epoch 1, batch 1\n  parameter  "
          "features.4.weight   since an earlier update" +
              hint);
    CHECK(sgd.steps() == 0);
  }
  SUBCASE("an op that a user wrote, in the second epoch") {
    int calls = 0;
    const auto wrapped = [&](const Variable<float>& x, Context& ctx) {
      auto y = model(x, ctx);
      if (++calls <= 6) return y;
      const Context::Scope scope(ctx, "mine");
      Tensor<float> broken = Tensor<float>::full(y.shape(), not_a_number);
      return record(ctx, {"logarithm"}, broken, inputs(y), [](const auto&, auto) {});
    };
    CHECK(error(wrapped) ==
          "[fit] the loss is NaN\n  step    7                   epoch 2, batch 3\n  layer   mine"
          "                logarithm" +
              hint);
    CHECK(sgd.steps() == 6);
  }
  SUBCASE("not asked") {
    options.check_nan = false;
    const auto broken = [](const Variable<float>& x, Context&) {
      return Variable<float>(Tensor<float>::full({x.shape()[0], 2}, not_a_number));
    };
    CHECK(error(broken) ==
          "[fit] the loss is NaN\n  step    1                   epoch 1, batch 1" + hint);
  }
}

TEST_CASE("the search for NaN changes nothing") {
  auto model = small_cnn<float>();
  nn::initialize(model, 1);
  const auto images = Tensor<float>::uniform({4, 8, 8, 1}, {1});
  std::vector<float> before, after;
  const auto buffers = [&](std::vector<float>& into) {
    nn::Members(model).for_buffers([&](const auto&, auto& tensor) {
      for (const auto value : tensor.span()) into.push_back(static_cast<float>(value));
    });
  };
  buffers(before);
  CHECK(!train::find_non_finite(model, nn::parameters(model), images, {1}).has_value());
  buffers(after);
  CHECK(before == after);
  const auto broken = Tensor<float>::full({4, 8, 8, 1}, not_a_number);
  const auto found = train::find_non_finite(model, nn::parameters(model), broken, {1});
  REQUIRE(found.has_value());
  CHECK(found->what == "images");
}

TEST_CASE("the search for NaN finds a normalisation that is deferred to a convolution") {
  models::ResNet<float> model({.channels = 1, .widths = {8}, .blocks = {1}});
  nn::initialize(model, 1);
  nn::Members(model).for_parameters([](const std::string& name, auto& parameter) {
    if (name != "layer1.0.bn1.weight") return;
    auto value = parameter.value().clone();
    for (auto& each : value.span()) each = 3e38f;
    parameter.set(value);
  });
  const auto images = Tensor<float>::normal({4, 8, 8, 1}, {1});
  const auto found = train::find_non_finite(model, nn::parameters(model), images, {1});
  REQUIRE(found.has_value());
  CHECK(found->where == "layer1.0.bn1");
}

TEST_CASE("fit trains on mixed batches and views, and says how far it is right") {
  const auto dataset = halves(256);
  const auto run = [&](int threads) {
    const int before = num_threads();
    set_num_threads(threads);
    auto model = small_cnn<float>();
    nn::initialize(model, 1);
    optim::Sgd optimizer(nn::parameters(model), {.lr = 0.05, .momentum = 0.9});
    const data::Loader<float> loader(
        dataset, {.batch_size = 16,
                  .mix = data::one_of_batch({{0.8f, data::MixUp{.alpha = 1}}, {0.2f, {}}}),
                  .views = 2});
    const auto history = train::fit(model, optimizer, loader, {.epochs = 6, .progress = quiet});
    const auto test = train::evaluate(model, data::Loader<float>(halves(200, 2), {}));
    set_num_threads(before);
    return std::pair(history.back(), test);
  };
  const auto [last, test] = run(1);
  CHECK(last.samples == 512);
  CHECK(test.accuracy > 0.95);
  // An image that is half of each class is half right at best: the mean of max(share, 1 - share) is
  // 3/4 where the classes differ.
  CHECK(last.accuracy > 0.8);
  CHECK(last.accuracy < 0.97);
  CHECK(run(2).first.loss == last.loss);
}
