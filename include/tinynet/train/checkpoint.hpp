#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <map>
#include <string>
#include <system_error>
#include <variant>
#include <vector>

#include <tinynet/core/function.hpp>
#include <tinynet/io/safetensors.hpp>
#include <tinynet/io/safetensors_writer.hpp>
#include <tinynet/nn/save.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// How far a run has come. The random numbers of a run are functions of (seed, epoch, step), so that
/// this and the tensors of a checkpoint are all that it needs to go on with the same bits.
struct Position {
  std::int64_t epochs = 0;   // finished
  std::int64_t batches = 0;  // of the next epoch: where to go on, loader.epoch(epochs, batches)
  double best = -std::numeric_limits<double>::infinity();  // what the best model so far reached
  std::map<std::string, std::string> notes = {};  // for the reader: seed, revision, history
};

/// All that a run needs to go on, in one safetensors file: the model behind `model.`, everything
/// else behind the prefix it was added with, the position in the metadata.
///
///     train::Checkpoint checkpoint(model);
///     checkpoint.add("optimizer", optimizer).add("ema", ema);
///     checkpoint.save(path, {.epochs = epoch + 1});
///     const auto position = checkpoint.load(path);
///
/// The file is replaced whole or not at all. What was added must outlive this.
template <class = void>
class CheckpointOnDemand {
 public:
  explicit CheckpointOnDemand(const nn::Members& model) : model_(model) {}

  /// Adds anything that has tensors to keep: `part.visit_state(f)` calls f(name, tensor) with views
  /// of them, as optimizers and averages of weights do. Those of int64 are counts: `load` refuses what
  /// lies below 0, or below `part.lowest_count(name)` where a part has that.
  template <class Part>
  CheckpointOnDemand& add(const std::string& prefix, const Part& part) {
    parts_.push_back([prefix = prefix + ".", &part](std::vector<Entry>& entries) {
      part.visit_state([&](const std::string& name, const auto& tensor) {
        std::int64_t lowest = 0;
        if constexpr (requires { part.lowest_count(name); }) lowest = part.lowest_count(name);
        entries.push_back({prefix + name, tensor, lowest});
      });
    });
    return *this;
  }

  /// A setting without which the run would not go on as it began. `load` compares it; what a file does not
  /// say, because the setting is younger, was `otherwise`.
  CheckpointOnDemand& require(const std::string& setting, const std::string& value,
                              const std::string& otherwise = "not said") {
    settings_["setting." + setting] = {value, otherwise};
    return *this;
  }

  /// Throws DataError where the file cannot be written; the old one is whole then.
  void save(const std::string& path, const Position& position) const {
    io::SafetensorsWriter file;
    nn::write_state(file, model_, "model.");
    for (const auto& entry : entries()) {
      std::visit([&](const auto& tensor) { file.add(entry.name, tensor); }, entry.tensor);
    }
    for (const auto& [key, value] : position.notes) file.metadata(key, value);
    for (const auto& [key, setting] : settings_) file.metadata(key, setting.value);
    char best[32];  // whatever the locale
    *std::to_chars(best, best + sizeof best - 1, position.best).ptr = '\0';
    file.metadata("epochs", std::to_string(position.epochs));
    file.metadata("batches", std::to_string(position.batches));
    file.metadata("best", best);
    file.write(path);
  }

