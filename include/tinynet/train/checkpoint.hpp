#pragma once

#include <filesystem>
#include <map>
#include <string>

#include <tinynet/io/safetensors.hpp>
#include <tinynet/io/safetensors_writer.hpp>
#include <tinynet/nn/save.hpp>
#include <tinynet/optim/optimizer.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// Writes all that a run needs to go on: one safetensors file with the model behind `model.`, the
/// optimizer's state behind `optimizer.` and the number of finished epochs in its metadata. The
/// random numbers of a run are functions of (seed, epoch, step), so nothing else has to be kept.
/// The file is replaced whole or not at all.
template <class P>
void save_checkpoint(const std::filesystem::path& path, const nn::Members& model,
                     const optim::Optimizer<P>& optimizer, std::int64_t epochs,
                     const std::map<std::string, std::string>& metadata = {}) {
  io::SafetensorsWriter file;
  nn::write_state(file, model, "model.");
  optimizer.visit_state(
      [&](const std::string& name, const auto& tensor) { file.add("optimizer." + name, tensor); });
  for (const auto& [key, value] : metadata) file.metadata(key, value);
  file.metadata("epochs", std::to_string(epochs));
  file.write(path);
}

/// Reads it back and returns the number of finished epochs. Throws StateError where the model
/// differs, DataError where the file is damaged or is no checkpoint.
template <class P>
std::int64_t load_checkpoint(const std::filesystem::path& path, const nn::Members& model,
                             const optim::Optimizer<P>& optimizer) {
  const auto file = io::Safetensors::open(path);
  const auto found = file.metadata().find("epochs");
  if (found == file.metadata().end()) {
    throw DataError(Message("load_checkpoint", "the file is not a checkpoint")
                        .fact("file", path.string())
                        .fact("missing", "epochs in its metadata")
                        .hint("for a file with a model alone use nn::load"));
  }
  nn::read_state(file, model, "model.");
  optimizer.visit_state(
      [&](const std::string& name, auto tensor) { file.read("optimizer." + name, tensor.span()); });
  return std::stoll(found->second);
}

}  // namespace tinynet::inline TINYNET_ABI::train
