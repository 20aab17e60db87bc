// CIFAR-10 in eight epochs: airbench94 (Jordan 2024, arXiv:2404.00498) with Muon.
// Run: ./cifar10_speedrun --data data/cifar-10-batches-bin
#include "training.hpp"

using namespace tinynet;
using examples::Program;

template <Scalar T>
int speedrun(const Program& program) {
  const auto train_set = data::cifar10(program.data, data::Split::train);
  const data::Normalization normalize{{0.4914f, 0.4822f, 0.4465f}, {0.2470f, 0.2435f, 0.2616f}};

  models::Airbench<T> model(models::airbench94());
  nn::initialize(model, program.seed);
  const data::Loader<float> first(train_set.take(5000),
                                  {.batch_size = 5000, .shuffle = false, .normalize = normalize});
  for (const auto& batch : first.epoch()) model.set_whitening(batch.images);

  // The recipe's numbers are for a sum over the batch; over its mean, learning rates are as many
  // times larger as it has images, and weight decay as many times smaller.
  const auto images = static_cast<double>(program.batch_size);
  const auto parts = optim::split(
      nn::parameters(model), optim::Filter{"convolutions of the groups", [](const auto& p) {
                                             return p.name.starts_with("layers.") &&
                                                    p.kind == ParameterKind::weight;
                                           }});
  optim::MultiOptimizer optimizer(
      optim::Muon(parts.matching, {.lr = 0.15,
                                   .momentum = 0.6,
                                   .ns_steps = 3,
                                   .adjust_lr = optim::AdjustLr::none,
                                   .normalize_weights = true}),
      optim::Sgd(parts.rest,
                 {.lr = 1.27378e-3 * images,
                  .momentum = 0.85,
                  .weight_decay = 1.5 / images,
                  .nesterov = true,
                  .groups = {{.where = optim::by_kind({ParameterKind::norm_shift}),
                              .lr_scale = 64,
                              .weight_decay = 0.02344 / images}}}));
  return examples::train_and_test<float>(  // images in float, for the whitening
      program, model, optimizer,
      {.train_set = train_set,
       .test_set = data::cifar10(program.data, data::Split::test),
       .loading = {.drop_last = true,
                   .augment = data::compose(
                       {data::AlternatingFlip{.seed = program.seed},
                        data::RandomCrop{.padding = 2, .border = data::Border::reflect}}),
                   .normalize = normalize},
       .loss = {.label_smoothing = 0.2f},
       .schedule =
           [](std::int64_t steps) { return optim::linear({.lr = 0.15, .steps = steps}); },
       .tta = train::TestTimeAugmentation{.views = train::six_views(),
                                          .combine = train::Combine::logits}}).status;
}

int main(int argc, char** argv) {
  const auto program = Program::parse(
      argc, argv,
      {.claim = "Trains airbench94 on CIFAR-10 with Muon.",
       .name = "cifar10_speedrun",
       .data = "data/cifar-10-batches-bin",
       .epochs = 8,
       .batch_size = 1000,
       .precision = "bfloat16"});
  return examples::run(program, [&]<class T>() { return speedrun<T>(program); });
}
