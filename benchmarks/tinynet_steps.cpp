#include "tinynet_steps.hpp"

#include <memory>
#include <utility>

#include <tinynet/float_tiles.hpp>
#include <tinynet/models.hpp>
#include <tinynet/nn/fold.hpp>
#include <tinynet/nn/freeze.hpp>
#include <tinynet/nn/summary.hpp>
#include <tinynet/ops/loss.hpp>
#include <tinynet/optim.hpp>
#include <tinynet/train/profile.hpp>
#include <tinynet/winograd.hpp>

#include "../examples/networks.hpp"
#include "peaks.hpp"

namespace tinynet::benchmarks {

namespace {

[[maybe_unused]] const bool winograd = kernels::include_winograd<bfloat16>();

/// A network with its optimizer and its batch.
template <Scalar In, class Model>
struct Trained {
  Model model;
  Tensor<In> images;
  Tensor<std::int32_t> labels;
  optim::Sgd<float> optimizer;

  Trained(Model m, const Shape& shape)
      : model(std::move(m)),
        images(Tensor<In>::normal(shape, {1})),
        labels({shape[0]}),
        optimizer(nn::parameters(model), {.lr = 0.001, .momentum = 0.9}) {
    for (std::int64_t i = 0; i < shape[0]; ++i) labels(i) = static_cast<std::int32_t>(i % 10);
  }

  void step(Observer* observer = nullptr) {
    Tape tape;
    auto ctx = Context::training(tape, random::Key{1}.fold(steps++));
    ctx.observer = observer;
    ops::cross_entropy(model(Variable<In>(images), ctx), labels, {}, ctx).backward();
    optimizer.step();
  }

  train::Profile profile(std::int64_t count, const train::MachinePeaks& most = {}) {
    train::Profile watched({.peaks = most, .warm_up = 0, .trace_steps = 0});
    for (std::int64_t i = 0; i < count; ++i) {
      step(watched.observer());
      watched.lap("update");
      watched.end_step();
    }
    return watched;
  }

  /// Of a step: forward, and for each operand that wants a gradient as much again.
  double operations() {
    double total = 0;
    const auto watched = profile(1);
    for (const auto& row : watched.rows()) {
      total += row.forward.operations + row.backward.operations;
    }
    return total;
  }

  std::uint64_t steps = 0;
};

template <Scalar In, class Model>
Step training(Model model, const Shape& shape) {
  const auto parameters = nn::count_parameters(model);
  const auto trained = std::make_shared<Trained<In, Model>>(std::move(model), shape);
  return {.parameters = parameters,
          .operations = trained->operations(),
          .run = [=] { trained->step(); },
          .profile =
              [=] {
                const auto& p = peaks();
                return to_string(trained->profile(
                    10, {p.single_operations(), p.half_operations(), p.copy_bytes}));
              }};
}

template <Scalar In, class Model>
Step inference(Model model, const Shape& shape) {
  const auto parameters = nn::count_parameters(model);  // folding changes their number
  nn::fold_batch_norm<In>(model, shape);
  nn::freeze<In>(model, {shape});
  const auto served = std::make_shared<Model>(std::move(model));
  const auto images = Tensor<In>::normal(shape, {1});
  return {.parameters = parameters,
          .operations = 2.0 * static_cast<double>(nn::summary<In>(*served, shape).macs),
          .run = [=] {
            auto ctx = Context::evaluation();
            (*served)(Variable<In>(images), ctx);
          }};
}

template <Scalar In, class Model>
Step step(Model model, const Task& task, Shape image) {
  const Shape shape{task.batch, image[0], image[1], image[2]};
  nn::initialize(model, 1);
  if constexpr (requires { model.set_whitening(Tensor<float>()); }) {
    model.set_whitening(Tensor<float>::normal({100, image[0], image[1], image[2]}, {2}));
  }
  return task.training ? training<In>(std::move(model), shape)
                       : inference<In>(std::move(model), shape);
}

template <Scalar T>
Step step(const Task& task) {
  namespace networks = examples::networks;
  const Shape grey{28, 28, 1}, color{32, 32, 3};
  switch (task.network) {
    case Network::toy:
      return step<T>(models::Cnn<T>(networks::toy()), task, grey);
    case Network::resnet18:
      return step<T>(models::ResNet<T>(networks::resnet18()), task, grey);
    case Network::v7:
      return step<T>(models::ResNet<T>(networks::v7()), task, grey);
    case Network::depthwise:
      return step<T>(models::DepthwiseNet<T>(networks::depthwise()), task, color);
    case Network::airbench94:
      return step<float>(models::Airbench<T>(models::airbench94()), task, color);
  }
  return {};
}

}  // namespace

std::vector<Variant> variants(const Task& task) {
  return {{"fp32", [=] { return step<float>(task); }},
          {"bf16", [=] { return step<bfloat16>(task); }}};
}

}  // namespace tinynet::benchmarks
