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

#include <tinynet/data/batch.hpp>
#include <tinynet/data/permutation.hpp>
#include <tinynet/data/prefetch.hpp>

namespace tinynet::inline TINYNET_ABI::data {

struct LoaderOptions {
  std::int64_t batch_size = 128;
  bool shuffle = true;           // a new order each epoch
  bool drop_last = false;        // leaves out a last batch that is not full
  Transform augment = {};        // none: images as they are
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
        maker_(std::move(dataset), {options_.augment, options_.mix, options_.normalize,
                                    options_.views, options_.seed}) {
    check();
  }

  const Dataset& dataset() const { return maker_.dataset(); }
  const LoaderOptions& options() const { return options_; }
  /// The number of batches in an epoch.
  std::int64_t batches() const {
    const auto size = samples_in_batch();
    return dataset().size() / size + (!options_.drop_last && dataset().size() % size ? 1 : 0);
  }
  /// The number of images in an epoch; each view of a sample is one.
  std::int64_t images() const {
    return std::min(dataset().size(), batches() * samples_in_batch()) * options_.views;
  }
  /// The batches of epoch `e` from batch `first` on, to be walked once. Its storage is allocated here
  /// and given back at its end; leaving the loop early is fine, and `first` goes on where that was.
  Epoch epoch(std::int64_t e = 0, std::int64_t first = 0) const {
    if (first < 0 || first > batches()) {
      throw ShapeError(
          Message("loader", {"no batch ", first}).fact("epoch", {batches(), " batches"}));
    }
    return Epoch(*this, e, first);
  }

 private:
  std::int64_t samples_in_batch() const {
    return options_.growing_batch ? options_.batch_size : options_.batch_size / options_.views;
  }

  void check() const {
    const auto fail = [&](const Text& what, std::int64_t came) {
      throw ShapeError(Message("loader", what)
                           .fact("came", came)
                           .fact("dataset", dataset().name(), {dataset().size(), " samples"}));
    };
    if (dataset().size() == 0) {
      throw DataError(Message("loader", "the data set has no samples")
                          .fact("dataset", dataset().name())
                          .hint("look at the subset, split or limit that was taken of it"));
    }
    if (options_.batch_size <= 0) fail("batch_size must be at least 1", options_.batch_size);
    if (options_.views < 1) fail("views must be at least 1", options_.views);
    if (!options_.growing_batch && options_.batch_size % options_.views != 0) {
      fail({"views must divide a batch_size that does not grow, ", options_.batch_size},
           options_.views);
    }
    if (options_.prefetch.value_or(0) < 0) fail("prefetch must be at least 0", *options_.prefetch);
    if (batches() == 0) {
      fail("no batch is full, and drop_last leaves out those that are not", options_.batch_size);
    }
  }

  /// The batches in memory at a time. A thread beside a full team of OpenMP threads would stall the
  /// step at the team's barriers, which spin: there the team makes each batch itself.
  List<Batch<T>> ring() const {
    const bool core_to_spare = num_threads() < int(std::thread::hardware_concurrency());
    const int ahead = options_.prefetch.value_or(core_to_spare ? 2 : 0);
    List<Batch<T>> batches;
    for (int i = 0; i < ahead + 1; ++i) {
      batches.push_back(maker_.allocate(std::min(samples_in_batch(), dataset().size())));
    }
    return batches;
  }

  Tensor<std::int64_t> order(std::int64_t epoch) const {
    Tensor<std::int64_t> order({dataset().size()});
    if (options_.shuffle) {
      const auto key = random::Key{options_.seed}.fold("order");
      permutation(order.span(), key.fold(static_cast<std::uint64_t>(epoch)));
    } else {
      std::iota(order.data(), order.data() + order.size(), std::int64_t{0});
    }
    return order;
  }

  LoaderOptions options_;
  BatchMaker<T> maker_;
};

/// The batches of one epoch, a range to be walked once.
template <Scalar T>
class Loader<T>::Epoch {
 public:
  class Iterator {
   public:
    explicit Iterator(Prefetch<Batch<T>>& batches) : batches_(batches), batch_(batches.next()) {}
    const Batch<T>& operator*() const { return *batch_; }
    const Batch<T>* operator->() const { return batch_; }
    Iterator& operator++() {
      batch_ = batches_.next();
      return *this;
    }
    bool operator==(std::default_sentinel_t) const { return batch_ == nullptr; }

   private:
    Prefetch<Batch<T>>& batches_;
    const Batch<T>* batch_;
  };

  Iterator begin() {
    if (std::exchange(begun_, true)) {
      throw StateError(Message("loader", "an epoch can be walked once")
                           .hint("ask for the next: loader.epoch(e + 1)"));
    }
    return Iterator(batches_);
  }
  std::default_sentinel_t end() const { return {}; }

 private:
  friend class Loader;
  Epoch(const Loader& loader, std::int64_t epoch, std::int64_t first)
      : maker_(loader.maker_),
        order_(loader.order(epoch)),
        batches_(
            loader.ring(), loader.batches() - first,
            [this, epoch, first, size = loader.samples_in_batch()](auto& batch, std::int64_t i) {
              const std::span<const std::int64_t> order = order_.span();
              const auto begin = static_cast<std::size_t>((first + i) * size);
              const auto count = std::min(static_cast<std::size_t>(size), order.size() - begin);
              maker_.fill(batch, order.subspan(begin, count), epoch, first + i);
            }) {}

  const BatchMaker<T> maker_;  // a copy: the epoch may outlive its loader
  const Tensor<std::int64_t> order_;
  bool begun_ = false;
  Prefetch<Batch<T>> batches_;  // last: its thread uses the others
};

}  // namespace tinynet::inline TINYNET_ABI::data
