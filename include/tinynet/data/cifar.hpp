#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <tinynet/core/parallel.hpp>
#include <tinynet/data/dataset.hpp>
#include <tinynet/io/files.hpp>
#include <tinynet/io/read_file.hpp>

/// CIFAR-10 and CIFAR-100 in their binary version (Krizhevsky 2009): files of records without a
/// header,
///
///     one or two label bytes | 1024 red | 1024 green | 1024 blue, each 32 rows of 32
///
/// https://www.cs.toronto.edu/~kriz/cifar.html. scripts/fetch_cifar10.sh fetches the smaller one.
namespace tinynet::inline TINYNET_ABI::data {

/// What differs between the two.
struct CifarFormat {
  std::int64_t label_bytes = 1;  // in front of each image
  std::int64_t label_at = 0;     // the one of them that counts
  std::int64_t images = 10000;   // in each file
};

namespace detail {

inline constexpr std::int64_t cifar_side = 32, cifar_pixels = cifar_side * cifar_side;

/// `file` in the folder that was named, or in the one that the archive unpacks to.
template <class = void>
std::string cifar_file(const std::string& folder, const std::string& unpacked,
                       const std::string& file) {
  for (const auto& candidate : {folder, io::join(folder, unpacked)}) {
    const auto path = io::join(candidate, file);
    if (io::exists(path)) return path;
  }
  const bool is_folder = io::is_folder(folder);
  throw DataError(
      Message("cifar", is_folder ? "a file of the data set is missing" : "no such folder")
          .fact("folder", folder)
          .fact("looked", file + " and " + unpacked + "/" + file)
          .hint("scripts/fetch_cifar10.sh fetches CIFAR-10; other archives: the binary version of "
                "https://www.cs.toronto.edu/~kriz/cifar.html"));
}

/// The names in a text file, one a line; there must be `count`.
template <class = void>
std::vector<std::string> cifar_names(const std::string& path, std::size_t count) {
  std::vector<std::string> names(1);
  for (const auto byte : io::read_file(path)) {
    const auto letter = static_cast<char>(byte);
    if (letter == '\n') {
      if (!names.back().empty()) names.emplace_back();
    } else if (letter != '\r') {
      names.back() += letter;
    }
  }
  if (names.back().empty()) names.pop_back();
  if (names.size() != count) {
    throw DataError(Message("cifar", "the file does not hold a name for each class")
                        .fact("file", path)
                        .fact("expected", count, "lines")
                        .fact("came", names.size()));
  }
  return names;
}

}  // namespace detail

/// The images of some files, one after another, channels last. Throws DataError, with file and byte,
/// for a size that is not that many records and for a label that is not in [0, classes.size()).
template <class = void>
Dataset read_cifar(std::string name, const std::vector<std::string>& files,
                   const CifarFormat& format, std::vector<std::string> classes) {
  constexpr auto pixels = detail::cifar_pixels;
  const auto record = format.label_bytes + 3 * pixels;
  const auto count = std::ssize(files) * format.images;
  Tensor<std::uint8_t> images({count, detail::cifar_side, detail::cifar_side, 3});
  Tensor<std::int32_t> labels({count});
  std::int64_t first = 0;
  for (const auto& path : files) {
    const auto bytes = io::read_file(path);
    if (std::ssize(bytes) != format.images * record) {
      const bool is_short = std::ssize(bytes) < format.images * record;
      throw DataError(Message("cifar", is_short ? "the file is cut short"
                                                : "the file is longer than it should be")
                          .fact("file", path)
                          .fact("expected", format.images * record,
                                {format.images, " records of ", record, " bytes"})
                          .fact("came", bytes.size(), "bytes")
                          .hint("fetch the archive again, the binary version, and unpack it"));
    }
    for (std::int64_t i = 0; i < format.images; ++i) {
      const auto at = i * record + format.label_at;
      const auto label = std::to_integer<std::int32_t>(bytes[static_cast<std::size_t>(at)]);
      labels.data()[first + i] = label;
      if (label < std::ssize(classes)) continue;
      throw DataError(Message("cifar", {"label ", label, " is out of range"})
                          .fact("file", path)
                          .fact("byte", at, {"image ", i})
                          .fact("expected", {"0 to ", std::ssize(classes) - 1}));
    }
    parallel_ranges(format.images, 64, [&](Range range) {
      for (auto i = range.begin; i < range.end; ++i) {
        const auto* red = bytes.data() + i * record + format.label_bytes;
        auto* to = images.data() + (first + i) * 3 * pixels;
        for (std::int64_t p = 0; p < pixels; ++p) {
          for (std::int64_t c = 0; c < 3; ++c) {
            to[3 * p + c] = std::to_integer<std::uint8_t>(red[c * pixels + p]);
          }
        }
      }
    });
    first += format.images;
  }
  return Dataset(std::move(name), std::move(images), std::move(labels), std::move(classes));
}

/// CIFAR-10, 32 x 32 colour images of ten classes: 50,000 to train in five files, 10,000 to test.
/// `folder` holds the .bin files and batches.meta.txt, or the folder cifar-10-batches-bin that does.
template <class = void>
Dataset cifar10(const std::string& folder, Split split) {
  std::vector<std::string> names{"test_batch.bin"};
  if (split == Split::train) {
    names = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
             "data_batch_5.bin"};
  }
  std::vector<std::string> files;
  for (const auto& name : names) {
    files.push_back(detail::cifar_file(folder, "cifar-10-batches-bin", name));
  }
  const std::string meta = "batches.meta.txt";
  auto classes = detail::cifar_names(detail::cifar_file(folder, "cifar-10-batches-bin", meta), 10);
  return read_cifar("CIFAR-10", files, {}, std::move(classes));
}

/// Each image of CIFAR-100 has two labels.
enum class CifarLabels { fine, coarse };  // of 100 classes, of the 20 that they are grouped in

/// CIFAR-100: 50,000 images to train and 10,000 to test. `folder` holds train.bin, test.bin and
/// fine_label_names.txt or coarse_label_names.txt, or the folder cifar-100-binary that does.
template <class = void>
Dataset cifar100(const std::string& folder, Split split, CifarLabels kind = CifarLabels::fine) {
  const bool is_train = split == Split::train, is_fine = kind == CifarLabels::fine;
  const auto find = [&](const std::string& name) {
    return detail::cifar_file(folder, "cifar-100-binary", name);
  };
  const auto file = find(is_train ? "train.bin" : "test.bin");
  auto classes = detail::cifar_names(
      find(is_fine ? "fine_label_names.txt" : "coarse_label_names.txt"), is_fine ? 100 : 20);
  return read_cifar("CIFAR-100", {file},
                    {.label_bytes = 2, .label_at = is_fine, .images = is_train ? 50000 : 10000},
                    std::move(classes));
}

}  // namespace tinynet::inline TINYNET_ABI::data
