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

}  // namespace tinynet::inline TINYNET_ABI::models
