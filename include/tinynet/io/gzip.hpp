#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include <tinynet/core/error.hpp>
#include <tinynet/io/read_file.hpp>

#ifdef TINYNET_ZLIB
#include <zlib.h>
#endif

namespace tinynet::inline TINYNET_ABI::io {

/// The size of a file by what its first bytes announce; anything large where they do not say yet.
using Announced = std::size_t(const std::byte* first, std::size_t count);

#ifdef TINYNET_ZLIB
namespace detail {

/// Unpacks gzip data (RFC 1952), which may be several members one after another.
class Gunzip {
 public:
  Gunzip(const std::string& path, const std::vector<std::byte>& packed, Announced* announced)
      : path_(path), packed_(packed), announced_(announced) {
    // 15: the largest window; 16: a gzip header, and its checksum tested.
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) throw std::bad_alloc();
  }
  ~Gunzip() { inflateEnd(&stream_); }
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;

  std::vector<std::byte> run() {
    std::vector<std::byte> out(likely_size());
    std::size_t written = 0;
    for (;;) {
      if (written == out.size()) {
        if (announced_ && written > announced_(out.data(), written)) break;
        out.resize(2 * out.size());
      }
      const auto given = step(read_, packed_.size() - read_);
      stream_.next_out = reinterpret_cast<Bytef*>(out.data()) + written;
      const auto room = clamp(out.size() - written);
      stream_.avail_out = room;
      const int status = inflate(&stream_, Z_NO_FLUSH);
      read_ += given - stream_.avail_in;
      written += room - stream_.avail_out;
      if (status == Z_STREAM_END) {
        if (read_ == packed_.size()) break;
        if (packed_[read_] != std::byte{0x1f}) fail("bytes follow the end of the gzip data");
        inflateReset(&stream_);
      } else if (status == Z_BUF_ERROR ||
                 (status == Z_OK && read_ == packed_.size() && stream_.avail_out > 0)) {
        fail("the gzip data is cut short");
      } else if (status == Z_MEM_ERROR) {
        throw std::bad_alloc();
      } else if (status != Z_OK) {
        fail("the gzip data is damaged");
      }
    }
    out.resize(written);
    return out;
  }

 private:
  /// The last four bytes hold the unpacked size, of the last member and modulo 2^32: a guess, not
  /// believed beyond 8 to 1, for where a file is cut short they are any four. One more byte of
  /// room, so that the end is seen without growing.
  std::size_t likely_size() const {
    std::size_t size = 0;
    for (std::size_t i = 1; i <= std::min<std::size_t>(4, packed_.size()); ++i) {
      size = size << 8 | std::to_integer<std::size_t>(packed_[packed_.size() - i]);
    }
    return std::min(size, 8 * packed_.size()) + 1;
  }
  static uInt clamp(std::size_t bytes) {
    return static_cast<uInt>(std::min<std::size_t>(bytes, std::numeric_limits<uInt>::max()));
  }
  uInt step(std::size_t at, std::size_t left) {
    // zlib does not write to its input; its interface predates const.
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed_.data())) + at;
    return stream_.avail_in = clamp(left);
  }
  [[noreturn]] void fail(const Text& what) const {
    throw DataError(Message("gzip", what)
                        .fact("file", path_)
                        .fact("byte", read_, {"of ", packed_.size()})
                        .fact("reason", stream_.msg ? stream_.msg : "")
                        .hint("fetch the file again"));
  }

  std::string path_;
  const std::vector<std::byte>& packed_;
  Announced* announced_;
  std::size_t read_ = 0;
  z_stream stream_{};
};

}  // namespace detail
#endif

/// All bytes of a file, unpacked where they are gzip data: the first two bytes tell, whatever the
/// name. Throws DataError if the file cannot be read, is named .gz and is not gzip data, is damaged
/// or cut short, or if it is packed and this build has no zlib. With `announced` little more than that
/// is unpacked: ten megabytes of gzip data may hold ten gigabytes.
inline std::vector<std::byte> read_unpacked(const std::string& path,
                                            [[maybe_unused]] Announced* announced = nullptr) {
  auto bytes = read_file(path);
  if (bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b}) {
#ifdef TINYNET_ZLIB
    return detail::Gunzip(path, bytes, announced).run();
#else
    throw DataError(Message("gzip", "the file is packed, and this build cannot unpack it")
                        .fact("file", path)
                        .hint("compile with -DTINYNET_ZLIB and link zlib (-lz), or unpack the file "
                              "with gunzip"));
#endif
  }
  if (path.ends_with(".gz")) {
    throw DataError(Message("gzip", "the file is named .gz and is not gzip data")
                        .fact("file", path)
                        .fact("size", bytes.size(), "bytes")
                        .hint("fetch the file again; a failed download often leaves a web page"));
  }
  return bytes;
}

}  // namespace tinynet::inline TINYNET_ABI::io
