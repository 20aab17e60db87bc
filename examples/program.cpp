#include "program.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>

#include <CLI/CLI.hpp>

#include <tinynet/io/utf8.hpp>
#include <tinynet/train/profile.hpp>
#include <tinynet/winograd.hpp>

#include "../benchmarks/peaks.hpp"

namespace tinynet::examples {

namespace {

/// All programs convolve by it, in each precision.
[[maybe_unused]] const bool winograd = kernels::include_winograd<bfloat16, float16>();

/// A path left empty, by a script's unset variable say, would be taken for one that was not given.
std::string refuse_empty(const std::string& given) { return given.empty() ? "is empty" : ""; }

/// Runs of the same value would share a folder.
template <class Value>
void refuse_repeated(const char* name, std::vector<Value> values) {
  std::sort(values.begin(), values.end());
  const auto twice = std::adjacent_find(values.begin(), values.end());
  if (twice == values.end()) return;
  throw CLI::ValidationError(name, std::to_string(*twice) + " comes twice");
}

void add(CLI::App& app, const Option& option) {
  if (const auto* flag = std::get_if<bool*>(&option.value)) {
    const auto names = "--" + option.name + ",!--no-" + option.name;
    app.add_flag(names, **flag, option.help + (**flag ? " [on]" : " [off]"));
    return;
  }
  std::visit(
      [&]<class Value>(Value* value) {
        auto* added =
            app.add_option("--" + option.name, *value, option.help)->capture_default_str();
        if constexpr (std::is_same_v<Value, std::vector<std::string>>) {
          added->delimiter(',')->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
        } else if constexpr (std::is_same_v<Value, std::string>) {
          if (!option.choices.empty()) added->check(CLI::IsMember(option.choices));
          else added->check(refuse_empty);
        } else if constexpr (!std::is_same_v<Value, bool>) {
          added->check(
              CLI::Range(static_cast<Value>(option.least), static_cast<Value>(option.most)));
          added->check([](const std::string& given) {  // which is within every range
            return std::isnan(std::strtod(given.c_str(), nullptr)) ? "not a number: " + given : "";
          });
        }
      },
      option.value);
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : ",") + word;
  return text;
}

/// With as many digits as tell settings apart.
std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

/// Files hold UTF-8 alone, names of folders need not.
std::string as_utf8(std::string text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto length = io::utf8_length(text, i);
    if (length == 0) text[i] = '?';
    i += std::max<std::size_t>(length, 1);
  }
  return text;
}

std::string text_of(const Option& option) {
  return std::visit(
      []<class Value>(const Value* value) {
        if constexpr (std::is_same_v<Value, std::string>) return *value;
        else if constexpr (std::is_same_v<Value, std::vector<std::string>>) return joined(*value);
        else if constexpr (std::is_same_v<Value, double>) return number(*value);
        else return std::to_string(*value);
      },
      option.value);
}

std::string with_dashes(std::string argument) {
  const auto name_end = std::min(argument.find('='), argument.size());
  if (argument.starts_with("--")) {
    std::replace(argument.begin(), argument.begin() + static_cast<std::ptrdiff_t>(name_end), '_',
                 '-');
  }
  return argument;
}

/// Of the runs in a folder, whose names are their dates, the last one; the folder where there is none.
std::string newest_in(const std::string& folder) {
  std::filesystem::path newest = folder;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    if (entry.is_directory(none)) newest = std::max(newest, entry.path());
  }
  return newest;
}

std::string time_stamp() {
  const std::time_t now = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d_%H-%M-%S", std::localtime(&now));
  return text;
}

}  // namespace

std::vector<Setting> Program::settings() const {
  const std::string unsaid = "not said";
  std::vector<Setting> all{{"batch-size", std::to_string(batch_size), unsaid},
                           {"precision", precision, unsaid},
                           {"seed", std::to_string(seed), unsaid},
                           {"limit-train", std::to_string(limit_train), unsaid},
                           {"select", select, unsaid}};
  for (const auto& option : options) {
    if (option.setting) all.push_back({option.name, as_utf8(text_of(option)), option.original});
  }
  return all;
}

data::Dataset Program::limited(const data::Dataset& train) const {
  return limit_train > 0 && limit_train < train.size() ? train.take(limit_train) : train;
}

