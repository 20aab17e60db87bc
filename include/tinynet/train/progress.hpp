#pragma once

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tinynet/core/clock.hpp>
#include <tinynet/core/error.hpp>
#include <tinynet/core/function.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// A number with its name, as a progress line shows it.
struct Metric {
  const char* name;
  double value = 0;
};

/// A list of them, `{{"loss", 0.2}, {"acc", 0.9}}`, or a vector; not copied.
class Metrics {
 public:
  Metrics(std::initializer_list<Metric> list) : size_(list.size()) { begin_ = list.begin(); }
  Metrics(const Metric* list, std::size_t size) : begin_(list), size_(size) {}
  Metrics(const std::vector<Metric>& list) : begin_(list.data()), size_(list.size()) {}
  const Metric* begin() const { return begin_; }
  const Metric* end() const { return begin_ + size_; }

 private:
  const Metric* begin_;
  std::size_t size_;
};

/// Where progress lines go, and what tells the time.
struct ProgressOutput {
  Function<void(std::string_view)> write = {};  // none: says nothing
  int width = 0;                                // columns of the terminal; 0: not a terminal
  Function<double()> seconds = &seconds_now;

  [[gnu::noinline]] static ProgressOutput to(std::FILE* file) {
    ProgressOutput output;
    output.write = [file](std::string_view text) {
      std::fwrite(text.data(), 1, text.size(), file);
      std::fflush(file);
    };
    if (::isatty(::fileno(file))) {
      winsize size{};
      const bool known = ::ioctl(::fileno(file), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
      output.width = known ? size.ws_col : 80;
    }
    return output;
  }
};

/// A line for each epoch:
///
///     Epoch 3/10  235/235 [==============================] 4s 17ms/step  loss 0.2481  acc 0.9102
///
/// A terminal sees it grow, ten times a second, with the time that is left; a file gets it at the
/// end of the epoch. The bar shrinks where the terminal is narrow.
class Progress {
 public:
  Progress(std::int64_t epochs, std::int64_t steps,
           ProgressOutput output = ProgressOutput::to(stdout))
      : epochs_(epochs), steps_(steps), output_(std::move(output)) {}
  /// An error in the middle of an epoch finds the cursor on a line of its own.
  [[gnu::noinline]] ~Progress() {
    if (drawn_ > 0) output_.write("\n");
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Starts the clock of an epoch, counted from 0; of one that goes on, the steps done before.
  void begin(std::int64_t epoch, std::int64_t done = 0) {
    epoch_ = epoch;
    first_ = done_ = done;
    elapsed_ = 0;
    started_ = output_.seconds();
    shown_ = -1;
  }

  /// One more step is done. `metrics` are those of the epoch so far.
  void step(Metrics metrics) {
    ++done_;
    elapsed_ = output_.seconds() - started_;
    const bool due = shown_ < 0 || elapsed_ - shown_ >= 0.1 || done_ == steps_;
    if (!output_.write || output_.width == 0 || !due) return;
    shown_ = elapsed_;
    const auto room = static_cast<std::size_t>(output_.width - 1);  // a full line would scroll
    draw(line(metrics).substr(0, room));
  }

  /// Ends the line. Its time is that of the steps, whatever came after them (validation).
  void finish(Metrics metrics) {
    if (!output_.write) return;
    if (output_.width > 0) {
      draw(line(metrics));
      output_.write("\n");
    } else {
      output_.write(Text({line(metrics), "\n"}).string());
    }
    drawn_ = 0;
  }

  /// Seconds from `begin` to the last step.
  double seconds() const { return elapsed_; }

  /// "4s", "1:23", "2:03:45".
  static std::string duration(double seconds) {
    const auto s = std::llround(seconds);
    char text[48];
    if (s < 60) {
      std::snprintf(text, sizeof text, "%llds", s);
    } else if (s < 3600) {
      std::snprintf(text, sizeof text, "%lld:%02lld", s / 60, s % 60);
    } else {
      std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    }
    return text;
  }

 private:
  static constexpr std::size_t full_bar = 30;

  std::string line(Metrics metrics) const {
    using Long = long long;
    char left[128], number[64];
    const int width = std::snprintf(nullptr, 0, "%lld", Long{steps_});
    const int length =
        std::snprintf(left, sizeof left, "Epoch %lld/%lld  %*lld/%lld", Long{epoch_ + 1},
                      Long{epochs_}, width, Long{done_}, Long{steps_});
    auto right = time();
    for (const auto& [name, value] : metrics) {
      const bool tiny = value != 0 && std::abs(value) < 1e-3;
      std::snprintf(number, sizeof number, tiny ? " %.2e" : " %.4f", value);
      right = Text({right, "  ", name, number}).string();
    }
    return Text({left, bar(static_cast<std::size_t>(length) + right.size()), right}).string();
  }

  /// The bar, as wide as it may be beside that many characters; nothing where it would be a stub.
  std::string bar(std::size_t others) const {
    auto width = full_bar;
    if (output_.width > 0) {
      const auto room = static_cast<std::size_t>(output_.width - 1);
      const auto brackets = std::size_t{3};  // and a space
      width = room > others + brackets ? std::min(full_bar, room - others - brackets) : 0;
    }
    if (width < 3) return "";
    const auto share = static_cast<double>(done_) / static_cast<double>(std::max(steps_, done_));
    const auto filled = static_cast<std::size_t>(share * static_cast<double>(width));
    char bar[full_bar + 1] = {};
    for (std::size_t i = 0; i < width; ++i) bar[i] = i < filled ? '=' : '.';
    if (filled > 0 && filled < width) bar[filled - 1] = '>';
    return Text({" [", bar, "]"}).string();
  }

  std::string time() const {
    const auto timed = done_ - first_;
    const double each = timed > 0 ? elapsed_ / static_cast<double>(timed) : 0;
    const bool running = done_ < steps_;
    const double shown = running ? each * static_cast<double>(steps_ - done_) : elapsed_;
    char text[32];
    if (each >= 1) {
      std::snprintf(text, sizeof text, " %.1fs/step", each);
    } else if (each >= 1e-3) {
      std::snprintf(text, sizeof text, " %.0fms/step", each * 1e3);
    } else {
      std::snprintf(text, sizeof text, " %.0fus/step", each * 1e6);
    }
    return Text({running ? " ETA " : " ", duration(shown), text}).string();
  }

  void draw(const std::string& text) {
    const auto rest = drawn_ > text.size() ? drawn_ - text.size() : 0;
    output_.write(Text({"\r", text, std::string(rest, ' ')}).string());
    drawn_ = text.size();
  }

  std::int64_t epochs_, steps_;
  ProgressOutput output_;
  std::int64_t epoch_ = 0, done_ = 0;
  std::int64_t first_ = 0;  // steps of this epoch that were done before its clock was started
  double started_ = 0, elapsed_ = 0;
  double shown_ = -1;      // when the line was last drawn, in seconds of this epoch
  std::size_t drawn_ = 0;  // characters on the terminal's line
};

}  // namespace tinynet::inline TINYNET_ABI::train
