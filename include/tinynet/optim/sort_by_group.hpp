#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <tinynet/optim/group.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

/// The parameters that an optimizer trains, group after group, so that a group is one stretch of a
/// flat buffer.
template <class P>
struct SortedParameters {
  ParameterList<P> parameters;
  List<std::size_t> group_of;  // of each parameter, an index into the groups, or their number
};

namespace detail {

template <class P>
void require_trainable(const std::string& who, const ParameterList<P>& parameters) {
  parameters.require_initialized(who);
  bool any = false;
  for (auto state = parameters.begin(); state != parameters.end(); ++state) {
    any = any || (*state)->trainable;
    if (std::find(parameters.begin(), state, *state) == state) continue;
    throw StateError(Message(who, "the same parameter came twice")
                         .fact("parameter", (*state)->name)
                         .hint("list each parameter once"));
  }
  if (any) return;
  Message message(who, "there is no parameter to train");
  if (parameters.size() == 0) throw StateError(message.hint("pass nn::parameters(model)"));
  message.fact("came", {parameters.size(), " parameters, all frozen"});
  throw StateError(message.hint("set `trainable` of some, or make the optimizer later"));
}

template <class P>
[[noreturn]] void throw_empty_group(const std::string& who, const Filter& filter,
                                    const ParameterList<P>& parameters) {
  Message message(who, "a group has no parameters");
  message.fact("group", filter.text);
  for (std::size_t i = 0; i < parameters.size() && i < 3; ++i) {
    message.fact("there is", parameters[i]->name);
  }
  if (parameters.size() > 3) {
    message.fact("there is", {parameters.size() - 3, " more"});
  }
  message.hint("a parameter is in the first group that matches it; frozen ones are in none");
  throw StateError(message);
}

}  // namespace detail

/// Gives each parameter that is not frozen to the first of `groups` that matches it, and what none
/// matches to one more behind them. `who` stands in errors: StateError if there is no parameter to
/// train, one without values, one given twice, or an empty group.
template <class P>
SortedParameters<P> sort_by_group(const std::string& who, const ParameterList<P>& parameters,
                                  const std::vector<Group>& groups) {
  detail::require_trainable(who, parameters);
  const auto filter = [&](std::size_t g) -> const Filter& { return groups[g].where; };
  List<std::size_t> chosen;  // of each parameter; two past the groups for frozen ones
  for (const auto& state : parameters) {
    std::size_t g = state->trainable ? 0 : groups.size() + 1;
    while (g < groups.size() &&
           !filter(g).matches({state->name, state->kind, state->value.shape()})) {
      ++g;
    }
    chosen.push_back(g);
  }
  SortedParameters<P> sorted;
  for (std::size_t g = 0; g <= groups.size(); ++g) {
    const auto before = sorted.group_of.size();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (chosen[i] != g) continue;
      sorted.parameters.append(parameters[i]);
      sorted.group_of.push_back(g);
    }
    if (sorted.group_of.size() == before && g < groups.size()) {
      detail::throw_empty_group(who, filter(g), parameters);
    }
  }
  return sorted;
}

}  // namespace tinynet::inline TINYNET_ABI::optim
