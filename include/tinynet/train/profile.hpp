#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <tinynet/autograd/variable.hpp>
#include <tinynet/core/buffer.hpp>
#include <tinynet/core/clock.hpp>
#include <tinynet/core/function.hpp>
#include <tinynet/io/atomic_file.hpp>
#include <tinynet/io/json.hpp>
#include <tinynet/train/step_observer.hpp>

/// Where the time of a training step goes, and its memory. Not part of the umbrella header.
namespace tinynet::inline TINYNET_ABI::train {

/// What the machine can do at most, for floors; zero where unknown.
struct MachinePeaks {
  double float_operations = 0;  // per second, two each multiply-accumulate
  double half_operations = 0;   // the same for operands of 16 bits
  double bytes = 0;             // per second, to and from memory
};

struct ProfileOptions {
  bool enabled = true;           // false: watches nothing and costs nothing
  MachinePeaks peaks = {};       // for floors
  std::int64_t warm_up = 2;      // first steps, which pack weights and ask for memory: not counted
  std::int64_t trace_steps = 4;  // of which every op is kept for the trace
  Function<double()> seconds = &seconds_now;
};

/// One pass, forward or backward, of one op of one layer; totals over all steps counted.
struct ProfilePass {
  std::int64_t calls = 0;
  double seconds = 0;
  double operations = 0;  // two for each multiply-accumulate
  double bytes = 0;       // if every operand and result crosses the memory bus once
  // Seconds: operations over the peak + bytes over the bandwidth. Operations are those of the definition:
  // a convolution by tinynet/winograd.hpp needs 4/9 of them.
  double floor = 0;
};

struct ProfileRow {
  std::string path, op;  // dotted name of the layer; of a lap: empty and its name
  ProfilePass forward, backward;
};

/// The most memory that was in use at a time, and what ran then.
struct ProfilePeak {
  std::size_t bytes = 0;  // as memory_statistics() counts them
  std::string path, op;
  bool backward = false;
};

/// Watches training steps and says where their time goes. An op is given all the time since the
/// event before it, so that the times of a step add up to the step; what watching takes is left out.
///
///     train::Profile profile({.peaks = {0.48e12, 7.0e12, 33e9}});
///     for (const auto& batch : loader.epoch(e)) {
///       profile.lap("load");
///       Tape tape;
///       auto ctx = Context::training(tape, key);
///       ctx.observer = profile.observer();
///       ops::cross_entropy(model(batch.images, ctx), batch.labels, {}, ctx).backward();
///       optimizer.step();
///       profile.lap("update");
///       profile.end_step();
///     }
///     std::printf("%s", to_string(profile).c_str());
///     profile.write_trace("trace.json");  // opens in Perfetto and chrome://tracing
class Profile final : public StepObserver {
 public:
  explicit Profile(ProfileOptions options = {}) : options_(std::move(options)) { restart(); }

  /// This, or nothing where the profile is not enabled.
  Observer* observer() override { return options_.enabled ? this : nullptr; }
  bool enabled() const { return options_.enabled; }

  void restart() override {
    if (options_.enabled) {
      step_begin_ = mark_ = options_.seconds();
      high_water_ = memory_statistics().peak_bytes_in_use;  // what ran between was not watched
    }
    in_step_ = 0;
  }
  void lap(const char* name) override {
    if (options_.enabled) charge(row("", name), false, Cost());
  }
  void end_step() override {
    if (!options_.enabled) return;
    lap("other");
    ++seen_steps_;
    if (tracing()) events_.push_back({steps_marker, false, step_begin_, mark_ - step_begin_, 0});
    if (counting_) {
      ++steps_;
      seconds_ += in_step_;
    }
    counting_ = seen_steps_ >= options_.warm_up;
    nodes_.clear();
    step_begin_ = mark_;
    in_step_ = 0;
  }

  void see(const Observation& seen) override {
    last_ = row(seen.path, seen.op.name);
    work_ = work_of(seen);
    charge(last_, false, work_.forward);
  }
  void recorded(const Node& node) override { nodes_[&node] = {last_, work_.backward}; }
  void backward_begins() override { lap("other"); }
  void backward_ran(const Node& node) override {
    const auto found = nodes_.find(&node);
    if (found != nodes_.end()) charge(found->second.first, true, found->second.second);
  }

