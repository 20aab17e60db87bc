#pragma once

#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include <tinynet/core/error.hpp>
#include <tinynet/core/memory_report.hpp>

/// How much memory something takes, as the system sees it. The high-water mark is a process's own and
/// never falls, so whatever is measured has a process to itself.
namespace tinynet::benchmarks {

/// Runs this program with other arguments and reads the number that it prints.
inline double ask_own_process(const std::vector<std::string>& arguments) {
  std::string command = "exec /proc/" + std::to_string(::getpid()) + "/exe";
  for (const auto& each : arguments) command += " '" + each + "'";
  std::FILE* answer = ::popen(command.c_str(), "r");
  double number = 0;
  const bool read = answer && std::fscanf(answer, "%lf", &number) == 1;
  if (!answer || ::pclose(answer) != 0 || !read) {
    throw StateError(Message("versus_libtorch", "a process of its own ended without an answer")
                         .fact("command", command));
  }
  return number;
}

}  // namespace tinynet::benchmarks
