#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <tinynet/io/safetensors.hpp>
#include <tinynet/io/safetensors_writer.hpp>
#include <tinynet/nn/members.hpp>

/// Models in files. Names and the order of convolution weights ([oc, ic, kh, kw]) are PyTorch's, so
/// that `load_state_dict` takes such a file without a table. The weights of a linear layer behind a
/// flattened image differ: its features stand in the order (h, w, c) here, (c, h, w) there.
namespace tinynet::inline TINYNET_ABI::nn {

namespace detail {

/// Swaps the order of a weight with four axes between [o, h, w, i] and [o, i, h, w]; others pass.
template <class P>
Tensor<P> turn_weight(const Tensor<P>& from, bool to_file) {
  const auto& s = from.shape();
  if (s.axes() != 4) return from;
  const std::int64_t o = s[0], outer = to_file ? s[1] * s[2] : s[1];
  const std::int64_t inner = to_file ? s[3] : s[2] * s[3];
  Tensor<P> turned(to_file ? Shape{o, s[3], s[1], s[2]} : Shape{o, s[2], s[3], s[1]});
  for (std::int64_t n = 0; n < o; ++n) {
    for (std::int64_t i = 0; i < outer; ++i) {
      for (std::int64_t j = 0; j < inner; ++j) {
        turned.data()[(n * inner + j) * outer + i] = from.data()[(n * outer + i) * inner + j];
      }
    }
  }
  return turned;
}

inline Shape file_shape(const Shape& s) {
  return s.axes() == 4 ? Shape{s[0], s[3], s[1], s[2]} : s;
}

}  // namespace detail

/// Adds all parameters and buffers of a model to a file, each name behind `prefix`.
inline void write_state(io::SafetensorsWriter& file, const Members& members,
                        const std::string& prefix = "") {
  members.for_parameters([&](const std::string& name, auto& parameter) {
    file.add(prefix + name, detail::turn_weight(parameter.value(), true));
  });
  members.for_buffers(
      [&](const std::string& name, auto& tensor) { file.add(prefix + name, tensor); });
}

/// Reads them back, converted where the file stores another type. All names are compared before
/// anything is changed: StateError lists what is missing, what is unexpected and which shapes differ.
inline void read_state(const io::Safetensors& file, const Members& members,
                       const std::string& prefix = "") {
  std::string missing, shapes, unexpected;
  std::vector<std::string> known;
  const auto compare = [&](const std::string& name, const auto& member) {
    known.push_back(prefix + name);
    if (!file.contains(prefix + name)) {
      missing += "\n    " + name;
    } else if (const auto expected = detail::file_shape(member.shape());
               file.shape(prefix + name) != expected) {
      shapes += "\n    " + name + ": expected " + to_string(expected) + ", file " +
                to_string(file.shape(prefix + name));
    }
  };
  members.for_parameters(compare);
  members.for_buffers(compare);
  for (const auto& entry : file.tensors()) {
    const auto& name = entry.name;
    // PyTorch counts batches beside the running statistics; nothing here depends on the count.
    const std::string counter = "num_batches_tracked";
    const bool counts = name.size() >= counter.size() &&
                        name.compare(name.size() - counter.size(), counter.size(), counter) == 0;
    if (name.rfind(prefix, 0) == 0 && !counts &&
        std::find(known.begin(), known.end(), name) == known.end()) {
      unexpected += "\n    " + name.substr(prefix.size());
    }
  }
  if (!(missing + shapes + unexpected).empty()) {
    throw StateError(Message("load", "the file does not hold this model")
                         .fact("file", file.path())
                         .fact("missing", missing)
                         .fact("unexpected", unexpected)
                         .fact("shapes", shapes)
                         .hint("build the model with the options that it was saved with"));
  }
  members.for_parameters([&](const std::string& name, auto& parameter) {
    using P = std::remove_cvref_t<decltype(*parameter.value().data())>;
    parameter.state()->name = name;
    parameter.set(detail::turn_weight(file.read<P>(prefix + name), false));
  });
  members.for_buffers(
      [&](const std::string& name, auto& tensor) { file.read(prefix + name, tensor.span()); });
}

/// Writes a model to a safetensors file, whole or not at all.
inline void save(const Members& model, const std::filesystem::path& path) {
  io::SafetensorsWriter file;
  write_state(file, model);
  file.write(path);
}

/// Gives a model the values in a safetensors file; it needs no nn::initialize before.
inline void load(const Members& model, const std::filesystem::path& path) {
  read_state(io::Safetensors::open(path), model);
}

}  // namespace tinynet::inline TINYNET_ABI::nn
