#pragma once

#include <tinynet/optim/group.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

/// One model's parameters for two optimizers.
template <class P>
struct Split {
  ParameterList<P> matching, rest;  // each in the order of the whole
};

/// Parts a list by a filter. Throws StateError where nothing matches.
///
///     const auto parts = optim::split(nn::parameters(model), optim::matrices());
///     optim::Muon muon(parts.matching, {.lr = 0.02});
///     optim::AdamW adamw(parts.rest, {.lr = 3e-4});
///
/// Step both, or one MultiOptimizer made of them. Clipping goes over the whole list.
template <class P>
Split<P> split(const ParameterList<P>& parameters, const Filter& filter) {
  Split<P> parts;
  for (const auto& state : parameters) {
    const bool matches = filter.matches({state->name, state->kind, state->value.shape()});
    (matches ? parts.matching : parts.rest).append(state);
  }
  if (parts.matching.size() == 0) {
    Message message("split", "no parameter matches");
    message.fact("filter", filter.text).fact("came", {parameters.size(), " parameters"});
    if (parameters.size() > 0) message.fact("there is", parameters[0]->name);
    throw StateError(message.hint("names are those of nn::parameters(model)"));
  }
  return parts;
}

}  // namespace tinynet::inline TINYNET_ABI::optim
