#pragma once

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include <tinynet/autograd/variable.hpp>
#include <tinynet/core/list.hpp>
#include <tinynet/nn/members.hpp>

namespace tinynet::inline TINYNET_ABI::nn {

/// What a model does to an input, layer by layer, as one forward pass showed it.
struct Summary {
  struct Row {
    std::string path, op;
    Shape output;
    std::int64_t parameters = 0;       // values trained here
    std::int64_t bytes = 0;            // what they take
    std::int64_t macs = 0;             // multiply-accumulates for this input
    std::int64_t receptive_field = 1;  // side of the square of input pixels that one output sees
  };
  std::vector<Row> rows;
  std::int64_t parameters = 0, bytes = 0, macs = 0;
  std::int64_t receptive_field = 1;  // the largest
};

namespace detail {

/// Follows sizes through the ops of a forward pass. The receptive field r and the distance j of
/// neighbouring outputs, in input pixels, grow with each window: r += (k - 1) * d * j, then j *= s.
///
/// A template, so that programs without a summary do not compile it: a plain class would be, as a
/// function that every call of `Observer::see` might mean.
template <class = void>
class SummaryObserver final : public Observer {
 public:
  explicit SummaryObserver(Summary& summary) : summary_(summary) {}

  void see(const Observation& seen) override {
    Summary::Row row{seen.path, seen.op.name, seen.output.shape};
    Reach reach;
    for (const auto& input : seen.inputs) {
      if (input.parameter) {
        if (std::find(counted_.begin(), counted_.end(), input.id) != counted_.end()) continue;
        counted_.push_back(input.id);
        row.parameters += input.shape.elements();
        row.bytes += static_cast<std::int64_t>(input.bytes);
      } else {
        const auto& before = reach_of(input.id);
        reach.field = std::max(reach.field, before.field);
        reach.jump = std::max(reach.jump, before.jump);
      }
    }
    reach.field += (seen.op.kernel - 1) * seen.op.dilation * reach.jump;
    reach.jump *= seen.op.stride;
    reach_of(seen.output.id) = reach;
    row.receptive_field = reach.field;
    row.macs = seen.op.macs;
    summary_.parameters += row.parameters;
    summary_.bytes += row.bytes;
    summary_.macs += row.macs;
    summary_.receptive_field = std::max(summary_.receptive_field, row.receptive_field);
    summary_.rows.push_back(std::move(row));
  }

 private:
  struct Reach {
    std::int64_t field = 1, jump = 1;
  };
  struct Seen {
    const void* id;
    Reach of;
  };
  /// Of the tensor with that storage; what was not seen is an input.
  Reach& reach_of(const void* id) {
    for (auto& reach : reaches_) {
      if (reach.id == id) return reach.of;
    }
    reaches_.push_back({id, {}});
    return reaches_.back().of;
  }

  Summary& summary_;
  List<Seen> reaches_;
  List<const void*> counted_;
};

}  // namespace detail

/// Runs the model once on zeros and reports every op. `T` is the model's scalar; works before
/// nn::initialize only for models without parameters.
template <Scalar T = float, class Model>
Summary summary(Model& model, const Shape& input) {
  Summary result;
  detail::SummaryObserver<> observer(result);
  auto ctx = Context::evaluation();
  ctx.observer = &observer;
  model(Variable<T>(Tensor<T>::zeros(input)), ctx);
  return result;
}

/// A table with one line an op and the totals.
template <class = void>
std::string to_string(const Summary& summary) {
  char line[256];
  std::snprintf(line, sizeof line, "%-28s %-24s %-20s %12s %12s %14s %6s", "layer", "op", "output",
                "parameters", "bytes", "MACs", "field");
  std::string text = line;
  text += '\n';
  const auto add = [&](const char* path, const char* op, const Text& output, const auto& counts) {
    std::snprintf(line, sizeof line, "%-28s %-24s %-20s %12lld %12lld %14lld %6lld", path, op,
                  output.string().c_str(), static_cast<long long>(counts.parameters),
                  static_cast<long long>(counts.bytes), static_cast<long long>(counts.macs),
                  static_cast<long long>(counts.receptive_field));
    text += line;
    text += '\n';
  };
  for (const auto& row : summary.rows) add(row.path.c_str(), row.op.c_str(), row.output, row);
  add("total", "", "", summary);
  return text;
}

}  // namespace tinynet::inline TINYNET_ABI::nn
