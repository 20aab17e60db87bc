#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <tinynet/core/error.hpp>

namespace tinynet::inline TINYNET_ABI::io {

/// A file that appears under its name whole or not at all.
///
/// The bytes go to a new file in the same folder; `commit` forces them to the disk and renames.
/// Whatever fails before, a crash included, leaves the file that had the name as it was. A symbolic
/// link stays one, and the file that it leads to is replaced; permissions stay as they were. Every
/// member throws DataError with the system's reason.
template <class = void>
class AtomicFileOnDemand {
 public:
  explicit AtomicFileOnDemand(const std::string& path) : path_(behind_links(path)) {
    struct stat old;
    const bool replaces = ::stat(path_.c_str(), &old) == 0;
    if (replaces && !S_ISREG(old.st_mode) && !S_ISDIR(old.st_mode)) {
      errno = EINVAL;
      fail("a file cannot take the place of a device or a pipe");
    }
    do {  // a process of the same number, in another container, may have that name
      temporary_ = temporary_name();
      descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (descriptor_ < 0 && errno == EEXIST);
    if (descriptor_ < 0) fail("cannot create the file");
    if (replaces) (void)::fchmod(descriptor_, old.st_mode & 0777);  // who may read it stays
  }
  AtomicFileOnDemand(const AtomicFileOnDemand&) = delete;
  AtomicFileOnDemand& operator=(const AtomicFileOnDemand&) = delete;
  ~AtomicFileOnDemand() {
    if (descriptor_ < 0) return;
    ::close(descriptor_);
    ::unlink(temporary_.c_str());
  }

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const auto count = ::write(descriptor_, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail("cannot write");
      written_ += static_cast<std::size_t>(count);
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
  }

  /// Puts the file in place. Call once, last.
  void commit() {
    if (::fsync(descriptor_) != 0) fail("cannot flush to the disk");
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("cannot rename into place");
    ::close(std::exchange(descriptor_, -1));
    // The new name is safe once the folder is flushed too; some file systems cannot, no harm done.
    const auto folder = folder_of(path_) + '.';
    const int folder_descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder_descriptor < 0) return;
    ::fsync(folder_descriptor);
    ::close(folder_descriptor);
  }

 private:
  /// What a symbolic link leads to, which need not exist yet; to rename to the link would replace that.
  static std::string behind_links(std::string path) {
    constexpr int most = 40;  // links in a row that Linux follows
    char to[4096];
    for (int i = 0; i < most; ++i) {
      const auto length = ::readlink(path.c_str(), to, sizeof to);
      if (length < 0 || length == sizeof to) break;
      const std::string target(to, static_cast<std::size_t>(length));
      path = target.front() == '/' ? target : folder_of(path) + target;
    }
    return path;
  }
  /// With a slash at its end; empty for the current folder.
  static std::string folder_of(const std::string& path) {
    return path.substr(0, path.rfind('/') + 1);
  }
  /// Beside the file, of this process and this object: of two threads that write one file, the later
  /// remains. The longest names that file systems take have 255 bytes.
  std::string temporary_name() const {
    static std::atomic<unsigned> count{0};
    const auto folder = folder_of(path_);
    return folder + path_.substr(folder.size(), 200) + ".tmp" + std::to_string(::getpid()) + "-" +
           std::to_string(count++);
  }
  [[noreturn]] void fail(const char* what) const {
    const auto reason = std::generic_category().message(errno);
    auto message = Message("write", what);
    message.fact("file", path_).fact("reason", reason);
    if (written_ > 0) message.fact("byte", written_);
    message.hint("choose a folder that exists, is writable and has room; nothing was replaced");
    throw DataError(message);
  }

  std::string path_, temporary_;
  std::size_t written_ = 0;
  int descriptor_ = -1;
};
using AtomicFile = AtomicFileOnDemand<>;

/// Writes a file whole or not at all. Throws DataError where that fails.
template <class = void>
void write_file(const std::string& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace tinynet::inline TINYNET_ABI::io
