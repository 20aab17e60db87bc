// What augmentation takes of training: the net of 150,690 parameters on images that a loader crops,
// flips, translates, erases, turns and recolours, against the same steps on random images that stay
// where they are, in turn; the loader by itself; and nanoseconds an image of each transform.
// Images are random bytes of CIFAR-10's size, batches have 128. The last column of the lower table is
// the share of the rate on resident images that is left.
// Run: ./loader [float | bfloat16] [threads]
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>

#include <tinynet/core/cpu.hpp>
#include <tinynet/data/loader.hpp>
#include <tinynet/models.hpp>
#include <tinynet/ops/loss.hpp>
#include <tinynet/optim/sgd.hpp>

#include "../examples/networks.hpp"
#include "pairs.hpp"

using namespace tinynet;

namespace {

constexpr std::int64_t batch_size = 128, batches = 4;  // of an epoch

struct NamedTransform {
  const char* name;
  data::Transform transform;
};

std::vector<NamedTransform> transforms() {
  return {{"crop", data::RandomCrop{}},
          {"flip", data::HorizontalFlip{}},
          {"translate", data::RandomTranslate{}},
          {"erase", data::RandomErasing{}},
          {"affine", data::RandomAffine{.translate = 0.1f, .scale = {0.9f, 1.1f}, .shear_x = 5}},
          {"colour", data::ColorJitter{
                         .brightness = 0.2f, .contrast = 0.2f, .saturation = 0.2f, .hue = 0.05f}}};
}

data::Transform all_transforms() {
  std::vector<data::Transform> all;
  for (auto& each : transforms()) all.push_back(std::move(each.transform));
  return data::compose(std::move(all));
}

data::Dataset random_images() {
  Tensor<std::uint8_t> images({batches * batch_size, 32, 32, 3});
  for (std::int64_t i = 0; i < images.size(); ++i) {
    images.data()[i] = static_cast<std::uint8_t>(random::mix(static_cast<std::uint64_t>(i)));
  }
  Tensor<std::int32_t> labels({images.shape()[0]});
  for (std::int64_t i = 0; i < labels.size(); ++i) labels(i) = static_cast<std::int32_t>(i % 10);
  return {"random", images, labels, std::vector<std::string>(10, "class")};
}

template <Scalar T>
data::Loader<T> loader_of(const data::Dataset& images, const data::Transform& augment,
                          std::optional<int> prefetch = {}) {
  return data::Loader<T>(images, {.batch_size = batch_size,
                                  .augment = augment,
                                  .normalize = {{0.5f, 0.5f, 0.5f}, {0.25f, 0.25f, 0.25f}},
                                  .prefetch = prefetch});
}

/// Walks through an epoch and does nothing with it.
template <Scalar T>
void drain(const data::Loader<T>& loader) {
  for (const auto& batch : loader.epoch()) static_cast<void>(batch);
}

/// Seconds of an image in a loader, the least of several epochs.
template <Scalar T>
double seconds_an_image(const data::Loader<T>& loader) {
  return benchmarks::quick_seconds([&] { drain(loader); }) / double(batches * batch_size);
}

/// On one thread, above what copying and normalising takes.
void print_transforms(const data::Dataset& images) {
  const auto row = [](const char* name, double seconds) {
    std::printf("  %-26s %8.0f\n", name, seconds * 1e9);
  };
  const int threads = num_threads();
  set_num_threads(1);
  std::printf("\nns an image, one thread\n");
  const double plain = seconds_an_image(loader_of<float>(images, {}));
  row("copy and normalise, float", plain);
  row("the same, bfloat16", seconds_an_image(loader_of<bfloat16>(images, {})));
  for (const auto& [name, transform] : transforms()) {
    row(name, seconds_an_image(loader_of<float>(images, transform)) - plain);
  }
  row("all of it", seconds_an_image(loader_of<float>(images, all_transforms())));
  set_num_threads(threads);
}

template <Scalar T>
class Training {
 public:
  Training() : model_(examples::networks::depthwise()) {
    nn::initialize(model_, 1);
    optimizer_.emplace(nn::parameters(model_), optim::SgdOptions{.lr = 0.001, .momentum = 0.9});
  }

  void step(const Tensor<T>& images, const Tensor<std::int32_t>& labels) {
    Tape tape;
    auto ctx = Context::training(tape, random::Key{1}.fold(steps_++));
    ops::cross_entropy(model_(Variable<T>(images), ctx), labels, {}, ctx).backward();
    optimizer_->step();
  }

 private:
  models::DepthwiseNet<T> model_;
  std::optional<optim::Sgd<float>> optimizer_;
  std::uint64_t steps_ = 0;
};

template <Scalar T>
void print_training(const data::Dataset& images, std::optional<int> prefetch) {
  Training<T> training;
  const auto resident = Tensor<T>::normal({batch_size, 32, 32, 3}, {1});
  Tensor<std::int32_t> labels({batch_size});
  for (std::int64_t i = 0; i < batch_size; ++i) labels(i) = static_cast<std::int32_t>(i % 10);
  const auto loader = loader_of<T>(images, all_transforms(), prefetch);
  const auto walk = [&] {
    for (const auto& batch : loader.epoch()) training.step(batch.images, batch.labels);
  };
  const auto stay = [&] {
    for (std::int64_t i = 0; i < batches; ++i) training.step(resident, labels);
  };
  const auto times = benchmarks::compare(walk, stay, 5);
  const double count = batches * batch_size;
  std::printf("  %-9s %9s %14.0f %14.0f %14.0f %9.1f %% %8.1f to %.1f\n", type_name<T>(),
              prefetch ? "2 batches" : "default", 1 / seconds_an_image(loader),
              count / times.theirs, count / times.ours, 100 * times.ratio,
              100 * times.lower_quartile, 100 * times.upper_quartile);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view precision = argc > 1 ? argv[1] : "bfloat16";
  if (precision != "float" && precision != "bfloat16") {
    std::fprintf(stderr, "./loader [float | bfloat16] [threads]\n");
    return 1;
  }
  if (argc > 2) set_num_threads(std::atoi(argv[2]));
  std::setvbuf(stdout, nullptr, _IOLBF, 1 << 12);
  const auto images = random_images();
  std::printf("%s\n", cpu_report().c_str());
  print_transforms(images);
  std::printf("\nimages/s, %d threads\n  %-9s %9s %14s %14s %14s %11s %15s\n", num_threads(),
              "precision", "prefetch", "loader alone", "resident", "from loader", "share",
              "quartiles");
  for (const auto prefetch : {std::optional<int>(), std::optional(2)}) {
    if (precision == "float") print_training<float>(images, prefetch);
    else print_training<bfloat16>(images, prefetch);
  }
}
