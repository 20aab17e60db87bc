#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <tinynet/io/in_order.hpp>
#include <tinynet/io/safetensors.hpp>

namespace tinynet::inline TINYNET_ABI::io {

/// Compares the tensors that somebody is about to read with those in a file, so that nothing is
/// changed where the file is another's, and the error tells all that differs at once.
template <class = void>
class TensorCheckOnDemand {
 public:
  /// The file must hold a tensor of that name and shape.
  void want(const Safetensors& file, const std::string& name, const Shape& shape) {
    known_.push_back(name);
    if (!file.contains(name)) {
      missing_ += "\n    " + name;
    } else if (file.shape(name) != shape) {
      shapes_ += "\n    " + name + ": expected " + to_string(shape) + ", file " +
                 to_string(file.shape(name));
    }
  }

  /// The file may hold a tensor of that name, which nobody reads.
  void allow(const std::string& name) { known_.push_back(name); }

  /// Throws StateError unless the file holds what was wanted and, behind `prefix`, no more.
  void require(const Safetensors& file, const std::string& prefix, const Message& what,
               const Text& hint) {
    const auto known = in_order<compare_text>(known_);
    std::string unexpected;
    for (const auto& entry : file.tensors()) {
      const auto& name = entry.name;
      if (name.rfind(prefix, 0) != 0 || counts_batches(name)) continue;
      const auto at = std::partition_point(known.begin(), known.end(),
                                           [&](const auto* other) { return *other < name; });
      if (at == known.end() || **at != name) unexpected += "\n    " + name;
    }
    if (missing_.empty() && shapes_.empty() && unexpected.empty()) return;
    auto message = what;
    throw StateError(message.fact("file", file.path())
                         .fact("missing", missing_)
                         .fact("unexpected", unexpected)
                         .fact("shapes", shapes_)
                         .hint(hint));
  }

 private:
  /// PyTorch counts batches beside the running statistics; nothing here depends on the count.
  static bool counts_batches(const std::string& name) {
    const std::string ending = "num_batches_tracked";
    return name.size() >= ending.size() &&
           name.compare(name.size() - ending.size(), ending.size(), ending) == 0;
  }

  std::vector<std::string> known_;
  std::string missing_, shapes_;
};
using TensorCheck = TensorCheckOnDemand<>;

}  // namespace tinynet::inline TINYNET_ABI::io
