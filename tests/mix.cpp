// Mixing of batches: distributions, the weights of labels, pixels against their definition, the
// choice among several, views, and what training makes of it.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include <tinynet/data/loader.hpp>
#include <tinynet/data/mix.hpp>
#include <tinynet/train/batch.hpp>

#include "messages.hpp"

using namespace tinynet;
using tests::message_of;

namespace {

random::Generator generator(std::uint64_t key) { return random::Generator(random::Key{key}); }

data::Collage draw(const data::Mix& mix, const Shape& image, std::uint64_t key) {
  auto numbers = generator(key);
  return mix(image, numbers);
}

/// Images that are the number of their class, from 0, all over; normalised: the number / 255.
data::Dataset flat(std::int64_t n, std::int64_t classes, std::int64_t h = 8, std::int64_t w = 6) {
  Tensor<std::uint8_t> images({n, h, w, 1});
  Tensor<std::int32_t> labels({n});
  std::vector<std::string> names;
  for (std::int64_t i = 0; i < n; ++i) {
    labels.data()[i] = static_cast<std::int32_t>(i % classes);
    std::fill_n(images.data() + i * h * w, h * w, static_cast<std::uint8_t>(i % classes));
  }
  for (std::int64_t k = 0; k < classes; ++k) names.push_back(std::to_string(k));
  return data::Dataset("flat", images, labels, names);
}

/// The definition of `mix_images`, pixel by pixel.
Tensor<float> mixed(const Tensor<float>& before, const data::Collage& collage) {
  const auto& s = before.shape();
  auto after = before.clone();
  const auto groups = (s[0] + collage.images - 1) / collage.images;
  for (std::int64_t i = 0; i < s[0]; ++i) {
    std::vector<std::int64_t> circle;  // the group of image i, from i on
    for (auto at = i; at < s[0]; at += groups) circle.push_back(at);
    for (auto at = i % groups; at < i; at += groups) circle.push_back(at);
    for (const auto& layer : collage.layers) {
      const auto from = circle[std::size_t(layer.source) % circle.size()];
      for (std::int64_t y = 0; y < layer.height; ++y) {
        for (std::int64_t x = 0; x < layer.width; ++x) {
          for (std::int64_t c = 0; c < s[3]; ++c) {
            auto& to = after(i, layer.y + y, layer.x + x, c);
            const float source = before(from, layer.from_y + y, layer.from_x + x, c);
            to = layer.opacity * source + (1 - layer.opacity) * to;
          }
        }
      }
    }
  }
  return after;
}

/// Sets the number of threads while it lives.
struct Threads {
  int before = num_threads();
  explicit Threads(int count) { set_num_threads(count); }
  ~Threads() { set_num_threads(before); }
};

const data::Mix all_of_them = data::one_of_batch(
    {{0.3f, data::MixUp{.alpha = 1}}, {0.3f, data::CutMix{}}, {0.2f, data::Ricap{}}});

}  // namespace

TEST_CASE("beta and gamma numbers have the moments of their distributions") {
  constexpr int n = 20000;
  const std::pair<double, double> parameters[] = {{0.2, 0.2}, {1, 1}, {0.3, 0.3}, {2, 5}, {8, 8}};
  for (const auto& pair : parameters) {
    const double a = pair.first, b = pair.second;
    CAPTURE(a);
    CAPTURE(b);
    auto numbers = generator(3);
    double sum = 0, squares = 0;
    for (int i = 0; i < n; ++i) {
      const double x = random::beta(a, b, numbers);
      REQUIRE((x >= 0 && x <= 1));
      sum += x;
      squares += x * x;
    }
    const double mean = a / (a + b), variance = a * b / ((a + b) * (a + b) * (a + b + 1));
    const double came = sum / n, spread = squares / n - came * came;
    CHECK(std::abs(came - mean) < 4 * std::sqrt(variance / n));
    CHECK(spread == doctest::Approx(variance).epsilon(0.05));
  }
  for (const double shape : {0.1, 0.5, 1.0, 3.5}) {
    CAPTURE(shape);
    auto numbers = generator(4);
    double sum = 0, squares = 0;
    for (int i = 0; i < n; ++i) {
      const double x = std::exp(random::log_gamma_variate(shape, numbers));
      sum += x;
      squares += x * x;
    }
    CHECK(std::abs(sum / n - shape) < 4 * std::sqrt(shape / n));
    CHECK(squares / n - sum / n * (sum / n) == doctest::Approx(shape).epsilon(0.1));
  }
  auto numbers = generator(5);  // numbers that underflow are still numbers
  for (int i = 0; i < 100; ++i) {
    const double x = random::beta(1e-3, 1e-3, numbers);
    CHECK((x >= 0 && x <= 1));
  }
}