  /// Steps counted, the mean of their seconds, and the floor of one.
  std::int64_t steps() const { return steps_; }
  double step_seconds() const { return steps_ ? seconds_ / static_cast<double>(steps_) : 0; }
  double floor_seconds() const {
    double total = 0;
    for (const auto& each : rows_) total += each.forward.floor + each.backward.floor;
    return steps_ ? total / static_cast<double>(steps_) : 0;
  }
  /// Seconds of a step in convolutions and products, their gradients included.
  double product_seconds() const {
    double total = 0;
    for (const auto& each : rows_) {
      if (each.forward.operations > 0) total += each.forward.seconds + each.backward.seconds;
    }
    return steps_ ? total / static_cast<double>(steps_) : 0;
  }
  /// In the order in which they were seen first.
  const std::vector<ProfileRow>& rows() const { return rows_; }
  /// Where the high-water mark of the process rose last, the first steps included; zero bytes where
  /// it stood higher before.
  const ProfilePeak& peak() const { return peak_; }

  /// Writes the steps that were kept as a Chrome trace: one track for steps, one for what is in
  /// them, and a counter of the bytes in use.
  /// Throws DataError where the file cannot be written.
  void write_trace(const std::filesystem::path& path) const;

 private:
  struct Cost {
    double operations = 0, bytes = 0;
    bool half = false;  // operands of 16 bits
  };
  struct Work {
    Cost forward, backward;
  };
  struct Event {
    std::size_t row;
    bool backward;
    double begin, seconds;
    std::size_t bytes_in_use;  // at the end
  };
  static constexpr auto steps_marker = static_cast<std::size_t>(-1);

  bool tracing() const { return counting_ && steps_ < options_.trace_steps; }

  std::size_t row(const std::string& path, const char* op) {
    const auto [found, is_new] = index_.try_emplace({path, op}, rows_.size());
    if (is_new) rows_.push_back({path, op, {}, {}});
    return found->second;
  }

  /// An op with weights passes on a gradient of each operand by as many products as it took; any
  /// op reads dy and its operands, and writes the gradients.
  static Work work_of(const Observation& seen) {
    const double operations = 2.0 * static_cast<double>(seen.op.macs);
    Work work;
    work.forward.operations = operations;
    work.forward.bytes = work.backward.bytes = static_cast<double>(seen.output.bytes);
    for (const auto& each : seen.inputs) {
      const auto bytes = static_cast<double>(each.bytes);
      const auto elements = static_cast<std::size_t>(each.shape.elements());
      work.forward.bytes += bytes;
      work.backward.bytes += each.wants_gradient ? 2 * bytes : bytes;
      if (each.wants_gradient && each.shape.axes() > 1) work.backward.operations += operations;
      if (!each.parameter && elements && each.bytes / elements == 2) work.forward.half = true;
    }
    if (!seen.op.stored) work.forward.bytes = 0;
    work.backward.half = work.forward.half;
    return work;
  }

  double floor_of(const Cost& cost) const {
    const auto& p = options_.peaks;
    const double peak = cost.half && p.half_operations > 0 ? p.half_operations : p.float_operations;
    return (peak > 0 ? cost.operations / peak : 0) + (p.bytes > 0 ? cost.bytes / p.bytes : 0);
  }

  void charge(std::size_t to, bool backward, const Cost& cost) {
    const double seconds = options_.seconds() - mark_;
    const auto memory = memory_statistics();
    if (memory.peak_bytes_in_use > high_water_) {
      high_water_ = memory.peak_bytes_in_use;
      peak_ = {high_water_, rows_[to].path, rows_[to].op, backward};
    }
    if (counting_) {
      auto& pass = backward ? rows_[to].backward : rows_[to].forward;
      ++pass.calls;
      pass.seconds += seconds;
      pass.operations += cost.operations;
      pass.bytes += cost.bytes;
      pass.floor += floor_of(cost);
      in_step_ += seconds;
      if (tracing()) events_.push_back({to, backward, mark_, seconds, memory.bytes_in_use});
    }
    mark_ = options_.seconds();  // what this function takes is nobody's
  }

