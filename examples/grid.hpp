#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "program.hpp"

/// Several trainings of one program, each in a folder of its own below --out, and one table of what
/// they came to.
namespace tinynet::examples {

/// The program as a part of a larger run: its folder is --out/NAME, and it goes on only where it was
/// begun before.
Program part(const Program& program, const std::string& name);

/// A part for each pair of --batch-sizes and --seeds; the program itself where both are absent.
std::vector<Program> grid(const Program& program);

/// A finished run, and what it is compared with, in words.
struct GridRow {
  std::string folder;
  std::string compared = {};
};

/// Prints a line for each run, and mean and standard deviation of those that differ in their seed
/// alone. Runs without a result.json are left out.
void print_table(const std::string& folder, const std::vector<GridRow>& rows);

/// Prints it and writes summary.json: the results of all runs, by the names of their folders.
void summarize(const std::string& folder, const std::vector<GridRow>& rows);

/// Writes the result.json of networks that are tested together: the first one's, with the accuracy of
/// `predictions` and what all of them take.
void write_ensemble(const std::string& folder, const std::vector<GridRow>& members,
                    const train::Predictions& predictions);

/// The runs whose folders lie in this one.
std::vector<GridRow> runs_in(const std::string& folder);

/// Calls `f.operator()<T>(program)` with the scalar that --precision names, once for each part of the
/// grid, until one returns an exit status other than 0; returns the last one. Turns errors into a
/// message and exit status 1.
template <class F>
int run(const Program& program, F f) {
  try {
    if (program.threads > 0) set_num_threads(program.threads);
    const auto parts = grid(program);
    std::vector<GridRow> rows;
    for (const auto& one : parts) {
      if (!one.out.empty()) prepare_output(one.out);
      if (parts.size() > 1) std::printf("%s\n", one.out.c_str());
      const auto run_in = [&]<class T>() {
        train::note_slow_precision<T>();
        return f.template operator()<T>(one);
      };
      const int status = one.precision == "bfloat16"  ? run_in.template operator()<bfloat16>()
                         : one.precision == "float16" ? run_in.template operator()<float16>()
                                                      : run_in.template operator()<float>();
      if (status != 0) return status;
      rows.push_back({one.out});
    }
    if (parts.size() > 1) summarize(program.out, rows);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

}  // namespace tinynet::examples