TEST_CASE("mixup lays one other image over the whole, by a share from Beta(alpha, alpha)") {
  const Shape image{5, 7, 3};
  double sum = 0, squares = 0;
  constexpr int n = 4000;
  for (std::uint64_t key = 0; key < n; ++key) {
    const auto collage = draw(data::MixUp{.alpha = 0.4}, image, key);
    REQUIRE(collage.images == 2);
    REQUIRE(collage.layers.size() == 1);
    const auto weights = data::shares(collage, image);
    CHECK(weights[0] + weights[1] == doctest::Approx(1).epsilon(1e-12));
    CHECK(weights[1] == doctest::Approx(collage.layers[0].opacity).epsilon(1e-12));
    sum += weights[0];
    squares += weights[0] * weights[0];
  }
  CHECK(sum / n == doctest::Approx(0.5).epsilon(0.03));
  CHECK(squares / n - 0.25 == doctest::Approx(0.25 / 1.8).epsilon(0.05));  // 1 / (4 (2 a + 1))
}

TEST_CASE("cutmix pastes a box, and labels weigh by its pixels") {
  const Shape image{9, 13, 1};
  double sum = 0;
  constexpr int n = 3000;
  for (std::uint64_t key = 0; key < n; ++key) {
    const auto collage = draw(data::CutMix{}, image, key);
    if (collage.layers.empty()) continue;  // the box has no pixel
    data::require_collage(collage, image);
    const auto& box = collage.layers[0];
    CHECK(box.opacity == 1);
    CHECK((box.y == box.from_y && box.x == box.from_x));
    const auto area = double(box.height * box.width) / (9 * 13);
    const auto weights = data::shares(collage, image);
    CHECK(weights[1] == area);
    CHECK(weights[0] + weights[1] == doctest::Approx(1).epsilon(1e-12));
    sum += area;
  }
  // The paper's definition, by another way: sides of sqrt(1 - u), u uniform, clipped at the edges.
  double expected = 0;
  for (int i = 0; i < n; ++i) {
    const double side = std::sqrt((i + 0.5) / n);
    double area = 1;
    for (const int size : {9, 13}) {
      double mean = 0;
      for (int middle = 0; middle < size; ++middle) {
        const int half = int(0.5 * side * size);
        mean += double(std::min(middle + half, size) - std::max(middle - half, 0)) / size;
      }
      area *= mean / size;
    }
    expected += area;
  }
  CHECK(sum / n == doctest::Approx(expected / n).epsilon(0.05));
}

TEST_CASE("ricap fills the image with pieces of four, each weighing by its area") {
  const Shape image{8, 6, 3};
  std::set<std::pair<std::int64_t, std::int64_t>> corners;
  for (std::uint64_t key = 0; key < 2000; ++key) {
    const auto collage = draw(data::Ricap{}, image, key);
    data::require_collage(collage, image);
    CHECK(collage.images == 4);
    std::vector<int> covered(48);
    double total = 0;
    const auto weights = data::shares(collage, image);
    for (const auto& layer : collage.layers) {
      CHECK(weights[std::size_t(layer.source)] == double(layer.height * layer.width) / 48);
      for (auto y = layer.y; y < layer.y + layer.height; ++y) {
        for (auto x = layer.x; x < layer.x + layer.width; ++x) ++covered[std::size_t(y * 6 + x)];
      }
      if (layer.source == 3) corners.insert({layer.from_y, layer.from_x});
    }
    for (const auto weight : weights) total += weight;
    CHECK(total == doctest::Approx(1).epsilon(1e-12));
    for (const auto count : covered) CHECK(count == 1);
  }
  CHECK(corners.size() > 30);
}

