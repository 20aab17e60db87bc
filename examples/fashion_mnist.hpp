#pragma once

#include "networks.hpp"
#include "training.hpp"

/// What the programs on FashionMNIST have in common: a recipe with switches.
namespace tinynet::examples {

struct FashionMnist {
  double lr = 0.1, weight_decay = 5e-4, label_smoothing = 0.1, clip = 0, ema = 0;
  std::string schedule = "one_cycle";
  std::int64_t patience = 0, small_epochs = 0, small_size = 20;
  data::RandomErasing erasing = {};
  bool flip = true, crop = true, erase = true, rand_augment = false, cut_mix = false, tta = false;
  bool muon = false;

  std::vector<Option> options() {
    return {{"lr", "peak learning rate; seair_* and Muon have their own", &lr},
            {"schedule",
             "a rise and a fall, or a tenth after 2/5 and 4/5 of the steps; not with --muon, nor "
             "of seair_*",
             &schedule,
             {"one_cycle", "multi_step"}},
            {"weight-decay", "of weights, not of norms and biases; seair_* have their own",
             &weight_decay},
            {"label-smoothing", "0 to 1", &label_smoothing, {}, 0, 1},
            {"clip", "largest norm of all gradients, 0: any", &clip},
            {"ema", "decay of the average of the weights, 0: none", &ema, {}, 0, 0.99999},
            {"flip", "mirror half of the images, the other half in the next epoch", &flip},
            {"crop", "move images by up to two pixels", &crop},
            {"erase", "erase a rectangle of half of the images", &erase},
            {"rand-augment", "two operations of magnitude 9 on each image", &rand_augment},
            {"cut-mix", "paste a piece of another image into half of the batches", &cut_mix},
            {"muon",
             "train convolutions by Muon, with a triangle of learning rates and rarer, smaller "
             "erasing; seair_* always do",
             &muon},
            {"small-epochs",
             "the first epochs, fewer than --epochs, which see smaller images and are never "
             "selected; not of cnns and seair_*",
             &small_epochs,
             {},
             0},
            {"small-size", "their height and width, pixels", &small_size, {}, 9, 28},
            {"patience",
             "epochs of full size without improvement after which training ends, by held-out "
             "images unless --select says test; 0: all epochs",
             &patience},
            {.name = "tta",
             .help = "test with six views of each image too",
             .value = &tta,
             .setting = false}};
  }

  /// Throws StateError where the network takes images of one size alone and others are asked for.
  void require_size(const std::string& network) const {
    const bool pools_all = network.starts_with("resnet") || network == "structure4" ||
                           network == "v6" || network == "v7";
    if (small_epochs == 0 || pools_all) return;
    throw StateError(Message("--small-epochs", "the network takes images of 28 x 28 pixels alone")
                         .fact("network", network)
                         .hint("leave it out, or train a resnet"));
  }

  data::Transform augmentation(std::uint64_t seed) const {
    std::vector<data::Transform> transforms;
    if (rand_augment) transforms.push_back(data::RandAugment{.magnitude_std = 0.5f});
    if (flip) transforms.push_back(data::AlternatingFlip{.seed = seed});
    if (crop) transforms.push_back(data::RandomCrop{.padding = 2});
    if (erase) transforms.push_back(erasing);
    return data::compose(std::move(transforms));
  }

  Recipe recipe(const Program& program) const {
    const auto train_set = program.limited(data::fashion_mnist(program.data, data::Split::train));
    const auto mix = data::one_of_batch({{0.5f, data::CutMix{.alpha = 1}}});
    return {
        .train_set = train_set,
        .test_set = data::fashion_mnist(program.data, data::Split::test),
        .loading = {.augment = augmentation(program.seed),
                    .mix = cut_mix ? mix : data::Mix{},
                    .normalize = data::channel_statistics(train_set)},
        .small_epochs = small_epochs,
        .small = {small_size, small_size},
        .loss = {.label_smoothing = static_cast<float>(label_smoothing)},
        .schedule = [lr = lr, schedule = schedule](std::int64_t steps) -> optim::Schedule {
          if (schedule == "multi_step") {
            return optim::multi_step_decay(
                {.lr = lr, .milestones = std::vector{steps * 2 / 5, steps * 4 / 5}});
          }
          return optim::one_cycle({.max_lr = lr, .total_steps = steps, .cycle_momentum = false});
        },
        .clip_norm = clip,
        .ema_decay = ema,
        .patience = patience,
        .tta = tta ? std::optional(train::TestTimeAugmentation{.views = train::six_views(),
                                                               .border = data::Border::zero})
                   : std::nullopt};
  }

  optim::SgdOptions sgd() const {
    return {.momentum = 0.9,
            .weight_decay = weight_decay,
            .nesterov = true,
            .groups = {optim::no_weight_decay_for_norm_and_bias()}};
  }
  optim::Sgd<float> optimizer(const nn::Members& model) const {
    return optim::Sgd(nn::parameters(model), sgd());
  }
};

/// Calls `f(model)` with one of networks.hpp; the names are those of its functions.
template <Scalar T, class F>
auto with_network(const std::string& name, F f) {
  const auto cnn = [&](const models::CnnOptions& options) {
    models::Cnn<T> model(options);
    return f(model);
  };
  const auto resnet = [&](const models::ResNetOptions& options) {
    models::ResNet<T> model(options);
    return f(model);
  };
  if (name == "toy") return cnn(networks::toy());
  if (name == "structure2") return cnn(networks::structure2());
  if (name == "structure4") return resnet(networks::structure4());
  if (name == "resnet12") return resnet(networks::resnet12());
  if (name == "resnet14") return resnet(networks::resnet14());
  if (name == "resnet14_like") return resnet(networks::resnet14_like());
  if (name == "resnet14_like_se") return resnet(networks::resnet14_like_se());
  if (name == "resnet18") return resnet(networks::resnet18());
  if (name == "v5") return cnn(networks::v5());
  if (name == "v6") return resnet(networks::v6());
  if (name == "v7") return resnet(networks::v7());
  if (name == "small") return cnn(networks::small());
  if (name == "mid") return cnn(networks::mid());
  if (name == "big") return cnn(networks::big());
  if (name == "growing_batch") return cnn(networks::growing_batch());
  throw StateError(Message("--network", "there is no such network").fact("came", name));
}

}  // namespace tinynet::examples
