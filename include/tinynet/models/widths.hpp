#pragma once

#include <vector>

#include <tinynet/core/error.hpp>

namespace tinynet::inline TINYNET_ABI::models {

/// The widths of a model's stages. Throws ShapeError where there is none.
inline const std::vector<int>& require_widths(const char* model, const std::vector<int>& widths) {
  if (widths.empty()) {
    throw ShapeError(Message(model, "there is no stage: the widths are empty")
                         .hint("give the channels of each, {.widths = {32, 64}}"));
  }
  return widths;
}

/// Requires a number of 1 or more; `option` is where it was given.
inline void require_count(const char* model, const char* option, int came) {
  if (came >= 1) return;
  throw ShapeError(Message(model, {option, " has to be 1 or more"}).fact("came", came));
}

}  // namespace tinynet::inline TINYNET_ABI::models
