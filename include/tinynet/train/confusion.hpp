#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include <tinynet/train/predict.hpp>
#include <tinynet/train/table.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// How often samples of one class were taken for another.
struct Confusion {
  std::int32_t label = 0, predicted = 0;
  std::int64_t count = 0;
};

/// How a model does on the samples of one class.
struct ClassAccuracy {
  std::int32_t label = 0;
  std::int64_t correct = 0, total = 0;
  std::int64_t predicted = 0;  // samples that were taken for this class
  double low = 0, high = 1;    // 95 % interval of the accuracy (Wilson)

  /// The share of the samples of this class that were recognised (recall); NaN without samples.
  double accuracy() const { return static_cast<double>(correct) / static_cast<double>(total); }
  /// The share of the samples taken for this class that belong to it; NaN where there are none.
  double precision() const { return static_cast<double>(correct) / static_cast<double>(predicted); }
};

/// Counts samples by what they are and what they were taken for.
class ConfusionMatrix {
 public:
  explicit ConfusionMatrix(std::int64_t classes)
      : classes_(classes),
        counts_(static_cast<std::size_t>(classes * classes)),
        total_(static_cast<std::size_t>(classes)) {}
  explicit ConfusionMatrix(const Predictions& predictions)
      : ConfusionMatrix(predictions.classes()) {
    for (std::int64_t i = 0; i < predictions.size(); ++i) {
      add(predictions.label(i), predictions.predicted(i));
    }
  }

  /// A prediction of -1 (the network said NaN) counts for the total of its class alone. Throws
  /// ShapeError for a class that does not exist.
  void add(std::int32_t label, std::int32_t predicted) {
    if (label < 0 || label >= classes_ || predicted < -1 || predicted >= classes_) {
      throw ShapeError(Message("confusion_matrix", "there is no such class")
                           .fact("label", label)
                           .fact("came", predicted, "as prediction")
                           .fact("expected", {"0 to ", classes_ - 1}));
    }
    ++total_[static_cast<std::size_t>(label)];
    if (predicted >= 0) ++counts_[at(label, predicted)];
  }

  std::int64_t classes() const { return classes_; }
  /// Samples of class `label` that were taken for class `predicted`.
  std::int64_t operator()(std::int64_t label, std::int64_t predicted) const {
    return counts_[at(label, predicted)];
  }
  /// Samples of a class.
  std::int64_t total(std::int64_t label) const { return total_[static_cast<std::size_t>(label)]; }

  ClassAccuracy of_class(std::int32_t label) const {
    ClassAccuracy result{label, (*this)(label, label), total(label)};
    for (std::int64_t other = 0; other < classes_; ++other) {
      result.predicted += (*this)(other, label);
    }
    const auto [low, high] = wilson(result.correct, result.total);
    result.low = low;
    result.high = high;
    return result;
  }
  std::vector<ClassAccuracy> by_class() const {
    std::vector<ClassAccuracy> all;
    for (std::int32_t label = 0; label < classes_; ++label) all.push_back(of_class(label));
    return all;
  }
  /// The class with the lowest accuracy, the first of several. Classes without samples do not take
  /// part. Throws StateError where there is no sample at all.
  ClassAccuracy worst_class() const {
    const ClassAccuracy none{-1, 1, 1};
    auto worst = none;
    for (const auto& one : by_class()) {
      const bool lower = worst.label < 0 || one.accuracy() < worst.accuracy();
      if (one.total > 0 && lower) worst = one;
    }
    if (worst.label < 0) throw StateError(Message("worst_class", "no sample was counted"));
    return worst;
  }

  /// The `count` most frequent mistakes, at most as many as there are.
  std::vector<Confusion> most_confused(std::size_t count) const {
    std::vector<Confusion> all;
    for (std::int32_t label = 0; label < classes_; ++label) {
      for (std::int32_t predicted = 0; predicted < classes_; ++predicted) {
        const auto times = (*this)(label, predicted);
        if (label != predicted && times > 0) all.push_back({label, predicted, times});
      }
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const auto& a, const auto& b) { return a.count > b.count; });
    all.resize(std::min(count, all.size()));
    return all;
  }

 private:
  std::size_t at(std::int64_t label, std::int64_t predicted) const {
    return static_cast<std::size_t>(label * classes_ + predicted);
  }

  std::int64_t classes_;
  std::vector<std::int64_t> counts_;  // [label, predicted]
  std::vector<std::int64_t> total_;   // [label]
};

namespace detail {

template <class = void>
std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", 100 * share);
  return text;
}

/// The name of a class, its number where the names do not reach.
template <class = void>
std::string class_name(const std::vector<std::string>& names, std::int32_t label) {
  const auto i = static_cast<std::size_t>(label);
  return label >= 0 && i < names.size() ? names[i] : std::to_string(label);
}

}  // namespace detail

/// A table with a line for each class, in per cent, and the worst class below.
template <class = void>
std::string class_table(const ConfusionMatrix& matrix, const std::vector<std::string>& names = {}) {
  Table table({"class", "accuracy %", "95 % interval", "precision %", "samples"});
  for (const auto& one : matrix.by_class()) {
    const auto interval = detail::percent(one.low) + " to " + detail::percent(one.high);
    table.row({detail::class_name(names, one.label),
               one.total ? detail::percent(one.accuracy()) : "-", one.total ? interval : "-",
               one.predicted ? detail::percent(one.precision()) : "-", std::to_string(one.total)});
  }
  const auto worst = matrix.worst_class();
  return table.string() + "worst class: " + detail::class_name(names, worst.label) + ", " +
         detail::percent(worst.accuracy()) + " %\n";
}

/// A table of the most frequent mistakes.
template <class = void>
std::string confusion_table(const ConfusionMatrix& matrix, std::size_t count = 10,
                            const std::vector<std::string>& names = {}) {
  Table table({"class", "taken for", "times", "% of class"});
  for (const auto& pair : matrix.most_confused(count)) {
    const auto total = static_cast<double>(matrix.total(pair.label));
    table.row({detail::class_name(names, pair.label), detail::class_name(names, pair.predicted),
               std::to_string(pair.count),
               detail::percent(static_cast<double>(pair.count) / total)});
  }
  return table.string();
}

/// The counts, a line for each class and a column for what it was taken for (by number).
template <class = void>
std::string to_string(const ConfusionMatrix& matrix, const std::vector<std::string>& names = {}) {
  std::vector<std::string> header{"class \\ taken for"};
  for (std::int64_t j = 0; j < matrix.classes(); ++j) header.push_back(std::to_string(j));
  Table table(header);
  for (std::int32_t i = 0; i < matrix.classes(); ++i) {
    std::vector<std::string> cells{std::to_string(i)};
    if (std::size_t(i) < names.size()) cells[0] += " " + names[std::size_t(i)];
    for (std::int64_t j = 0; j < matrix.classes(); ++j) {
      cells.push_back(std::to_string(matrix(i, j)));
    }
    table.row(cells);
  }
  return table.string();
}

}  // namespace tinynet::inline TINYNET_ABI::train