TEST_CASE("images are mixed as the definition says, whatever the size of the batch") {
  for (const std::int64_t n : {1, 2, 3, 4, 5, 7, 8, 18}) {
    for (std::uint64_t key = 0; key < 20; ++key) {
      CAPTURE(n);
      CAPTURE(key);
      const auto before = Tensor<float>::normal({n, 9, 7, 3}, random::Key{key});
      const auto collage = draw(all_of_them, {9, 7, 3}, key);
      auto after = before.clone();
      data::mix_images(after, collage);
      const auto expected = mixed(before, collage);
      double worst = 0;
      for (std::int64_t i = 0; i < after.size(); ++i) {
        worst = std::max<double>(worst, std::abs(after.data()[i] - expected.data()[i]));
      }
      CHECK(worst < 1e-6);
    }
  }
}

TEST_CASE("the target of a mixed image is its content") {
  // An image shows the number of its class; then its mean is the mean of the classes in its target.
  for (const std::int64_t size : {64, 63, 5, 1}) {
    const data::Loader<float> loader(flat(300, 10), {.batch_size = size, .mix = all_of_them});
    int mixed_batches = 0;
    for (const auto& batch : loader.epoch(0)) {
      if (batch.targets.empty()) {
        for (std::int64_t i = 0; i < batch.size(); ++i) {
          CHECK(batch.images(i, 3, 3, 0) * 255 == doctest::Approx(batch.labels(i)));
        }
        continue;
      }
      ++mixed_batches;
      REQUIRE(batch.targets.shape() == Shape{batch.size(), 10});
      for (std::int64_t i = 0; i < batch.size(); ++i) {
        double shown = 0, meant = 0, sum = 0;
        for (std::int64_t y = 0; y < 8; ++y) {
          for (std::int64_t x = 0; x < 6; ++x) shown += batch.images(i, y, x, 0) * 255 / 48;
        }
        for (std::int64_t k = 0; k < 10; ++k) {
          sum += batch.targets(i, k);
          meant += static_cast<double>(k) * batch.targets(i, k);
        }
        CHECK(sum == doctest::Approx(1).epsilon(1e-6));
        CHECK(shown == doctest::Approx(meant).epsilon(1e-4));
      }
    }
    CHECK(mixed_batches > 0);
  }
}

TEST_CASE("a batch is mixed in one way at most, with the probabilities that were asked for") {
  int none = 0, two = 0, four = 0;
  constexpr int n = 4000;
  for (std::uint64_t key = 0; key < n; ++key) {
    const auto collage = draw(all_of_them, {32, 32, 3}, key);
    none += collage.images == 1;
    two += collage.images == 2;
    four += collage.images == 4;
  }
  CHECK(none + two + four == n);
  CHECK(std::abs(two - 0.6 * n) < 140);  // a few boxes of no pixel are left out
  CHECK(std::abs(four - 0.2 * n) < 110);
  const auto error = [](std::vector<data::MixChoice> choices) {
    return message_of<ShapeError>([&] { data::one_of_batch(choices); });
  };
  CHECK(error({{0.7f, data::MixUp{}}, {0.4f, data::CutMix{}}}) ==
        "[one_of_batch] probabilities are 0 or more and sum to 1 or less\n  came    0.4\n  sum     "
        "1.1");
  CHECK(
      error({{-0.5f, data::MixUp{}}}) ==
      "[one_of_batch] probabilities are 0 or more and sum to 1 or less\n  came    -0.5\n  sum     "
      "-0.5");
  CHECK(error({{0.5f, data::MixUp{}}, {0.5f, data::CutMix{}}}).empty());
}

