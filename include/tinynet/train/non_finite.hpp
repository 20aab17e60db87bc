#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <tinynet/autograd/parameter.hpp>
#include <tinynet/autograd/variable.hpp>
#include <tinynet/kernels/reduce.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// The place where a NaN or an infinity first appears.
struct NonFinite {
  std::string_view what;  // "images", "parameter" or "layer"
  std::string where;      // the dotted name of the parameter or layer
  std::string_view note;  // of a layer: its op
};

namespace detail {

class NonFiniteObserver final : public Observer {
 public:
  void see(const Observation& seen) override {
    if (first || seen.all_finite(seen.value)) return;
    first = NonFinite{"layer", seen.path.empty() ? "(the model itself)" : seen.path, seen.op.name};
  }
  std::optional<NonFinite> first;
};

}  // namespace detail

/// Looks at the images, at the parameters, and then at the output of each op of a training pass
/// with that key: it draws the dropout masks of the pass that went wrong, and leaves the running
/// statistics of batch norm alone. Where it finds something it looks again with the ops one by one, as those
/// that layers join or defer show no output of their own.
template <class Model, class P, Scalar T>
[[gnu::noinline]] std::optional<NonFinite> find_non_finite(Model& model,
                                                           const ParameterList<P>& parameters,
                                                           const Tensor<T>& images,
                                                           random::Key key) {
  if (!kernels::all_finite<T>(images.span())) return NonFinite{"images", "of this batch", ""};
  for (const auto& state : parameters) {
    const Tensor<P>& value = state->value;
    if (kernels::all_finite<P>(value.span())) continue;
    return NonFinite{"parameter", state->name, "since an earlier update"};
  }
  std::optional<NonFinite> found;
  for (const bool fuse : {true, false}) {
    detail::NonFiniteObserver observer;
    Context ctx{.mode = Mode::training, .key = key, .observer = &observer, .recompute = true};
    ctx.fuse = fuse;
    model(Variable<T>(images), ctx);
    if (!observer.first) break;
    found = observer.first;
  }
  return found;
}

/// Throws the StateError of a loss that is not finite.
[[noreturn, gnu::cold]] inline void throw_non_finite(double loss, std::int64_t step,
                                                     std::int64_t epoch, std::int64_t batch,
                                                     const std::optional<NonFinite>& found) {
  Message message("fit", std::isnan(loss) ? "the loss is NaN" : "the loss is infinite");
  message.fact("step", step + 1, {"epoch ", epoch + 1, ", batch ", batch + 1});
  if (found) message.fact(found->what.data(), found->where, found->note);
  throw StateError(message.hint("lower the learning rate, or let it warm up"));
}

}  // namespace tinynet::inline TINYNET_ABI::train
