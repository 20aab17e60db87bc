#pragma once

#include <algorithm>

#include <tinynet/nn/members.hpp>

namespace tinynet::inline TINYNET_ABI::nn {

/// Throws StateError from `who` unless two models list the same names, types and shapes.
inline void require_alike(const char* who, const Members& from, const Members& to) {
  const auto fail = [who](const char* what, const std::string& name) {
    throw StateError(Message(who, what).fact("member", name));
  };
  if (from.entries().size() != to.entries().size()) {
    throw StateError(Message(who, "the models have different numbers of members")
                         .fact("from", from.entries().size())
                         .fact("to", to.entries().size())
                         .hint("copy a model before its batch normalisation is folded"));
  }
  for (std::size_t i = 0; i < from.entries().size(); ++i) {
    const auto &source = from.entries()[i], &target = to.entries()[i];
    if (source.name != target.name || source.member.index() != target.member.index()) {
      fail("the models differ", source.name);
    }
    const auto shape = [](const auto* member) { return member->shape(); };
    if (std::visit(shape, source.member) != std::visit(shape, target.member)) {
      fail("the shapes differ", source.name);
    }
  }
}

/// Calls `f(mine, theirs)` for each parameter or buffer of two models that list the same names,
/// types and shapes; StateError from `who` says where they differ, before the first call.
template <class F>
void for_each_pair(const char* who, const Members& from, const Members& to, const F& f) {
  require_alike(who, from, to);
  for (std::size_t i = 0; i < from.entries().size(); ++i) {
    const auto& target = to.entries()[i].member;
    std::visit([&](auto* mine) { f(*mine, *std::get<decltype(mine)>(target)); },
               from.entries()[i].member);
  }
}

/// Copies the values of all parameters and buffers of one model into another that lists the same
/// names and shapes; StateError says where they differ, and nothing is copied then.
template <class = void>
void copy_values(const Members& from, const Members& to) {
  require_unfrozen(to);
  for_each_pair("copy_values", from, to, [](const auto& mine, auto& theirs) {
    if constexpr (requires { mine.state(); }) {
      theirs.state()->name = mine.name();
      theirs.state()->trainable = mine.state()->trainable;
      if (mine.state()->initialized) theirs.set(mine.value());
    } else {
      std::copy(mine.span().begin(), mine.span().end(), theirs.data());
    }
  });
}

/// A layer or model built as another was, without its values: by its own `remake() const`, from its
/// `options`, or by its default constructor, whichever it has. What lists no members is copied.
template <class Model>
Model remake(const Model& model) {
  if constexpr (!HasMembers<Model>) {
    return model;
  } else if constexpr (requires { model.remake(); }) {
    return model.remake();
  } else if constexpr (requires { Model(model.options); }) {
    return Model(model.options);
  } else {
    static_assert(std::is_default_constructible_v<Model>,
                  "nn::clone needs a member remake(), a member options that the model can be built "
                  "from, or a default constructor");
    return Model();
  }
}

/// A second model with the same values and storage of its own. Layers are move-only, so that a copy
/// of megabytes is always visible.
template <class Model>
Model clone(const Model& model) {
  auto copy = remake(model);
  // `members` is not const, for it shows what may be changed; nothing is changed here.
  if constexpr (HasMembers<Model>) copy_values(const_cast<Model&>(model), copy);
  return copy;
}

}  // namespace tinynet::inline TINYNET_ABI::nn
