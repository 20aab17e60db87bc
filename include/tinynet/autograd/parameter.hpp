#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include <tinynet/core/function.hpp>
#include <tinynet/core/list.hpp>
#include <tinynet/tensor/tensor.hpp>

namespace tinynet::inline TINYNET_ABI {

/// What a parameter is for: weight decay and reports go by it.
enum class ParameterKind { weight, bias, norm_scale, norm_shift };

/// The layer that a parameter belongs to: its dotted name without the last part.
inline std::string layer_of(const std::string& parameter) {
  const auto dot = parameter.rfind('.');
  return dot == std::string::npos ? "" : parameter.substr(0, dot);
}

/// Fills a tensor with first values; the key is derived from the seed and the parameter's name.
template <class P>
using Initializer = Function<void(Tensor<P>&, random::Key)>;

/// What a Parameter holds. Shared by the layer, the optimizer and the tape, so that a model may be
/// moved while both keep working; `value` and `gradient` become views into flat buffers
/// (`ParameterList::flatten`).
template <class P>
struct ParameterState {
  std::string name;  // dotted, PyTorch's: layer1.0.conv1.weight
  ParameterKind kind = ParameterKind::weight;
  Tensor<P> value, gradient;
  Initializer<P> initialize;
  bool initialized = false;
  bool trainable = true;
  bool frozen = false;        // several threads may be reading: no gradient, and no other values
  bool has_gradient = false;  // whether `gradient` holds something that the next one adds to
  int loans = 0;  // who will exchange the values back; nn::freeze refuses them meanwhile
  std::uint64_t version = 0;  // grows whenever `value` changes

  /// Call where `value` is about to change: packed forms are made anew. Throws StateError where the
  /// parameter is frozen.
  void touch() {
    require_unfrozen();
    ++version;
  }
  /// Throws StateError where the parameter is frozen.
  [[gnu::noinline]] void require_unfrozen() const {
    if (frozen) {
      throw StateError(Message("Parameter", "the values of a frozen model do not change")
                           .fact("parameter", name)
                           .hint("call nn::unfreeze(model) once no other thread runs it"));
    }
  }

  /// The weights in the form that a kernel wants, made anew when the value has changed. `kernel` and
  /// `variant` name the form. Safe from several threads at once while the values stay.
  template <class Fill>
  const std::byte* packed(const void* kernel, std::uint64_t variant, std::int64_t bytes,
                          Fill fill) {
    const std::lock_guard lock(packing_);
    for (auto& entry : packed_) {
      if (entry.kernel != kernel || entry.variant != variant || entry.bytes != bytes) continue;
      if (entry.version != version) fill(entry.storage.data());
      entry.version = version;
      return entry.storage.data();
    }
    packed_.push_back({kernel, variant, bytes, version, Buffer(static_cast<std::size_t>(bytes))});
    fill(packed_.back().storage.data());
    return packed_.back().storage.data();
  }

 private:
  struct Packed {
    const void* kernel;
    std::uint64_t variant;
    std::int64_t bytes;
    std::uint64_t version;
    Buffer storage;
  };
  std::mutex packing_;
  List<Packed> packed_;
};

/// Weights that are trained: a value, its gradient, and how it begins. `P` is param_t of the network's
/// scalar. Move-only, like the layers that hold it; has no values until `nn::initialize` or a file
/// gives them.
template <class P>
class Parameter {
 public:
  Parameter() = default;  // absent: a layer without bias
  [[gnu::noinline]] Parameter(const Shape& shape, ParameterKind kind, Initializer<P> initialize)
      : state_(std::make_shared<ParameterState<P>>()) {
    state_->kind = kind;
    state_->value = Tensor<P>(shape);
    state_->gradient = Tensor<P>(shape);
    state_->initialize = std::move(initialize);
  }
  [[gnu::noinline]] Parameter(Parameter&&) noexcept = default;
  [[gnu::noinline]] Parameter& operator=(Parameter&&) noexcept = default;
  [[gnu::noinline]] ~Parameter() {}

  explicit operator bool() const { return state_ != nullptr; }
  const std::shared_ptr<ParameterState<P>>& state() const { return state_; }
  const std::string& name() const { return state_->name; }
  const Shape& shape() const { return state_->value.shape(); }
  const Tensor<P>& value() const { return state_->value; }
  const Tensor<P>& gradient() const { return state_->gradient; }

  /// Replaces the values, which must have the parameter's shape.
  void set(const Tensor<P>& value) {
    if (value.shape() != shape()) {
      throw ShapeError(Message("Parameter::set", "the values have another shape")
                           .fact("expected", shape(), name())
                           .fact("came", value.shape()));
    }
    state_->touch();
    std::copy(value.span().begin(), value.span().end(), state_->value.data());
    state_->initialized = true;
  }

 private:
  std::shared_ptr<ParameterState<P>> state_;
};

/// The parameters of a model, as an optimizer wants them.
template <class P>
class ParameterList {
 public:
  using State = ParameterState<P>;

  void append(std::shared_ptr<State> state) { states_.push_back(std::move(state)); }
  auto begin() const { return states_.begin(); }
  auto end() const { return states_.end(); }
  std::size_t size() const { return states_.size(); }
  const std::shared_ptr<State>& operator[](std::size_t i) const { return states_[i]; }

  std::int64_t elements() const {
    std::int64_t total = 0;
    for (const auto& state : states_) total += state->value.size();
    return total;
  }

  /// Moves all values into one buffer, in the order of this list, and all gradients into another, so
  /// that an optimizer updates them in one pass. Does nothing where they lie so already.
  void flatten() const {
    if (is_flat()) return;
    for (const auto& state : states_)
      state->require_unfrozen();  // others read where the values lie
    Tensor<P> values({elements()}), gradients({elements()});
    std::int64_t at = 0;
    for (const auto& state : states_) {
      const auto move_into = [&](Tensor<P>& from, Tensor<P>& flat) {
        Tensor<P> view(flat.buffer(), at, from.shape());
        std::copy(from.span().begin(), from.span().end(), view.data());
        from = view;
      };
      move_into(state->value, values);
      move_into(state->gradient, gradients);
      at += state->value.size();
    }
    trim_memory();  // nobody asks again for storage of the sizes that the parameters had
  }

  /// Forgets the gradients; the next backward pass overwrites them. Touches no memory.
  void zero_grad() const {
    for (const auto& state : states_) state->has_gradient = false;
  }

  /// Throws StateError where a parameter has no values yet.
  void require_initialized(const std::string& who) const {
    for (const auto& state : states_) {
      if (!state->initialized) throw_uninitialized(who, state->name);
    }
  }
  [[noreturn]] static void throw_uninitialized(const std::string& who, const std::string& name) {
    throw StateError(Message(who, "a parameter has no values yet")
                         .fact("parameter", name.empty() ? "(not named yet)" : name)
                         .hint("call nn::initialize(model, seed) or load a file first"));
  }

 private:
  bool is_flat() const {
    for (std::size_t i = 1; i < states_.size(); ++i) {
      const auto &last = *states_[i - 1], &next = *states_[i];
      if (next.value.buffer().data() != states_[0]->value.buffer().data() ||
          next.value.data() != last.value.data() + last.value.size() ||
          next.gradient.data() != last.gradient.data() + last.gradient.size()) {
        return false;
      }
    }
    return true;
  }

  List<std::shared_ptr<State>> states_;
};

}  // namespace tinynet::inline TINYNET_ABI
