#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <tinynet/autograd/variable.hpp>
#include <tinynet/nn/members.hpp>

namespace tinynet::inline TINYNET_ABI::nn {

/// What `fold_batch_norm` did: dotted names of layers.
struct Folding {
  struct Pair {
    std::string norm, into;  // the layer that is gone, and the one that computes it now
  };
  struct Kept {
    std::string norm, why;
  };
  std::vector<Pair> folded;
  std::vector<Kept> kept;
};

namespace detail {

/// Finds out from one forward pass which normalisation reads the output of which layer, and of that
/// alone. A template, as SummaryObserver is one.
template <class = void>
class FoldObserver final : public Observer {
 public:
  explicit FoldObserver(const Members& members) : layers_(members.affine_layers()) {}

  void see(const Observation& seen) override {
    Source from;  // of the first operand: what is normalised, others are added to it
    for (const auto& input : seen.inputs) {
      const auto found = outputs_.find(input.id);
      if (input.parameter || found == outputs_.end()) continue;
      if (&input == seen.inputs.data()) from = found->second;
      ++reads_[found->second.layer];
    }
    outputs_.erase(seen.output.id);  // storage is used again
    bool weighted = false;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      if (!reads(seen.inputs, layers_[i].weight)) continue;
      weighted = true;
      ++runs_[i];
      if (layers_[i].absorbs()) outputs_[seen.output.id] = {i, false};
      else norms_.push_back({i, from});
    }
    // The largest of rising values is where the largest of the values is.
    if (!weighted && from.layer != none && std::string_view(seen.op.name) == "max_pool2d") {
      --reads_[from.layer];
      outputs_[seen.output.id] = {from.layer, true};
    }
  }

  Folding fold() const {
    Folding result;
    for (const auto& [norm, source] : norms_) {
      const auto& layer = layers_[norm];
      const auto map = layer.map(layer.layer);
      const auto why = refusal(norm, source, map);
      if (why) {
        result.kept.push_back({layer.name, why});
        continue;
      }
      const auto& into = layers_[source.layer];
      if (into.single.weight) absorb(map, into.single);
      else absorb(map, into.twice);
      *layer.folded = true;
      result.folded.push_back({layer.name, into.name});
    }
    return result;
  }

 private:
  static constexpr auto none = static_cast<std::size_t>(-1);
  struct Source {
    std::size_t layer = none;
    bool pooled = false;  // a max pool stands between
  };

  static bool reads(const List<Observation::Operand>& operands, const void* weight) {
    return std::any_of(operands.begin(), operands.end(),
                       [weight](const auto& each) { return each.parameter && each.id == weight; });
  }

  const char* refusal(std::size_t norm, Source source, const ChannelMap& map) const {
    if (source.layer == none) return "it does not follow a convolution or a linear layer";
    if (runs_.at(norm) > 1 || runs_.at(source.layer) > 1) return "it runs more than once";
    if (reads_.at(source.layer) > 1) return "others read the output of the layer before it too";
    if (source.pooled && *std::ranges::min_element(map.scale.span()) < 0) {
      return "a max pool stands before it, and some of its scales are negative";
    }
    return nullptr;
  }

  List<AffineLayer> layers_;
  std::map<const void*, Source> outputs_;
  std::map<std::size_t, int> reads_, runs_;
  struct Norm {
    std::size_t layer;
    Source source;
  };
  std::vector<Norm> norms_;
};

}  // namespace detail

/// Makes each layer before a batch normalisation compute that too, for inference: its weights are
/// multiplied by gamma / std, its bias takes the rest, and the normalisation becomes the identity,
/// which no longer lists parameters or trains. One forward pass over zeros of shape `input` shows
/// what follows what, so that it works on any model and folds only where the result is the same:
/// behind a convolution or linear layer whose output nobody else reads, and behind a max
/// pool between them where no scale is negative.
///
/// Exact but for rounding: sums of k products x * w have k * |x * w'| * 2^-24 of it before and
/// after, with w' the new weights; in 16-bit networks the convolution's output is no longer rounded.
///
///     auto served = nn::clone(model);
///     nn::fold_batch_norm<T>(served, {1, 28, 28, 1});
template <Scalar T = float, class Model>
Folding fold_batch_norm(Model& model, const Shape& input) {
  const Members members(model);
  require_unfrozen(members);
  detail::FoldObserver<> observer{members};
  auto ctx = Context::evaluation();
  ctx.observer = &observer;
  ctx.fuse = false;  // each op alone, so that it shows who reads what
  model(Variable<T>(Tensor<T>::zeros(input)), ctx);
  return observer.fold();
}

}  // namespace tinynet::inline TINYNET_ABI::nn
