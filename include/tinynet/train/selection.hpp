#pragma once

#include <cstddef>
#include <string>

#include <tinynet/core/error.hpp>
#include <tinynet/train/history.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// Which epoch's model is kept: the last one's, or the one that did best on images held out of the
/// training set, or on the test images. The last is there to repeat what others did: an accuracy on
/// images that chose the model is too high.
enum class Selection { last, validation, test };

template <class = void>
const char* to_string(Selection selection) {
  constexpr const char* names[] = {"last", "validation", "test"};
  return names[static_cast<int>(selection)];
}

/// The selection of that name. Throws StateError for any other.
template <class = void>
Selection selection_of(const std::string& name) {
  for (const auto one : {Selection::last, Selection::validation, Selection::test}) {
    if (name == to_string(one)) return one;
  }
  throw StateError(Message("selection", "there is no such selection")
                       .fact("expected", "last, validation or test")
                       .fact("came", name));
}

/// What must be said beside an accuracy that was come by in that way; empty where nothing must.
template <class = void>
std::string selection_note(Selection selection) {
  if (selection != Selection::test) return "";
  return "the epoch was chosen by its accuracy on the test images, so that accuracy is too high: "
         "choose by images held out of the training set (validation)";
}

/// The place in the history of the epoch with the best accuracy on the validation images, the first
/// of several; the last epoch where there was no validation. Throws StateError without epochs.
template <class = void>
std::size_t best_epoch(const History& history) {
  if (history.empty()) throw StateError(Message("best_epoch", "no epoch was trained"));
  std::size_t best = history.size() - 1;
  double highest = -1;
  for (std::size_t i = 0; i < history.size(); ++i) {
    if (!history[i].validation || !(history[i].validation->accuracy > highest)) continue;
    best = i;
    highest = history[i].validation->accuracy;
  }
  return best;
}

}  // namespace tinynet::inline TINYNET_ABI::train
