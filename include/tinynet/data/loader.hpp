#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <tinynet/core/list.hpp>
#include <tinynet/data/batch.hpp>
#include <tinynet/data/permutation.hpp>
#include <tinynet/data/prefetch.hpp>

namespace tinynet::inline TINYNET_ABI::data {

struct LoaderOptions {
  std::int64_t batch_size = 128;
  bool shuffle = true;     // a new order each epoch
  bool drop_last = false;  // leaves out a last batch that is not full
  Transform augment = {};  // none: images as they are
  /// Of the images in a batch, which are resized after augmentation: small ones make the first epochs of
  /// a training cheap. None: their own.
  std::optional<ImageSize> size = {};
  Mix mix = {};                  // of the images of a batch (data/mix.hpp); none: not mixed
  Normalization normalize = {};  // none: bytes scaled to [0, 1]
  /// Copies of each sample in its batch, each augmented by itself (Fort, Brock, Pascanu, De, Smith
  /// 2021, arXiv 2105.13343). A batch grows with them, to views * batch_size images, or it stays as
  /// large as it was and takes fewer samples, batch_size / views.
  std::int64_t views = 1;
  bool growing_batch = true;
  std::uint64_t seed = 1;  // of order, augmentation and mixing
  /// Batches that a thread makes ahead; 0: no thread, the training threads make them. Left out: 2
  /// where a core is to spare, else 0.
  std::optional<int> prefetch = {};
};

namespace detail {

/// How a loader cuts its data set: numbers, so that what follows from them is compiled once, and an
/// epoch copies nothing else.
class BatchPlan {
 public:
  BatchPlan(const Dataset& dataset, const LoaderOptions& o)
      : size_(dataset.size()),
        views_(o.views),
        samples_in_batch_(o.growing_batch || o.views < 1 ? o.batch_size : o.batch_size / o.views),
        shuffle_(o.shuffle),
        drop_last_(o.drop_last),
        seed_(o.seed) {
    check(dataset, o);
    // A thread beside a full team of OpenMP threads would stall the step at the team's barriers, which
    // spin: there the team makes each batch itself.
    const bool core_to_spare = num_threads() < int(std::thread::hardware_concurrency());
    slots_ = static_cast<std::size_t>(o.prefetch.value_or(core_to_spare ? 2 : 0) + 1);
  }

  std::int64_t samples_in_batch() const { return std::min(samples_in_batch_, size_); }
  [[gnu::noinline]] std::int64_t batches() const {
    return size_ / samples_in_batch_ + (!drop_last_ && size_ % samples_in_batch_ ? 1 : 0);
  }
  std::int64_t images() const { return std::min(size_, batches() * samples_in_batch_) * views_; }
  /// The batches in memory at a time.
  std::size_t slots() const { return slots_; }
  Tensor<std::int64_t> order(std::int64_t epoch) const {
    Tensor<std::int64_t> order({size_});
    if (shuffle_) {
      const auto key = random::Key{seed_}.fold("order");
      permutation(order.span(), key.fold(static_cast<std::uint64_t>(epoch)));
    } else {
      std::iota(order.data(), order.data() + order.size(), std::int64_t{0});
    }
    return order;
  }
  /// Which of `order` are in a batch.
  std::span<const std::int64_t> samples(const Tensor<std::int64_t>& order,
                                        std::int64_t batch) const {
    const auto begin = batch * samples_in_batch_,
               count = std::min(samples_in_batch_, size_ - begin);
    return {order.data() + begin, static_cast<std::size_t>(count)};
  }
  [[gnu::noinline]] void require_batch(std::int64_t first) const {
    if (first >= 0 && first <= batches()) return;
    throw ShapeError(
        Message("loader", {"no batch ", first}).fact("epoch", {batches(), " batches"}));
  }

 private:
  void check(const Dataset& dataset, const LoaderOptions& options) const {
    const auto fail = [&](const Text& what, std::int64_t came) {
      throw ShapeError(Message("loader", what)
                           .fact("came", came)
                           .fact("dataset", dataset.name(), {dataset.size(), " samples"}));
    };
    if (size_ == 0) {
      throw DataError(Message("loader", "the data set has no samples")
                          .fact("dataset", dataset.name())
                          .hint("look at the subset, split or limit that was taken of it"));
    }
    if (options.batch_size <= 0) fail("batch_size must be at least 1", options.batch_size);
    if (views_ < 1) fail("views must be at least 1", views_);
    if (!options.growing_batch && options.batch_size % views_ != 0) {
      fail({"views must divide a batch_size that does not grow, ", options.batch_size}, views_);
    }
    if (options.prefetch.value_or(0) < 0) fail("prefetch must be at least 0", *options.prefetch);
    if (batches() == 0) {
      fail("no batch is full, and drop_last leaves out those that are not", options.batch_size);
    }
  }

