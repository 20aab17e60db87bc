#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <tinynet/nn/clone.hpp>
#include <tinynet/nn/members.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// The values of all parameters and buffers of a model, apart from it and under its names: its
/// state at some time, or a mean of several. Lists them as the model does, so that nn::save,
/// nn::load, nn::write_state and nn::copy_values take it in the model's place.
///
///     train::Weights before(model);
///     ...
///     before.copy_to(model);
template <class = void>
class WeightsOnDemand {
 public:
  /// A copy of the model's values. Throws StateError where a parameter has none yet.
  explicit WeightsOnDemand(const nn::Members& model) {
    for (const auto& entry : model.entries()) {
      std::visit(
          [&](const auto* member) {
            entries_.push_back({entry.name, copy(*member)});
          },
          entry.member);
    }
  }

  void members(nn::Members& m) {
    for (auto& entry : entries_) {
      std::visit([&](auto& values) { m(entry.name, values); }, entry.values);
    }
  }

  /// Takes the model's values. Throws StateError if it lists others than the model at the start.
  void copy_from(const nn::Members& model) {
    nn::for_each_pair("Weights", model, *this, [](const auto& theirs, auto& mine) {
      const auto from = values(theirs).span();
      std::copy(from.begin(), from.end(), values(mine).data());
    });
  }
  /// Gives the model these values. Throws StateError, and changes nothing, if it lists others or is
  /// frozen.
  void copy_to(const nn::Members& model) {
    nn::require_unfrozen(model);
    nn::for_each_pair("Weights", *this, model, [](const auto& mine, auto& theirs) {
      const auto from = values(mine).span();
      std::copy(from.begin(), from.end(), values(theirs).data());
      changed(theirs);
    });
  }
  /// Exchanges them, in place; throws as `copy_to` does.
  void swap_with(const nn::Members& model) {
    nn::require_unfrozen(model);
    nn::for_each_pair("Weights", *this, model, [](auto& mine, auto& theirs) {
      auto a = values(mine).span(), b = values(theirs).span();
      std::swap_ranges(a.begin(), a.end(), b.begin());
      changed(theirs);
    });
  }
  /// Calls `f(average, values)` with spans for each of these and the model's.
  template <class F>
  void combine_with(const nn::Members& model, const F& f) {
    nn::for_each_pair("Weights", *this, model, [&](auto& mine, const auto& theirs) {
      f(values(mine).span(), values(theirs).span());
    });
  }

  /// Calls `f(name, tensor)` for each, in the layout of the model: views, as
  /// Optimizer::visit_state gives them.
  template <class F>
  void visit_state(const F& f) const {
    for (const auto& entry : entries_) {
      std::visit([&](const auto& member) { f(entry.name, values(member)); }, entry.values);
    }
  }

 private:
  struct Entry {
    std::string name;
    std::variant<Parameter<float>, Parameter<double>, Tensor<float>, Tensor<double>> values;
  };

  template <class P>
  static Parameter<P> copy(const Parameter<P>& from) {
    if (!from.state()->initialized) ParameterList<P>::throw_uninitialized("Weights", from.name());
    Parameter<P> to(from.shape(), from.state()->kind, from.state()->initialize);
    to.state()->name = from.name();
    to.state()->gradient = Tensor<P>();  // will never have one
    to.set(from.value());
    return to;
  }
  template <class P>
  static Tensor<P> copy(const Tensor<P>& from) {
    return from.clone();
  }

  template <class P>
  static Tensor<P>& values(Parameter<P>& parameter) {
    return parameter.state()->value;
  }
  template <class P>
  static const Tensor<P>& values(const Parameter<P>& parameter) {
    return parameter.value();
  }
  template <class P>
  static Tensor<P>& values(Tensor<P>& buffer) {
    return buffer;
  }
  template <class P>
  static const Tensor<P>& values(const Tensor<P>& buffer) {
    return buffer;
  }

  template <class P>
  static void changed(const Parameter<P>& parameter) {
    ++parameter.state()->version;
  }
  template <class P>
  static void changed(const Tensor<P>&) {}

  std::vector<Entry> entries_;
};
using Weights = WeightsOnDemand<>;

/// A model that has other values for a while. Frozen ones are refused, and nn::freeze refuses the
/// model until they are back: giving them back then cannot fail.
class Loan {
 public:
  explicit Loan(nn::Members model) : model_(std::move(model)) {
    nn::require_unfrozen(model_);
    count(1);
  }
  ~Loan() { count(-1); }
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;

  const nn::Members& model() const { return model_; }

 private:
  void count(int change) const {
    model_.for_parameters([&](const auto&, auto& p) { p.state()->loans += change; });
  }

  nn::Members model_;
};

}  // namespace tinynet::inline TINYNET_ABI::train
