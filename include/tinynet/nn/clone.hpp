#pragma once

#include <algorithm>

#include <tinynet/nn/members.hpp>

namespace tinynet::inline TINYNET_ABI::nn {

/// Copies the values of all parameters and buffers of `from` into those of `to`, which must list the
/// same names and shapes.
template <HasMembers Model>
void copy_values(Model& from, Model& to) {
  const Members source(from), target(to);
  const auto fail = [](const std::string& what, const std::string& name) {
    throw StateError(Message("copy_values", what).fact("member", name));
  };
  if (source.entries().size() != target.entries().size()) {
    fail("the models have different numbers of members", "");
  }
  for (std::size_t i = 0; i < source.entries().size(); ++i) {
    const auto& [name, member] = source.entries()[i];
    const auto& [other_name, other] = target.entries()[i];
    if (name != other_name || member.index() != other.index()) fail("the models differ", name);
    std::visit(
        [&](auto* mine) {
          auto* theirs = std::get<decltype(mine)>(other);
          if (mine->shape() != theirs->shape()) fail("the shapes differ", name);
          if constexpr (requires { mine->state(); }) {
            if (!mine->state()->initialized) return;
            theirs->set(mine->value());
            theirs->state()->name = mine->name();
            theirs->state()->trainable = mine->state()->trainable;
          } else {
            std::copy(mine->span().begin(), mine->span().end(), theirs->data());
          }
        },
        member);
  }
}

/// A second model with the same values and storage of its own. Layers are move-only, so that a copy
/// of megabytes is always visible. A type is built anew by its own `clone() const`, from its
/// `options`, or by its default constructor, whichever it has.
template <class Model>
Model clone(Model& model) {
  if constexpr (requires { { model.clone() } -> std::same_as<Model>; }) {
    return model.clone();
  } else if constexpr (!HasMembers<Model>) {
    return model;
  } else {
    auto copy = [&] {
      if constexpr (requires { Model(model.options); }) {
        return Model(model.options);
      } else {
        static_assert(std::is_default_constructible_v<Model>,
                      "nn::clone needs a member clone(), a member options that the model can be "
                      "built from, or a default constructor");
        return Model();
      }
    }();
    copy_values(model, copy);
    return copy;
  }
}

}  // namespace tinynet::inline TINYNET_ABI::nn