  std::int64_t size_, views_, samples_in_batch_;
  bool shuffle_, drop_last_;
  std::uint64_t seed_;
  std::size_t slots_ = 1;
};

}  // namespace detail

/// Cuts a data set into batches, epoch after epoch:
///
///     for (const auto& batch : loader.epoch(e)) { ... }
///
/// An epoch is a function of (data set, options, e): neither threads nor prefetching change a bit.
/// A batch is valid until the next one; a tensor that was copied from it stays as it was.
template <Scalar T>
class Loader {
 public:
  class Epoch;

  /// Throws ShapeError for options that make no sense, DataError for a data set without samples.
  explicit Loader(Dataset dataset, LoaderOptions options = {})
      : options_(std::move(options)),
        plan_(dataset, options_),
        maker_(std::move(dataset), {options_.augment, options_.size, options_.mix,
                                    options_.normalize, options_.views, options_.seed}) {}
  Loader(const Loader&) = default;
  Loader(Loader&&) = default;
  Loader& operator=(const Loader&) = default;
  Loader& operator=(Loader&&) = default;
  [[gnu::noinline]] ~Loader() {}  // programs have several, with a dozen members to destroy

  const Dataset& dataset() const { return maker_.dataset(); }
  /// Of the images in a batch: [h, w, c].
  Shape image_shape() const { return maker_.image_shape(); }
  const LoaderOptions& options() const { return options_; }
  /// The number of batches in an epoch.
  std::int64_t batches() const { return plan_.batches(); }
  /// The number of images in an epoch; each view of a sample is one.
  std::int64_t images() const { return plan_.images(); }
  /// The batches of epoch `e` from batch `first` on, to be walked once. Its storage is allocated here
  /// and given back at its end; leaving the loop early is fine, and `first` goes on where that was.
  Epoch epoch(std::int64_t e = 0, std::int64_t first = 0) const {
    plan_.require_batch(first);
    return Epoch(*this, e, first);
  }

 private:
  LoaderOptions options_;
  detail::BatchPlan plan_;
  BatchMaker<T> maker_;
};

/// The batches of one epoch, a range to be walked once.
template <Scalar T>
class Loader<T>::Epoch {
 public:
  class Iterator {
   public:
    explicit Iterator(Epoch& epoch) : epoch_(epoch) { ++*this; }
    const Batch<T>& operator*() const { return *batch_; }
    const Batch<T>* operator->() const { return batch_; }
    Iterator& operator++() {
      const auto slot = epoch_.prefetch_.next();
      batch_ = slot == Prefetch::none ? nullptr : &epoch_.ring_[slot];
      return *this;
    }
    bool operator==(std::default_sentinel_t) const { return batch_ == nullptr; }

   private:
    Epoch& epoch_;
    const Batch<T>* batch_ = nullptr;
  };

  [[gnu::noinline]] ~Epoch() {}

  Iterator begin() {
    if (std::exchange(begun_, true)) {
      throw StateError(Message("loader", "an epoch can be walked once")
                           .hint("ask for the next: loader.epoch(e + 1)"));
    }
    return Iterator(*this);
  }
  std::default_sentinel_t end() const { return {}; }

 private:
  friend class Loader;
  Epoch(const Loader& loader, std::int64_t epoch, std::int64_t first)
      : plan_(loader.plan_),
        maker_(loader.maker_),
        order_(plan_.order(epoch)),
        ring_(allocate()),
        prefetch_(ring_.size(), plan_.batches() - first,
                  [this, epoch, first](std::size_t slot, std::int64_t i) {
                    maker_.fill(ring_[slot], plan_.samples(order_, first + i), epoch, first + i);
                  }) {}

  List<Batch<T>> allocate() const {
    List<Batch<T>> ring;
    for (auto i = plan_.slots(); i > 0; --i) {
      ring.push_back(maker_.allocate(plan_.samples_in_batch()));
    }
    return ring;
  }

  const detail::BatchPlan plan_;
  const BatchMaker<T> maker_;  // a copy: the epoch may outlive its loader
  const Tensor<std::int64_t> order_;
  bool begun_ = false;
  List<Batch<T>> ring_;
  Prefetch prefetch_;  // last: its thread uses the others
};

}  // namespace tinynet::inline TINYNET_ABI::data
