#pragma once

#include <cstddef>
#include <span>

#include <tinynet/autograd/parameter.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

/// Parameters [first, last) of a list whose values lie side by side, and their gradients too: one
/// pass of a kernel serves them all.
template <class P>
struct Run {
  std::size_t first, last;
  std::span<P> values, gradients;
};

/// Calls `f(run)` for the longest runs of trainable parameters that have a gradient. `joins(i)`
/// says whether parameter i may be in one run with the one before it. Looks at where the values lie
/// now: right, if slower, where somebody has moved them since `ParameterList::flatten`.
template <class P, class Joins, class F>
void for_each_run(const ParameterList<P>& list, const Joins& joins, const F& f) {
  const auto takes_part = [&](std::size_t i) {
    return list[i]->trainable && list[i]->has_gradient;
  };
  const auto follows = [](const Tensor<P>& next, const Tensor<P>& before) {
    return next.data() == before.data() + before.size();
  };
  for (std::size_t first = 0, last; first < list.size(); first = last) {
    last = first + 1;
    if (!takes_part(first)) continue;
    auto elements = list[first]->value.span().size();
    for (; last < list.size() && takes_part(last) && joins(last); ++last) {
      if (!follows(list[last]->value, list[last - 1]->value)) break;
      if (!follows(list[last]->gradient, list[last - 1]->gradient)) break;
      elements += list[last]->value.span().size();
    }
    f(Run<P>{first, last, {list[first]->value.data(), elements},
             {list[first]->gradient.data(), elements}});
  }
}

/// Calls `f(values, offset)` for the longest stretches of parameters whose values lie side by side,
/// trained or not; `offset` is what the list holds before them, in elements.
template <class P, class F>
void for_each_stretch(const ParameterList<P>& list, const F& f) {
  std::size_t offset = 0;
  for (std::size_t first = 0, last; first < list.size(); first = last) {
    auto* const begin = list[first]->value.data();
    std::size_t elements = 0;
    for (last = first; last < list.size() && list[last]->value.data() == begin + elements; ++last) {
      elements += list[last]->value.span().size();
    }
    f(std::span<P>(begin, elements), offset);
    offset += elements;
  }
}

}  // namespace tinynet::inline TINYNET_ABI::optim
