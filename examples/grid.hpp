#pragma once

#include <string>
#include <vector>

#include "program.hpp"

/// Several trainings of one program, each in a folder of its own below --out, and one table of what
/// they came to.
namespace tinynet::examples {

/// The program as a part of a larger run: its folder is --out/NAME, and it goes on only where it was
/// begun before.
Program part(const Program& program, const std::string& name);

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

/// The runs whose folders lie in this one.
std::vector<GridRow> runs_in(const std::string& folder);

/// A run of several, and what it is compared with, in words.
struct Part {
  Program program;
  std::string compared = {};
};

/// Calls `train` for each part and its number, until one returns an exit status other than 0, and returns
/// that; or sums up what they came to in `folder`.
int train_parts(const std::string& folder, const std::vector<Part>& parts,
                const Function<int(const Program&, std::size_t)>& train);

/// Calls `train` for each pair of --batch-sizes and --seeds as a part, once where both are absent. Turns
/// errors into a message and exit status 1.
int run_parts(const Program& program, const Function<int(const Program&)>& train);

/// The same with `f.operator()<T>`, where T is the scalar that --precision names.
template <class F>
int run(const Program& program, F f) {
  return run_parts(program, [&](const Program& one) -> int {
    const auto run_in = [&]<class T>() {
      train::note_slow_precision<T>();
      return f.template operator()<T>(one);
    };
    if (one.precision == "bfloat16") return run_in.template operator()<bfloat16>();
    if (one.precision == "float16") return run_in.template operator()<float16>();
    return run_in.template operator()<float>();
  });
}

}  // namespace tinynet::examples
