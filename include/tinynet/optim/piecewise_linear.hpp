#pragma once

#include <algorithm>
#include <vector>

#include <tinynet/optim/schedule.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

struct SchedulePoint {
  std::int64_t step = 0;
  double lr = 0;
};

/// Straight lines through points in the order of their steps, flat before the first and after the
/// last: NumPy's interp. The triangle of airbench94, up to 23 % of 476 steps and down to 7 %:
///
///     optim::piecewise_linear({{0, 0.2 * lr}, {109, lr}, {476, 0.07 * lr}})
template <class = void>
Schedule piecewise_linear(const std::vector<SchedulePoint>& points) {
  if (points.empty()) throw StateError(Message("piecewise_linear", "there is no point"));
  for (std::size_t i = 0; i < points.size(); ++i) {
    detail::require_lr("piecewise_linear", {"lr of point ", i}, points[i].lr);
    if (i == 0 || points[i].step > points[i - 1].step) continue;
    throw StateError(Message("piecewise_linear", "the points are not in the order of their steps")
                         .fact("point", i, {"step ", points[i].step})
                         .fact("before it", {"step ", points[i - 1].step}));
  }
  return [points](std::int64_t step) {
    const auto next = std::upper_bound(
        points.begin(), points.end(), step,
        [](std::int64_t at, const SchedulePoint& point) { return at < point.step; });
    if (next == points.begin()) return points.front().lr;
    if (next == points.end()) return points.back().lr;
    const auto& last = *(next - 1);
    return detail::line_between(last.lr, next->lr,
                                detail::fraction(step - last.step, next->step - last.step));
  };
}

}  // namespace tinynet::inline TINYNET_ABI::optim
