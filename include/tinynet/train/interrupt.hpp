#pragma once

#include <csignal>

#include <tinynet/core/config.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// While it lives, Ctrl-C (SIGINT) and SIGTERM ask the training to end instead of ending the
/// process, so that the loop can finish its step and write a checkpoint:
///
///     const train::Interrupt interrupt;
///     for (const auto& batch : ...) {
///       ...
///       if (interrupt.requested()) { checkpoint.save(...); return train::Interrupt::exit_status; }
///     }
///
/// The second signal of a kind ends the process at once. Destroying it brings the old handlers back.
class Interrupt {
 public:
  static constexpr int exit_status = 130;  // what shells report for a program ended by Ctrl-C

  Interrupt() {
    requested_ = 0;
    struct sigaction action = {};
    action.sa_handler = [](int) { requested_ = 1; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    ::sigaction(SIGINT, &action, &before_int_);
    ::sigaction(SIGTERM, &action, &before_term_);
  }
  ~Interrupt() {
    ::sigaction(SIGINT, &before_int_, nullptr);
    ::sigaction(SIGTERM, &before_term_, nullptr);
  }
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  /// Whether a signal has come.
  bool requested() const { return requested_ != 0; }

 private:
  inline static volatile std::sig_atomic_t requested_ = 0;
  struct sigaction before_int_ = {}, before_term_ = {};
};

}  // namespace tinynet::inline TINYNET_ABI::train
