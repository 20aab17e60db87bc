#pragma once

#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <tinynet/core/error.hpp>

namespace tinynet::inline TINYNET_ABI::io {

/// All bytes of a file. Throws DataError if it is missing, no regular file, or cannot be read to its end.
inline std::vector<std::byte> read_file(const std::string& path) {
  const auto fail = [&](const Text& what, const Text& reason = {}) {
    throw DataError(Message("read", what).fact("file", path).fact("reason", reason));
  };
  const auto reason = [] { return std::generic_category().message(errno); };
  struct stat status;  // asked for first: to open a pipe would wait for its other end
  const bool exists = ::stat(path.c_str(), &status) == 0;
  if (!exists && errno == ENOENT) fail("no such file");
  if (!exists) fail("cannot open the file", reason());
  if (S_ISDIR(status.st_mode)) fail("this is a folder, expected a file");
  if (!S_ISREG(status.st_mode)) fail("this is a device or a pipe, expected a file");
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             std::fclose);
  if (!file) fail("cannot open the file", reason());
  const auto size = static_cast<std::size_t>(status.st_size);
  std::vector<std::byte> bytes(size);
  const auto count = std::fread(bytes.data(), 1, size, file.get());
  if (count != size) fail({"the file ends at byte ", count, " of ", size});
  return bytes;
}

}  // namespace tinynet::inline TINYNET_ABI::io
