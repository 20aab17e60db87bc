// Writes a report of a made-up run to the path that it is given, for tests/report_renders.sh: class
// names that would break a careless page, every section, numbers like those of a real run.
#include <cmath>
#include <cstdio>

#include <tinynet/models/cnn.hpp>
#include <tinynet/report/page.hpp>

using namespace tinynet;

namespace {

/// A disc or a square of a size for each class, on noise.
data::Dataset shapes(std::int64_t n, std::uint64_t seed) {
  Tensor<std::uint8_t> images({n, 28, 28, 3});
  Tensor<std::int32_t> labels({n});
  for (std::int64_t i = 0; i < n; ++i) {
    const auto label = static_cast<int>(random::below(random::Key{seed}, std::uint64_t(i), 55));
    const int k = static_cast<int>((std::sqrt(8.0 * label + 1) - 1) / 2);  // rising frequencies
    labels(i) = k;
    for (int y = 0; y < 28; ++y) {
      for (int x = 0; x < 28; ++x) {
        const double away =
            k % 2 ? std::hypot(x - 14, y - 14) : std::fmax(std::abs(x - 14), std::abs(y - 14));
        for (int c = 0; c < 3; ++c) {
          const auto at = std::uint64_t(((i * 28 + y) * 28 + x) * 3 + c);
          const auto noise = random::below(random::Key{seed}.fold("noise"), at, 50);
          images(i, y, x, c) = std::uint8_t(noise + (away < 3 + k ? 60 + 70 * ((k + c) % 3) : 0));
        }
      }
    }
  }
  return data::Dataset(
      "shapes", images, labels,
      {"T-shirt/top", "<script>alert(1)</script>", "\"><img src=x onerror=alert(2)>",
       "R&D 'quoted'", "Größe 大きい", "broken \xff\xfe bytes", "</svg></style>",
       "a very long name that no chart has room for", "Bag", "javascript:alert(3)"});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto train_set = shapes(6000, 1), test_set = shapes(2000, 2);
  report::Run run{.title = "A run of <nothing> & nobody",
                  .subtitle = "A made-up network on made-up images, to look at every section."};
  run.train_set = train_set;
  run.test_set = test_set;
  run.augment = data::compose({data::RandomCrop{.padding = 4}, data::HorizontalFlip{}});
  run.warnings = {"warning: EMA has 12.08 % accuracy, 75.34 points less than the plain model"};
  run.headline = {{"training time", "12.4 min", "1,240 images a second"},
                  {"parameters", "150,690", "603 kB"},
                  {"latency", "0.42 ms", "one image; p95 0.51 ms"}};
  run.facts = {{"command", "./program --data <folder> --epochs 20"}, {"precision", "bfloat16"}};
  for (int e = 0; e < 20; ++e) {
    const double t = (e + 1) / 20.0, wave = 0.02 * std::sin(7.0 * e);
    train::EpochResult result{.epoch = e,
                              .loss = 0.2 + 2 * std::exp(-5 * t) + wave,
                              .accuracy = 0.95 - 0.6 * std::exp(-5 * t) - wave};
    train::Evaluation validation;
    validation.loss = 0.31 + 1.8 * std::exp(-6 * t) - wave;
    validation.accuracy = 0.91 - 0.5 * std::exp(-6 * t) + wave;
    result.validation = validation;
    result.lr = 0.1 * std::pow(10, -4 * t);
    result.seconds = 37.1;
    run.history.push_back(result);
  }
  run.clean = train::Evaluation{0.05, 0.985, 0.98, 0.99, 5910, 6000};
  const auto n = test_set.size();
  run.test = {Tensor<float>::normal({n, 10}, {3}, 0, 1.3), Tensor<std::int32_t>({n}), {}};
  for (std::int64_t i = 0; i < n; ++i) {
    run.test.labels(i) = test_set.label(i);
    run.test.samples.push_back(i);
    run.test.logits(i, test_set.label(i)) += 4 + 0.3f * float(test_set.label(i));
    if (test_set.label(i) == 0) run.test.logits(i, 6) += 2.5f;
  }
  models::Cnn<float> model({.channels = 3});
  nn::initialize(model, 1);
  run.layers = nn::summary(model, {1, 28, 28, 3});
  report::write(run, argv[1]);
}