TEST_CASE("mixes say what is wrong with their options and layers") {
  const auto error = [](const data::Mix& mix) {
    return message_of<ShapeError>([&] {
      for (const auto& batch : data::Loader<float>(flat(8, 2), {.mix = mix}).epoch()) {
        CHECK(batch.size() == 0);  // not reached
      }
    });
  };
  CHECK(error(data::MixUp{.alpha = 0}) == "[mixup] alpha lies above 0\n  came    0");
  CHECK(error(data::CutMix{.alpha = -1}) == "[cutmix] alpha lies above 0\n  came    -1");
  CHECK(error(data::Ricap{.beta = NAN}).find("[ricap] beta lies above 0\n  came    ") == 0);
  const auto with = [](data::Layer layer) {
    return [layer](const Shape&, random::Generator&) { return data::Collage{2, {layer}}; };
  };
  CHECK(error(with({.source = 2, .height = 1, .width = 1})) ==
        "[mix] a layer names an image beyond its group\n  source  2\n  images  2");
  CHECK(error(with({.y = 6, .x = 1, .height = 3, .width = 2, .from_y = 4})) ==
        "[mix] a layer reaches out of the image, or its opacity of 0 to 1\n  layer   3 x 2"
        "               at (6, 1), opacity 1\n  from    (4, 0)\n  image   [8, 6, 1]           "
        "(h, w, c)");
  CHECK(!error(with({.height = 3, .width = 2, .from_x = 5})).empty());
  CHECK(!error(with({.height = 3, .width = 2, .opacity = 1.5f})).empty());
}

TEST_CASE("mixed epochs have the same bits for any number of threads") {
  const auto deliver = [](auto zero, int threads, int prefetch) {
    using T = decltype(zero);
    const Threads limit(threads);
    std::vector<T> images;
    std::vector<float> targets;
    const data::Loader<T> loader(
        flat(900, 10, 16, 16),
        {.batch_size = 130, .mix = all_of_them, .seed = 5, .prefetch = prefetch});
    for (int epoch = 0; epoch < 2; ++epoch) {
      for (const auto& batch : loader.epoch(epoch)) {
        images.insert(images.end(), batch.images.span().begin(), batch.images.span().end());
        targets.insert(targets.end(), batch.targets.span().begin(), batch.targets.span().end());
      }
    }
    std::string bits(images.size() * sizeof(T) + targets.size() * sizeof(float), 0);
    std::memcpy(bits.data(), images.data(), images.size() * sizeof(T));
    std::memcpy(bits.data() + images.size() * sizeof(T), targets.data(), targets.size() * 4);
    return bits;
  };
  const auto expected = deliver(0.0f, 1, 0);
  const auto expected16 = deliver(bfloat16(0.0f), 1, 0);
  for (const int threads : {2, 3}) {
    CHECK(deliver(0.0f, threads, 0) == expected);
    CHECK(deliver(bfloat16(0.0f), threads, 0) == expected16);
  }
  CHECK(deliver(0.0f, 2, 2) == expected);
}