  ProfileOptions options_;
  bool counting_ = options_.warm_up <= 0;
  double mark_ = 0, step_begin_ = 0;
  double in_step_ = 0;  // charged so far
  std::int64_t seen_steps_ = 0, steps_ = 0;
  double seconds_ = 0;
  std::vector<ProfileRow> rows_;
  std::map<std::pair<std::string, std::string>, std::size_t> index_;
  std::map<const Node*, std::pair<std::size_t, Cost>> nodes_;
  std::vector<Event> events_;
  std::size_t high_water_ = 0;
  ProfilePeak peak_;
  std::size_t last_ = 0;
  Work work_;
};

inline void Profile::write_trace(const std::filesystem::path& path) const {
  const double begin = events_.empty() ? 0 : events_[0].begin;
  io::Json::Array events;
  const auto name_track = [&](int track, const char* name) {
    events.push_back(io::Json::Object{{"name", "thread_name"},
                                      {"ph", "M"},
                                      {"pid", 1},
                                      {"tid", track},
                                      {"args", io::Json::Object{{"name", name}}}});
  };
  name_track(1, "steps");
  name_track(2, "layers");
  for (const auto& event : events_) {
    const bool step = event.row == steps_marker;
    io::Json::Object fields{{"name", "step"}, {"cat", "step"}};
    if (!step) {
      const auto& row = rows_[event.row];
      fields[0].second = row.path.empty() ? row.op : row.path + " " + row.op;
      fields[1].second = event.backward ? "backward" : row.path.empty() ? "loop" : "forward";
    }
    fields.emplace_back("ph", "X");
    fields.emplace_back("ts", (event.begin - begin) * 1e6);  // microseconds
    fields.emplace_back("dur", event.seconds * 1e6);
    fields.emplace_back("pid", 1);
    fields.emplace_back("tid", step ? 1 : 2);
    events.push_back(std::move(fields));
    if (step) continue;
    events.push_back(
        io::Json::Object{{"name", "memory"},
                         {"ph", "C"},
                         {"pid", 1},
                         {"ts", (event.begin - begin + event.seconds) * 1e6},
                         {"args", io::Json::Object{{"bytes in use", event.bytes_in_use}}}});
  }
  const auto text = io::Json(io::Json::Object{{"traceEvents", std::move(events)}}).dump();
  io::write_file(path, std::as_bytes(std::span(text)));
}

/// A table: for each layer and op calls, milliseconds and rate of both passes, the share of the
/// step, and the floor; then the step, how much of it lies outside convolutions and products, and
/// where most memory was in use. Rates are TFLOP/s where there are products, GB/s elsewhere.
inline std::string to_string(const Profile& profile) {
  std::string text;
  char line[256];
  const auto steps = static_cast<double>(std::max<std::int64_t>(profile.steps(), 1));
  const auto rate = [](const ProfilePass& pass) -> std::string {
    char shown[32] = "";
    if (pass.seconds > 0 && pass.operations > 0) {
      std::snprintf(shown, sizeof shown, "%.2f TF/s", pass.operations / pass.seconds * 1e-12);
    } else if (pass.seconds > 0 && pass.bytes > 0) {
      std::snprintf(shown, sizeof shown, "%.1f GB/s", pass.bytes / pass.seconds * 1e-9);
    }
    return shown;
  };
  std::snprintf(line, sizeof line, "%-26s %-18s %6s %10s %11s %10s %11s %7s %9s\n", "layer", "op",
                "calls", "forward ms", "", "backw. ms", "", "share", "floor ms");
  text += line;
  for (const auto& row : profile.rows()) {
    const double seconds = (row.forward.seconds + row.backward.seconds) / steps;
    std::snprintf(line, sizeof line, "%-26s %-18s %6.4g %10.3f %11s %10.3f %11s %6.1f%% %9.3f\n",
                  row.path.c_str(), row.op.c_str(), static_cast<double>(row.forward.calls) / steps,
                  row.forward.seconds / steps * 1e3, rate(row.forward).c_str(),
                  row.backward.seconds / steps * 1e3, rate(row.backward).c_str(),
                  profile.step_seconds() > 0 ? 100 * seconds / profile.step_seconds() : 0,
                  (row.forward.floor + row.backward.floor) / steps * 1e3);
    text += line;
  }
  std::snprintf(line, sizeof line, "step, mean of %lld: %.3f ms; its floor: %.3f ms\n",
                static_cast<long long>(profile.steps()), profile.step_seconds() * 1e3,
                profile.floor_seconds() * 1e3);
  text += line;
  const double outside = profile.step_seconds() - profile.product_seconds();
  std::snprintf(line, sizeof line, "outside convolutions and products: %.3f ms, %.1f%%\n",
                outside * 1e3,
                profile.step_seconds() > 0 ? 100 * outside / profile.step_seconds() : 0);
  text += line;
  if (const auto& peak = profile.peak(); peak.bytes > 0) {
    std::snprintf(line, sizeof line, "most memory in use: %.1f MB, in %s%s%s%s\n",
                  static_cast<double>(peak.bytes) * 1e-6, peak.path.c_str(),
                  peak.path.empty() ? "" : " ", peak.op.c_str(), peak.backward ? " backward" : "");
    text += line;
  }
  return text;
}

}  // namespace tinynet::inline TINYNET_ABI::train
