#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include <tinynet/core/function.hpp>
#include <tinynet/core/parallel.hpp>

namespace tinynet::inline TINYNET_ABI::data {

/// Items 0, 1, ..., count - 1, one after another in a fixed ring of slots. A thread fills them ahead of
/// the consumer; in a ring of one there is no thread, and `next` fills the item itself. What the items
/// are only `fill` knows, so that this is compiled once.
///
/// The thread sleeps while the ring is full, and its `parallel_for` is serial: the cores that a
/// training step leaves free are all it may use. Destroying the object at any time stops it.
class Prefetch {
 public:
  using Fill = Function<void(std::size_t slot, std::int64_t item)>;
  static constexpr auto none = static_cast<std::size_t>(-1);

  Prefetch(std::size_t slots, std::int64_t count, Fill fill)
      : fill_(std::move(fill)), count_(count), slots_(slots) {
    if (slots_ > 1) thread_ = std::thread([this] { produce(); });
  }
  ~Prefetch() {
    if (!thread_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Prefetch(const Prefetch&) = delete;
  Prefetch& operator=(const Prefetch&) = delete;

  /// The slot of the next item, or `none` after the last. It is the consumer's until the next call. An
  /// exception of `fill` is thrown here, once the items before it have been consumed.
  [[gnu::noinline]] std::size_t next() {
    if (taken_ == count_) return none;
    if (!thread_.joinable()) {
      fill_(0, taken_++);
      return 0;
    }
    std::unique_lock lock(mutex_);
    returned_ = taken_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return filled_ > taken_ || error_; });
    if (filled_ == taken_) std::rethrow_exception(error_);
    return slot(taken_++);
  }

 private:
  std::size_t slot(std::int64_t index) const { return static_cast<std::size_t>(index) % slots_; }

  void produce() {
    const SerialSection serial;
    for (std::int64_t index = 0; index < count_; ++index) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] {
          return stopped_ || index - returned_ < static_cast<std::int64_t>(slots_);
        });
        if (stopped_) return;
      }
      std::exception_ptr error;
      try {
        fill_(slot(index), index);
      } catch (...) {
        error = std::current_exception();
      }
      {
        const std::lock_guard lock(mutex_);
        error_ = error;
        if (!error) filled_ = index + 1;
      }
      changed_.notify_all();
      if (error) return;
    }
  }

  const Fill fill_;
  const std::int64_t count_;
  const std::size_t slots_;
  std::int64_t taken_ = 0;  // by the consumer; only it knows

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::int64_t filled_ = 0;    // items made so far
  std::int64_t returned_ = 0;  // items whose storage may be used again
  bool stopped_ = false;
  std::exception_ptr error_;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace tinynet::inline TINYNET_ABI::data