TEST_CASE("views of a sample share its batch, each with a draw of its own") {
  const data::Transform noise = [](data::Image& image, random::Generator& numbers) {
    for (auto& pixel : image.pixels) pixel = static_cast<std::uint8_t>(numbers.below(256));
  };
  const data::LoaderOptions plain{.batch_size = 4, .augment = noise, .seed = 9};
  auto growing = plain, fixed = plain;
  growing.views = fixed.views = 2;
  fixed.growing_batch = false;
  const data::Loader<float> one(flat(10, 10), plain), more(flat(10, 10), growing),
      same_size(flat(10, 10), fixed);
  CHECK(more.batches() == 3);
  CHECK(same_size.batches() == 5);

  std::vector<Tensor<float>> single;
  for (const auto& batch : one.epoch(2)) single.push_back(batch.images.clone());
  std::vector<float> from_growing, from_fixed;
  for (const auto& batch : more.epoch(2)) {
    REQUIRE(batch.size() == (batch.index == 2 ? 4 : 8));
    REQUIRE(batch.samples.size() == std::size_t(batch.size()));
    const auto pixels = batch.images.size() / batch.size();
    for (std::int64_t i = 0; i < batch.size(); i += 2) {
      CHECK(batch.samples[std::size_t(i)] == batch.samples[std::size_t(i) + 1]);
      CHECK(batch.labels(i) == batch.labels(i + 1));
      const float* view = batch.images.data() + i * pixels;
      CHECK(std::equal(view, view + pixels,
                       single[std::size_t(batch.index)].data() + i / 2 * pixels));
      CHECK(!std::equal(view, view + pixels, view + pixels));
    }
    from_growing.insert(from_growing.end(), batch.images.span().begin(), batch.images.span().end());
  }
  for (const auto& batch : same_size.epoch(2)) {
    CHECK(batch.size() == 4);
    from_fixed.insert(from_fixed.end(), batch.images.span().begin(), batch.images.span().end());
  }
  CHECK(from_fixed == from_growing);

  const auto error = [](const data::LoaderOptions& options) {
    return message_of<ShapeError>([&] { data::Loader<float>(flat(10, 2), options); });
  };
  CHECK(error({.views = 0}) ==
        "[loader] views must be at least 1\n  came    0\n  dataset flat                10 samples");
  CHECK(error({.batch_size = 32, .views = 3, .growing_batch = false}) ==
        "[loader] views must divide a batch_size that does not grow, 32\n  came    3\n  dataset "
        "flat                10 samples");
}

TEST_CASE("an epoch goes on from the middle") {
  const data::Loader<float> loader(flat(50, 10), {.batch_size = 8, .mix = all_of_them});
  std::vector<float> whole, pieces;
  for (const auto& batch : loader.epoch(1)) {
    whole.insert(whole.end(), batch.images.span().begin(), batch.images.span().end());
  }
  for (const auto& batch : loader.epoch(1)) {
    if (batch.index == 3) break;
    pieces.insert(pieces.end(), batch.images.span().begin(), batch.images.span().end());
  }
  std::int64_t index = 3;
  for (const auto& batch : loader.epoch(1, 3)) {
    CHECK(batch.index == index++);
    pieces.insert(pieces.end(), batch.images.span().begin(), batch.images.span().end());
  }
  CHECK(index == 7);
  CHECK(pieces == whole);
  for (const auto& batch : loader.epoch(1, 7)) CHECK(batch.size() == 0);  // nothing is left
  CHECK(message_of<ShapeError>([&] { loader.epoch(1, 8); }) ==
        "[loader] no batch 8\n  epoch   7 batches");
}

TEST_CASE("loss and accuracy of a mixed batch go by its targets") {
  data::Batch<float> batch{
      Tensor<float>({2, 1, 1, 1}), Tensor<std::int32_t>::from({2}, {0, 1}), {0, 1}};
  const Variable<float> logits(Tensor<float>::from({2, 3}, {2, 1, 0, 0, 1, 4}));
  auto ctx = Context::evaluation();
  CHECK(train::accuracy(logits, batch) == 0.5);
  CHECK(train::cross_entropy(logits, batch, {}, ctx).item() ==
        ops::cross_entropy(logits, batch.labels, {}, ctx).item());
  batch.targets = Tensor<float>::from({2, 3}, {0.75f, 0.25f, 0, 0, 0.5f, 0.5f});
  CHECK(train::accuracy(logits, batch) == (0.75 + 0.5) / 2);
  CHECK(train::cross_entropy(logits, batch, {.label_smoothing = 0.1}, ctx).item() ==
        ops::cross_entropy(logits, batch.targets, {.label_smoothing = 0.1}, ctx).item());
  const Variable<float> narrow(Tensor<float>::zeros({2, 2}));
  CHECK(message_of<ShapeError>([&] { train::accuracy(narrow, batch); }) ==
        "[accuracy] logits and targets differ in shape\n  logits  [2, 2]              (n, classes)"
        "\n  targets [2, 3]              (n, classes)");
}
