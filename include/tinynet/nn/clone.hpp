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
    const auto &mine = source.entries()[i], &theirs = target.entries()[i];
    if (mine.name != theirs.name || mine.member.index() != theirs.member.index()) {
      fail("the models differ", mine.name);
    }
    std::visit(
        [&](auto* out) {
          auto* into = std::get<decltype(out)>(theirs.member);
          if (out->shape() != into->shape()) fail("the shapes differ", mine.name);
          if constexpr (requires { out->state(); }) {
            into->state()->name = out->name();
            into->state()->trainable = out->state()->trainable;
            if (out->state()->initialized) into->set(out->value());
          } else {
            std::copy(out->span().begin(), out->span().end(), into->data());
          }
        },
        mine.member);
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
