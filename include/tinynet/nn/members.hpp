#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <tinynet/autograd/parameter.hpp>
#include <tinynet/nn/channel_map.hpp>

/// What a model consists of. Everything that must know all parameters follows from one list per
/// layer: names, first values, counting, copying, saving, weight-decay groups.
namespace tinynet::inline TINYNET_ABI::nn {

class Members;

/// A layer that has something to list: `void members(Members& m) { m("weight", weight); }`.
template <class L>
concept HasMembers = requires(L& layer, Members& m) {
  layer.members(m);
};

/// Visits a model's parameters, buffers (running statistics) and children under dotted names,
/// PyTorch's: `layer1.0.conv1.weight`. One concrete class, so that it passes through type erasure.
class Members {
 public:
  struct Entry {
    std::string name;
    std::variant<Parameter<float>*, Parameter<double>*, Tensor<float>*, Tensor<double>*> member;
  };

  /// Implicit, so that functions of models take `const Members&`, are no templates and are compiled
  /// once.
  template <HasMembers Model>
  Members(Model& model) {
    list(model);
  }
  [[gnu::noinline]] ~Members() {}

  template <class P>
  [[gnu::noinline]] void operator()(std::string_view name, Parameter<P>& parameter) {
    if (parameter) entries_.push_back({path(name), &parameter});
  }
  template <class P>
  [[gnu::noinline]] void operator()(std::string_view name, Tensor<P>& buffer) {
    entries_.push_back({path(name), &buffer});
  }
  /// Layers without anything to list (an activation) are passed over.
  template <class Child>
  void operator()(std::string_view name, Child& child) {
    if constexpr (HasMembers<Child>) {
      const auto length = enter(name);
      list(child);
      leave(length);
    }
  }
  /// What a layer lists, under its own name; containers call it for what they hold.
  template <class L>
  void list(L& layer) {
    if constexpr (MapsChannels<L>) {
      const auto map = [](const void* object) {
        return static_cast<const L*>(object)->channel_map();
      };
      add_affine({.weight = layer.weight.value().data(),
                  .layer = &layer,
                  .map = map,
                  .folded = &layer.folded});
    } else if constexpr (AbsorbsChannelMap<L>) {
      add_affine(layer.channel_weights());
    }
    layer.members(*this);
  }

  const List<Entry>& entries() const { return entries_; }
  /// Layers that are affine maps of channels or take such maps in, under their dotted names.
  const List<AffineLayer>& affine_layers() const { return affine_; }

  /// Calls `f(name, parameter)` for each parameter, of either type.
  template <class F>
  void for_parameters(F f) const {
    for (const auto& [name, member] : entries_) {
      if (const auto* single = std::get_if<Parameter<float>*>(&member)) f(name, **single);
      if (const auto* twice = std::get_if<Parameter<double>*>(&member)) f(name, **twice);
    }
  }
  /// Calls `f(name, tensor)` for each buffer, of either type.
  template <class F>
  void for_buffers(F f) const {
    for (const auto& [name, member] : entries_) {
      if (const auto* single = std::get_if<Tensor<float>*>(&member)) f(name, **single);
      if (const auto* twice = std::get_if<Tensor<double>*>(&member)) f(name, **twice);
    }
  }

 private:
  // Not inlined: every layer of every type lists its parts.
  [[gnu::noinline]] std::string path(std::string_view name) const {
    return Text({prefix_, name}).string();
  }
  [[gnu::noinline]] std::size_t enter(std::string_view name) {
    const auto length = prefix_.size();
    prefix_ = Text({prefix_, name, "."}).string();
    return length;
  }
  [[gnu::noinline]] void leave(std::size_t length) { prefix_.resize(length); }
  [[gnu::noinline]] void add_affine(AffineLayer layer) {
    layer.name = layer_of(prefix_);
    affine_.push_back(std::move(layer));
  }
  void add_affine(const ChannelWeights<float>& to) {
    add_affine({.weight = to.weight->value().data(), .single = to});
  }
  void add_affine(const ChannelWeights<double>& to) {
    add_affine({.weight = to.weight->value().data(), .twice = to});
  }

  std::string prefix_;
  List<Entry> entries_;
  List<AffineLayer> affine_;
};

/// The parameters of a model, in the order of their names' listing. `P` is double for networks of
/// double, float for all others. Throws StateError where a parameter is of the other type.
template <class P = float>
ParameterList<P> parameters(const Members& members) {
  ParameterList<P> list;
  members.for_parameters([&](const std::string& name, auto& parameter) {
    if constexpr (std::is_same_v<decltype(parameter), Parameter<P>&>) {
      if (parameter.name().empty()) parameter.state()->name = name;
      list.append(parameter.state());
    } else {
      throw StateError(Message("parameters", "the model has parameters of another type")
                           .fact("asked for", type_name<P>())
                           .fact("parameter", name)
                           .hint("networks of double: nn::parameters<double>(model)"));
    }
  });
  return list;
}

/// The buffers of a model, in the order of their names' listing: handles, which share the model's
/// storage. For optim::Lookahead. Those of the other type are left out.
template <class P = float>
std::vector<Tensor<P>> buffers(const Members& members) {
  std::vector<Tensor<P>> list;
  members.for_buffers([&](const std::string&, auto& tensor) {
    if constexpr (std::is_same_v<decltype(tensor), Tensor<P>&>) list.push_back(tensor);
  });
  return list;
}

/// Throws StateError where a parameter is frozen: for those who are about to change several.
inline void require_unfrozen(const Members& members) {
  members.for_parameters([](const auto&, auto& p) { p.state()->require_unfrozen(); });
}

/// Names all parameters and gives each its first value, drawn from (seed, name): the same for every
/// model in which a layer has that name and shape, whatever was built before it.
inline void initialize(const Members& members, std::uint64_t seed) {
  require_unfrozen(members);
  members.for_parameters([&](const std::string& name, auto& parameter) {
    auto& state = *parameter.state();
    state.touch();
    state.name = name;
    state.initialize(state.value, random::Key{seed}.fold(name));
    state.initialized = true;
  });
}

/// The number of values in all parameters; frozen ones count too.
template <class = void>
std::int64_t count_parameters(const Members& members) {
  std::int64_t total = 0;
  members.for_parameters([&](const auto&, auto& p) { total += p.value().size(); });
  return total;
}

/// What those values take in memory or in a file, in bytes (they are float or double).
template <class = void>
std::int64_t parameter_bytes(const Members& members) {
  std::int64_t total = 0;
  members.for_parameters([&](const auto&, auto& p) {
    total += p.value().size() * static_cast<std::int64_t>(sizeof(*p.value().data()));
  });
  return total;
}

}  // namespace tinynet::inline TINYNET_ABI::nn
