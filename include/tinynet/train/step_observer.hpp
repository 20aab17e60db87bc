#pragma once

#include <tinynet/autograd/context.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// An observer that sees the rest of a training step as well: what a loop tells of itself.
struct StepObserver : Observer {
  /// What a Context takes: this, or nothing where nobody wants to know.
  virtual Observer* observer() { return this; }
  /// What has passed since the last call of anything here is of no interest: an evaluation, say.
  virtual void restart() = 0;
  /// What has passed since the last event was this: "load", "update".
  virtual void lap(const char* name) = 0;
  virtual void end_step() = 0;
};

}  // namespace tinynet::inline TINYNET_ABI::train