Program Program::parse(int argc, char** argv, Program program) {
  if (const char* folder = std::getenv("TINYNET_DATA")) program.data = folder;
  if (program.out.empty()) program.out = "runs/" + program.name;
  const auto folder = program.out;
  for (auto& option : program.options) option.original = text_of(option);
  if (program.dated) program.out = program.file(time_stamp());
  CLI::App app(program.claim, program.name);
  // A setting that comes twice counts the second time: scripts add to what they were given.
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  if (!program.actions.empty()) {
    app.add_option("action", program.action, "what is done")
        ->required()
        ->check(CLI::IsMember(program.actions));
  }
  app.add_option("--data", program.data, "folder of the data set (or TINYNET_DATA)")
      ->capture_default_str()
      ->check(refuse_empty);
  app.add_option("--epochs", program.epochs, "passes over the training images")
      ->capture_default_str()
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1'000'000}));
  app.add_option("--batch-size", program.batch_size, "images a step")
      ->capture_default_str()
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1'000'000}));
  app.add_option("--precision", program.precision, "what activations are stored as")
      ->capture_default_str()
      ->check(CLI::IsMember({"float", "bfloat16", "float16"}));
  app.add_option("--threads", program.threads, "0: as many as there are cores")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  app.add_option("--seed", program.seed, "of weights, order and augmentation")
      ->capture_default_str();
  app.add_option("--batch-sizes", program.batch_sizes,
                 "train once with each, with commas between them, and print one table")
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1'000'000}));
  app.add_option("--seeds", program.seeds, "the same with several seeds, and their mean")
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  const auto* out = app.add_option("--out", program.out, "folder for the results")
                        ->capture_default_str()
                        ->check(refuse_empty);
  app.add_flag("--resume", program.resume, "go on with the checkpoint in --out");
  app.add_option("--limit-train", program.limit_train, "train on the first N images; 0: on all")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--profile", program.profile,
               "print where the time of a step goes, write trace.json into --out");
  app.add_flag(
      "--preview", program.preview,
      "write preview.png into --out: training images and what augmentation makes of them, unmixed");
  if (!program.select.empty()) {
    app.add_option("--select", program.select,
                   "the epoch whose model is tested: the last one, or the best on held-out "
                   "training images or (which makes the accuracy too high) on the test images")
        ->capture_default_str()
        ->check(CLI::IsMember({"last", "validation", "test"}));
  }
  for (const auto& option : program.options) add(app, option);
  std::vector<std::string> arguments;  // the last one first, as CLI11 takes them
  for (int i = argc - 1; i > 0; --i) arguments.push_back(with_dashes(argv[i]));
  try {
    app.parse(arguments);
    refuse_repeated("--seeds", program.seeds);
    refuse_repeated("--batch-sizes", program.batch_sizes);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  program.out_given = out->count() > 0;
  if (program.dated && program.resume && !program.out_given) program.out = newest_in(folder);
  for (int i = 0; i < argc; ++i) program.command += (i ? " " : "") + as_utf8(argv[i]);
  return program;
}

void prepare_output(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const auto probe = io::join(folder, ".writable");
  std::FILE* file = error ? nullptr : std::fopen(probe.c_str(), "w");
  if (!file) {
    throw DataError(Message("--out", "cannot write into the folder for results")
                        .fact("folder", folder)
                        .hint("name a folder that you may write to: --out FOLDER"));
  }
  std::fclose(file);
  std::remove(probe.c_str());
}

void begin_memory_peaks() {
  trim_memory();
  reset_memory_peak();
  reset_resident_peak();
}

std::unique_ptr<train::StepObserver> make_profile(const Program& program) {
  train::ProfileOptions options{.enabled = program.profile};
  if (program.profile) {
    const auto& peaks = benchmarks::peaks();
    options.peaks = {.float_operations = peaks.float_operations,
                     .half_operations = peaks.half_operations(),
                     .bytes = peaks.copy_bytes};
    begin_memory_peaks();  // what was copied, hundreds of megabytes, is not the run's
  }
  return std::make_unique<train::Profile>(options);
}

void show_profile(const Program& program, const train::StepObserver& watch) {
  const auto& profile = static_cast<const train::Profile&>(watch);
  if (!profile.enabled() || profile.steps() == 0) return;
  const auto trace = program.file("trace.json");
  std::printf("%s%s", to_string(profile).c_str(), memory_report().c_str());
  profile.write_trace(trace);
  std::printf("trace  %s  (open it in ui.perfetto.dev)\n", trace.c_str());
}

}  // namespace tinynet::examples
