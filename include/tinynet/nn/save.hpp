#pragma once

#include <string>

#include <tinynet/io/safetensors.hpp>
#include <tinynet/io/safetensors_writer.hpp>
#include <tinynet/io/tensor_check.hpp>
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

/// Whether a checkpoint holds a train::Ema behind `prefix`: with its count, and in the order of memory.
inline bool holds_averages(const io::Safetensors& file, const std::string& prefix) {
  const auto count = prefix + "updates";
  return file.contains(count) && file.tensor(count).dtype == "I64";
}

}  // namespace detail

/// Adds all parameters and buffers of a model to a file, each name behind `prefix`. Throws StateError
/// where a parameter has no values yet.
template <class = void>
void write_state(io::SafetensorsWriter& file, const Members& members,
                 const std::string& prefix = "") {
  members.for_parameters([&]<class P>(const std::string& name, Parameter<P>& parameter) {
    if (!parameter.state()->initialized) ParameterList<P>::throw_uninitialized("save", name);
    file.add(prefix + name, detail::turn_weight(parameter.value(), true));
  });
  members.for_buffers(
      [&](const std::string& name, auto& tensor) { file.add(prefix + name, tensor); });
}

/// Tells `check` all that `take_state` is going to read.
template <class = void>
void want_state(io::TensorCheck& check, const io::Safetensors& file, const Members& members,
                const std::string& prefix) {
  const bool turned = !detail::holds_averages(file, prefix);
  const auto want = [&](const std::string& name, const auto& member) {
    check.want(file, prefix + name, turned ? detail::file_shape(member.shape()) : member.shape());
  };
  members.for_parameters(want);
  members.for_buffers(want);
}

/// Gives a model what a file holds, converted where it stores another type.
template <class = void>
void take_state(const io::Safetensors& file, const Members& members, const std::string& prefix) {
  require_unfrozen(members);
  const bool turned = !detail::holds_averages(file, prefix);
  members.for_parameters([&](const std::string& name, auto& parameter) {
    using P = std::remove_cvref_t<decltype(*parameter.value().data())>;
    parameter.state()->name = name;
    const auto value = file.read<P>(prefix + name);
    parameter.set(turned ? detail::turn_weight(value, false) : value);
  });
  members.for_buffers(
      [&](const std::string& name, auto& tensor) { file.read(prefix + name, tensor.span()); });
}

/// Reads back what write_state has written, or the averages of a train::Ema in a checkpoint. All names
/// are compared before anything is changed: StateError lists what is missing, what is unexpected and
/// which shapes differ.
template <class = void>
void read_state(const io::Safetensors& file, const Members& members,
                const std::string& prefix = "") {
  io::TensorCheck check;
  want_state(check, file, members, prefix);
  if (detail::holds_averages(file, prefix)) check.allow(prefix + "updates");
  check.require(file, prefix, Message("load", "the file does not hold this model"),
                "build the model with the options that it was saved with");
  take_state(file, members, prefix);
}

/// Writes a model to a safetensors file, whole or not at all.
template <class = void>
void save(const Members& model, const std::string& path) {
  io::SafetensorsWriter file;
  write_state(file, model);
  file.write(path);
}

/// Gives a model the values in a safetensors file; it needs no nn::initialize before.
template <class = void>
void load(const Members& model, const std::string& path) {
  read_state(io::Safetensors::open(path), model);
}

}  // namespace tinynet::inline TINYNET_ABI::nn
