#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <CLI/CLI.hpp>

#include <tinynet/tinynet.hpp>

/// What the example programs share: options, the data folder, the choice of precision, errors.
namespace tinynet::examples {

/// The options that every program takes. A program sets its own defaults before `parse`.
struct Program {
  std::string claim;                       // what --help says first
  std::string name;                        // of the program; results go to runs/NAME
  std::filesystem::path data = "/usr/share/datasets/fashion-mnist";
  std::int64_t epochs = 10;
  std::int64_t batch_size = 128;
  std::string precision = "float";
  int threads = 0;                         // 0: all cores
  std::uint64_t seed = 1;
  std::filesystem::path out = {};
  bool resume = false;
  std::int64_t limit_train = 0;            // 0: all images
  std::string command = {};                // as it was typed

  /// Reads the command line; ends the process after --help and for options that make no sense.
  static Program parse(int argc, char** argv, Program program) {
    if (const char* folder = std::getenv("TINYNET_DATA")) program.data = folder;
    if (program.out.empty()) program.out = std::filesystem::path("runs") / program.name;
    CLI::App app(program.claim, program.name);
    app.add_option("--data", program.data, "folder of the data set (or TINYNET_DATA)")
        ->capture_default_str();
    app.add_option("--epochs", program.epochs, "passes over the training images")
        ->capture_default_str()
        ->check(CLI::PositiveNumber);
    app.add_option("--batch-size", program.batch_size, "images a step")
        ->capture_default_str()
        ->check(CLI::PositiveNumber);
    app.add_option("--precision", program.precision, "what activations are stored as")
        ->capture_default_str()
        ->check(CLI::IsMember({"float", "bfloat16", "float16"}));
    app.add_option("--threads", program.threads, "0: as many as there are cores")
        ->capture_default_str()
        ->check(CLI::NonNegativeNumber);
    app.add_option("--seed", program.seed, "of weights, order and augmentation")->capture_default_str();
    app.add_option("--out", program.out, "folder for the results")->capture_default_str();
    app.add_flag("--resume", program.resume, "go on with the checkpoint in --out");
    app.add_option("--limit-train", program.limit_train, "train on the first N images; 0: on all")
        ->capture_default_str()
        ->check(CLI::NonNegativeNumber);
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      std::exit(app.exit(error));
    }
    for (int i = 0; i < argc; ++i) program.command += (i ? " " : "") + std::string(argv[i]);
    return program;
  }

  std::filesystem::path checkpoint() const { return out / "checkpoint.safetensors"; }

  /// A data set without what --limit-train leaves out.
  data::Dataset limited(const data::Dataset& train) const {
    return limit_train > 0 && limit_train < train.size() ? train.take(limit_train) : train;
  }
};

/// Makes the folder for results. Throws DataError where that is not possible, before hours of
/// training end in a file that cannot be written.
inline void prepare_output(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const auto probe = folder / ".writable";
  std::FILE* file = error ? nullptr : std::fopen(probe.c_str(), "w");
  if (!file) {
    throw DataError(Message("--out", "cannot write into the folder for results")
                        .fact("folder", folder.string())
                        .hint("name a folder that you may write to: --out FOLDER"));
  }
  std::fclose(file);
  std::filesystem::remove(probe);
}

/// Calls `f.operator()<T>()` with the scalar that --precision names, and turns errors into a message
/// and exit status 1.
template <class F>
int run(const Program& program, F f) {
  try {
    if (program.threads > 0) set_num_threads(program.threads);
    prepare_output(program.out);
    if (program.precision == "bfloat16") {
      f.template operator()<bfloat16>();
    } else if (program.precision == "float16") {
      f.template operator()<float16>();
    } else {
      f.template operator()<float>();
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

}  // namespace tinynet::examples
