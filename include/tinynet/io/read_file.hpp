#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <tinynet/core/error.hpp>

namespace tinynet::inline TINYNET_ABI::io {

/// All bytes of a file. Throws DataError if it is missing, a folder, or cannot be read to its end.
inline std::vector<std::byte> read_file(const std::filesystem::path& path) {
  const auto fail = [&](const Text& what, const Text& reason = {}) {
    throw DataError(Message("read", what).fact("file", path.string()).fact("reason", reason));
  };
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) fail("no such file");
  if (std::filesystem::is_directory(status)) fail("this is a folder, expected a file");
  const auto size = std::filesystem::file_size(path, error);
  if (error) fail("cannot read the file", error.message());
  errno = 0;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             std::fclose);
  if (!file) fail("cannot open the file", std::generic_category().message(errno));
  std::vector<std::byte> bytes(size);
  const auto count = std::fread(bytes.data(), 1, size, file.get());
  if (count != size) fail({"the file ends at byte ", count, " of ", size});
  return bytes;
}

}  // namespace tinynet::inline TINYNET_ABI::io
