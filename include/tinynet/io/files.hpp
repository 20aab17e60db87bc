#pragma once

#include <sys/stat.h>

#include <string>

#include <tinynet/core/error.hpp>

/// What is asked about files. Their names are strings, to which a std::filesystem::path converts by
/// itself: that header would make every program that includes tinynet compile 3 % longer.
namespace tinynet::inline TINYNET_ABI::io {

inline bool exists(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0;
}

inline bool is_folder(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

/// The file of that name in a folder; an empty one is the current folder.
inline std::string join(const std::string& folder, const Text& name) {
  const bool ended = folder.empty() || folder.back() == '/';
  return Text({folder, ended ? "" : "/", name}).string();
}

}  // namespace tinynet::inline TINYNET_ABI::io
