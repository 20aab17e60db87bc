#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <tinynet/data/dataset.hpp>
#include <tinynet/data/resize.hpp>
#include <tinynet/io/image.hpp>

namespace tinynet::inline TINYNET_ABI::data {

struct ImageFolderOptions {
  std::int64_t height = 0, width = 0;  // every image is resized to it; 0: all are of one size
  int channels = 0;                    // 1 grey, 3 colour; 0: as the first image
};

namespace detail {

/// Whether a link leads to a folder that it lies in, and following it would never end.
template <class = void>
bool leads_up(const std::filesystem::path& link) {
  std::error_code none;
  const auto to = std::filesystem::canonical(link, none);
  const auto in = std::filesystem::canonical(link.parent_path(), none);
  return std::mismatch(to.begin(), to.end(), in.begin(), in.end()).first == to.end();
}

/// The entries of a folder that `wanted` accepts, folder after folder and sorted in each, as torchvision
/// has them; hidden ones, and what lies in hidden folders, are nobody's images.
template <class Iterator, class F>
std::vector<std::filesystem::path> sorted_entries(const std::filesystem::path& folder, F wanted) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  const auto links = std::filesystem::directory_options::follow_directory_symlink;
  for (Iterator at(folder, links, error), end; !error && at != end; at.increment(error)) {
    const bool hidden = at->path().filename().string().front() == '.';
    if constexpr (requires { at.disable_recursion_pending(); }) {
      std::error_code none;
      if (hidden || (at->is_symlink(none) && leads_up(at->path()))) at.disable_recursion_pending();
    }
    if (!hidden && wanted(*at)) found.push_back(at->path());
  }
  if (error) {
    const bool missing = error == std::errc::no_such_file_or_directory;
    throw DataError(Message("image_folder", missing ? "no such folder" : "cannot read the folder")
                        .fact("folder", folder.string())
                        .fact("reason", missing ? std::string() : error.message()));
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return std::pair(a.parent_path().string(), a.filename().string()) <
           std::pair(b.parent_path().string(), b.filename().string());
  });
  return found;
}

template <class = void>
bool is_image_file(const std::filesystem::directory_entry& entry) {
  auto ending = entry.path().extension().string();
  for (auto& letter : ending) {
    letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  }
  const std::array endings{".png", ".jpg", ".jpeg"};
  std::error_code none;
  return std::find(endings.begin(), endings.end(), ending) != endings.end() &&
         entry.is_regular_file(none);
}

}  // namespace detail

/// The PNG and JPEG files of a folder that holds one sub-folder for each class, as torchvision's
/// ImageFolder reads them: classes in the order of their names, then files in the order of theirs,
/// those in deeper folders behind them. All images are held in memory, a byte per value. Throws
/// DataError with the file that cannot be read or that is not like the first.
template <class = void>
Dataset image_folder(const std::filesystem::path& folder, const ImageFolderOptions& options = {}) {
  namespace fs = std::filesystem;
  if (options.height < 0 || options.width < 0 || (options.height == 0) != (options.width == 0)) {
    throw ShapeError(Message("image_folder", "set height and width, or neither")
                         .fact("came", {options.height, " x ", options.width}));
  }
  const auto folders =
      detail::sorted_entries<fs::directory_iterator>(folder, [](const fs::directory_entry& entry) {
        std::error_code none;
        return entry.is_directory(none);
      });
  if (folders.empty()) {
    throw DataError(Message("image_folder", "the folder has no sub-folder; each is a class")
                        .fact("folder", folder.string())
                        .hint("expected FOLDER/class/image.png"));
  }
  std::vector<std::string> classes;
  std::vector<fs::path> files;
  std::vector<std::int32_t> labels;
  for (const auto& class_folder : folders) {
    const auto found = detail::sorted_entries<fs::recursive_directory_iterator>(
        class_folder, detail::is_image_file<>);
    if (found.empty()) {
      throw DataError(Message("image_folder", "a class has no PNG or JPEG file")
                          .fact("folder", class_folder.string()));
    }
    files.insert(files.end(), found.begin(), found.end());
    labels.resize(files.size(), static_cast<std::int32_t>(classes.size()));
    classes.push_back(class_folder.filename().string());
  }

  const auto read = [&](const fs::path& file) {
    const auto image = io::read_image(file, options.channels);
    return options.height ? resize(image, options.height, options.width) : image;
  };
  const auto shape = read(files[0]).shape();
  const auto count = std::ssize(files);
  Tensor<std::uint8_t> images({count, shape[0], shape[1], shape[2]});
  parallel_ranges(count, 16, [&](Range range) {
    for (auto i = range.begin; i < range.end; ++i) {
      const auto image = read(files[static_cast<std::size_t>(i)]);
      if (image.shape() != shape) {
        throw DataError(Message("image_folder", "the images are not of one shape")
                            .fact("file", files[static_cast<std::size_t>(i)].string())
                            .fact("came", image.shape(), "(h, w, c)")
                            .fact("first", shape, files[0].string())
                            .hint("set height and width to resize every image, channels to 1 or 3 "
                                  "where grey and colour are mixed"));
      }
      std::copy_n(image.data(), image.size(), images.data() + i * image.size());
    }
  });
  return Dataset(folder.string(), std::move(images), Tensor<std::int32_t>::from({count}, labels),
                 std::move(classes));
}

}  // namespace tinynet::inline TINYNET_ABI::data
