#pragma once

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <tinynet/io/files.hpp>
#include <tinynet/tinynet.hpp>
#include <tinynet/train/step_observer.hpp>

/// What the example programs share: options and the folders of data and results. What needs large
/// headers of others stands in program.cpp and is compiled once for all of them.
namespace tinynet::examples {

/// An option that a program has beside the common ones, and where its value goes; what is there
/// before is the default. A bool is switched by --NAME and --no-NAME; the words of a list have commas
/// between them.
struct Option {
  std::string name;  // without dashes
  std::string help;
  std::variant<bool*, std::int64_t*, double*, std::string*, std::vector<std::string>*> value;
  std::vector<std::string> choices = {};  // of a string; none: any
  double least = 0, most = 1e9;           // of a number
  bool setting = true;                    // of the training: a run that goes on must have the same
  std::string original = {};              // its value where it is not given; parse() finds it out
};

/// What a run that goes on must have in common with its beginning.
struct Setting {
  std::string name, value;
  std::string otherwise;  // the value in files that do not say it
};

/// The options that every program takes. A program sets its own defaults before `parse`.
struct Program {
  std::string claim;  // what --help says first
  std::string name;   // of the program; results go to runs/NAME
  std::string data = "/usr/share/datasets/fashion-mnist";
  std::int64_t epochs = 10;
  std::int64_t batch_size = 128;
  std::string precision = "float";
  int threads = 0;  // 0: all cores
  std::uint64_t seed = 1;
  std::vector<std::int64_t> batch_sizes = {};  // several runs (grid.hpp), instead of batch_size
  std::vector<std::uint64_t> seeds = {};       // the same, instead of seed
  std::string out = {};
  bool resume = false;
  bool part = false;             // of several runs: --resume begins those that were not begun
  std::int64_t limit_train = 0;  // 0: all images
  bool profile = false;          // say where time and memory of a step go
  bool preview = false;          // show what augmentation makes of images
  std::string select = "last";   // whose model is tested: train::Selection; empty: no such option
  std::vector<Option> options = {};
  std::vector<std::string> actions =
      {};                    // one of them comes first on the command line; none: nothing
  bool dated = false;        // --out is a new folder each time if it is left out
  std::string action = {};   // of those actions
  bool out_given = false;    // --out was on the command line
  std::string command = {};  // as it was typed

  /// Reads the command line; ends the process after --help and for options that make no sense. The
  /// names of options may have _ for -.
  static Program parse(int argc, char** argv, Program program);

  /// For programs that only test what an earlier run stored: no folder, no series.
  void writes_nothing() {
    out.clear();
    seeds.clear();
    batch_sizes.clear();
  }
  /// A file in the folder for results.
  std::string file(const std::string& which) const { return io::join(out, which); }
  std::string checkpoint() const { return file("checkpoint.safetensors"); }
  /// Whether it goes on with that checkpoint.
  bool resumes() const { return resume && (!part || io::exists(checkpoint())); }

  std::vector<Setting> settings() const;

  /// A data set without what --limit-train leaves out.
  data::Dataset limited(const data::Dataset& train) const;
};

/// Makes the folder for results. Throws DataError where that is not possible, before hours of
/// training end in a file that cannot be written.
void prepare_output(const std::string& folder);

/// Gives back what earlier runs of this process used, and begins the peaks of memory anew.
void begin_memory_peaks();

/// The watch over the steps of a run, a train::Profile, with floors by the peaks of this machine, which
/// it measures first: a second. Does nothing without --profile.
std::unique_ptr<train::StepObserver> make_profile(const Program& program);

/// Prints the table and the use of memory, and writes trace.json into the folder for results, where --profile asks for it.
void show_profile(const Program& program, const train::StepObserver& profile);

}  // namespace tinynet::examples
