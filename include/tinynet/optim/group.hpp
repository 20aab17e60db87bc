#pragma once

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tinynet/autograd/parameter.hpp>
#include <tinynet/core/function.hpp>
#include <tinynet/core/required.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

/// What a filter may ask about a parameter.
struct ParameterInfo {
  std::string_view name;  // dotted: layer1.0.conv1.weight
  ParameterKind kind;
  const Shape& shape;
};

/// Chooses parameters. by_kind and by_name make the common ones, a lambda any other:
///
///     optim::Filter{"matrices", [](const auto& p) { return p.shape.axes() == 2; }}
struct Filter {
  std::string text;  // for messages
  Function<bool(const ParameterInfo&)> matches;
};

/// Filters combine: optim::matrices() && !optim::by_name("head.*").
inline Filter operator&&(const Filter& a, const Filter& b) {
  return {"(" + a.text + " and " + b.text + ")",
          [a, b](const ParameterInfo& p) { return a.matches(p) && b.matches(p); }};
}
inline Filter operator||(const Filter& a, const Filter& b) {
  return {"(" + a.text + " or " + b.text + ")",
          [a, b](const ParameterInfo& p) { return a.matches(p) || b.matches(p); }};
}
inline Filter operator!(const Filter& a) {
  return {"not " + a.text, [a](const ParameterInfo& p) { return !a.matches(p); }};
}

/// Parameters that are updated by other numbers than the rest. The first group of a list that
/// matches a parameter takes it; what no group takes follows the optimizer's own options.
///
///     .groups = {{.where = optim::by_name("head.*"), .lr_scale = 10},
///                optim::no_weight_decay_for_norm_and_bias()}
struct Group {
  Required<Filter> where;
  double lr_scale = 1;                      // times the learning rate of the step
  std::optional<double> weight_decay = {};  // none: the optimizer's
};

/// All parameters.
template <class = void>
Filter everything() {
  return {"everything", [](const ParameterInfo&) { return true; }};
}

template <class = void>
const char* kind_name(ParameterKind kind) {
  static constexpr const char* names[] = {"weight", "bias", "norm_scale", "norm_shift"};
  return names[static_cast<int>(kind)];
}

/// Parameters of these kinds.
template <class = void>
Filter by_kind(std::initializer_list<ParameterKind> kinds) {
  std::string text = "kind";
  for (const auto kind : kinds) text += std::string(" ") + kind_name(kind);
  return {text, [kinds = std::vector<ParameterKind>(kinds)](const ParameterInfo& p) {
            return std::find(kinds.begin(), kinds.end(), p.kind) != kinds.end();
          }};
}

/// Weights with two axes or more, those of linear layers and convolutions: what Muon is made for.
template <class = void>
Filter matrices() {
  return {"matrices", [](const ParameterInfo& p) {
            return p.kind == ParameterKind::weight && p.shape.axes() >= 2;
          }};
}

namespace detail {
template <class = void>
bool matches_pattern(std::string_view pattern, std::string_view name) {
  if (pattern.empty()) return name.empty();
  if (pattern[0] == '*') {
    return matches_pattern(pattern.substr(1), name) ||
           (!name.empty() && matches_pattern(pattern, name.substr(1)));
  }
  return !name.empty() && name[0] == pattern[0] &&
         matches_pattern(pattern.substr(1), name.substr(1));
}
}  // namespace detail

/// Parameters whose whole name fits a pattern, in which `*` stands for any characters, dots too.
template <class = void>
Filter by_name(const std::string& pattern) {
  return {"name " + pattern,
          [pattern](const ParameterInfo& p) { return detail::matches_pattern(pattern, p.name); }};
}

/// Biases and the scales and shifts of normalisation are left out of weight decay: to shrink them
/// does not make a function simpler.
template <class = void>
Group no_weight_decay_for_norm_and_bias() {
  return {
      .where = by_kind({ParameterKind::bias, ParameterKind::norm_scale, ParameterKind::norm_shift}),
      .weight_decay = 0};
}

}  // namespace tinynet::inline TINYNET_ABI::optim