  /// Reads it back. Throws StateError that lists all settings and tensors that differ, before
  /// anything is changed; DataError, as early, where the file is damaged or is no checkpoint.
  Position load(const std::string& path) const {
    const auto file = io::Safetensors::open(path);
    Position position{.notes = file.metadata()};
    position.epochs = whole(file, "epochs");
    position.batches = whole(file, "batches");
    position.best = number(file, "best");

    auto parts = entries();
    io::TensorCheck check;
    nn::want_state(check, file, model_, "model.");
    for (const auto& entry : parts) {
      std::visit([&](const auto& tensor) { check.want(file, entry.name, tensor.shape()); },
                 entry.tensor);
    }
    const auto different = different_settings(position.notes);
    Message message("Checkpoint::load", "the checkpoint is of another run");
    message.fact("settings", different);
    const char* hint = "give the options that the run began with, or another folder for a new run";
    check.require(file, "", message, hint);
    if (!different.empty()) {
      throw StateError(message.fact("file", path).hint(hint));
    }

    // All that can still be wrong with the file is a count; nothing was changed so far.
    for (const auto& entry : parts) {
      if (std::holds_alternative<Tensor<std::int64_t>>(entry.tensor)) require_counts(file, entry);
    }
    nn::take_state(file, model_, "model.");
    for (auto& entry : parts) {
      std::visit([&](auto& tensor) { file.read(entry.name, tensor.span()); }, entry.tensor);
    }
    return position;
  }

 private:
  struct Setting {
    std::string value, otherwise;
  };
  struct Entry {
    std::string name;
    std::variant<Tensor<float>, Tensor<double>, Tensor<std::int64_t>> tensor;  // views
    std::int64_t lowest = 0;                                                   // of counts
  };

  /// Asked for anew each time: parts may move their tensors.
  std::vector<Entry> entries() const {
    std::vector<Entry> all;
    for (const auto& part : parts_) part(all);
    return all;
  }

  std::string different_settings(const std::map<std::string, std::string>& saved) const {
    std::string text;
    for (const auto& [key, setting] : settings_) {
      const auto found = saved.find(key);
      const auto& before = found == saved.end() ? setting.otherwise : found->second;
      if (before == setting.value) continue;
      text +=
          "\n    " + key.substr(key.find('.') + 1) + ": file " + before + ", now " + setting.value;
    }
    return text;
  }

  static void require_counts(const io::Safetensors& file, const Entry& entry) {
    const auto counts = file.read<std::int64_t>(entry.name);
    for (const auto came : counts.span()) {
      if (came >= entry.lowest) continue;
      throw DataError(Message("Checkpoint::load", {entry.name, " is no count"})
                          .fact("file", file.path())
                          .fact("expected", {entry.lowest, " or more"})
                          .fact("came", came));
    }
  }

  static const std::string& text_of(const io::Safetensors& file, const char* key) {
    const auto found = file.metadata().find(key);
    if (found != file.metadata().end()) return found->second;
    throw DataError(Message("Checkpoint::load", "the file is not a checkpoint")
                        .fact("file", file.path())
                        .fact("missing", {key, " in its metadata"})
                        .hint("for a file with a model alone use nn::load"));
  }
  [[noreturn]] static void refuse(const io::Safetensors& file, const char* key, const char* what) {
    throw DataError(Message("Checkpoint::load", {key, " in the metadata is no ", what})
                        .fact("file", file.path())
                        .fact("came", text_of(file, key)));
  }
  /// A count in the metadata, whatever a hostile file has there.
  static std::int64_t whole(const io::Safetensors& file, const char* key) {
    const auto& text = text_of(file, key);
    const bool digits = !text.empty() && text.size() < 19 &&
                        text.find_first_not_of("0123456789") == std::string::npos;
    if (!digits) refuse(file, key, "count");
    return std::strtoll(text.c_str(), nullptr, 10);
  }
  static double number(const io::Safetensors& file, const char* key) {
    const auto& text = text_of(file, key);
    const auto* end = text.data() + text.size();
    double value = 0;
    const auto read = std::from_chars(text.data(), end, value);
    if (read.ec != std::errc() || read.ptr != end) refuse(file, key, "number");
    return value;
  }

  nn::Members model_;
  std::vector<Function<void(std::vector<Entry>&)>> parts_;
  std::map<std::string, Setting> settings_;
};
using Checkpoint = CheckpointOnDemand<>;

}  // namespace tinynet::inline TINYNET_ABI::train
