#pragma once

#include <vector>

#include <tinynet/autograd/variable.hpp>
#include <tinynet/nn/members.hpp>

namespace tinynet::inline TINYNET_ABI::nn {

/// Prepares a model for serving: its values stay as they are, no gradient reaches them, and the
/// forms of its weights that the kernels want for inputs of these shapes are made now. Then several
/// threads may run it at once, each with a Context of its own, and the first request waits no
/// longer than the others; inputs of other shapes are served as well. Each calling thread has its
/// own team for `parallel_for`: hold a SerialSection where the callers are the parallelism.
///
///     nn::freeze<T>(model, {{1, 28, 28, 1}});
///     std::thread a([&] { auto ctx = Context::evaluation(); model(images, ctx); });
///
/// Setting, loading or training the model afterwards throws StateError, until `unfreeze`. Throws
/// StateError while the averages of a train::Ema are swapped in.
template <Scalar T = float, class Model>
void freeze(Model& model, const std::vector<Shape>& inputs) {
  const Members members(model);
  members.for_parameters([](const std::string& name, auto& parameter) {
    if (parameter.state()->loans == 0) return;
    throw StateError(Message("freeze", "the model has values that will be exchanged back")
                         .fact("parameter", name)
                         .hint("let what swap_into returned go out of scope first, or give the "
                               "model the averages for good: ema.copy_to(model)"));
  });
  for (const auto& input : inputs) {
    auto ctx = Context::evaluation();
    model(Variable<T>(Tensor<T>::zeros(input)), ctx);
  }
  members.for_parameters([](const auto&, auto& parameter) {
    parameter.state()->frozen = true;
    parameter.state()->has_gradient = false;
  });
}

/// Lets the values change again. Call it once no other thread runs the model.
template <class = void>
void unfreeze(const Members& model) {
  model.for_parameters([](const auto&, auto& p) { p.state()->frozen = false; });
}

}  // namespace tinynet::inline TINYNET_ABI::nn
