#pragma once

#include <iterator>
#include <string>

#include <tinynet/data/idx.hpp>
#include <tinynet/io/files.hpp>

namespace tinynet::inline TINYNET_ABI::data {

namespace detail {

inline std::string find_idx(const std::string& folder, const Text& name) {
  for (const auto* ending : {"", ".gz"}) {
    auto path = io::join(folder, {name, ending});
    if (io::exists(path)) return path;
  }
  const bool is_folder = io::is_folder(folder);
  throw DataError(
      Message("fashion_mnist", is_folder ? "a file of the data set is missing" : "no such folder")
          .fact("folder", folder)
          .fact("looked", {name, " and ", name, ".gz"})
          .hint("apt-get install dataset-fashion-mnist puts the files into "
                "/usr/share/datasets/fashion-mnist; name another folder by --data or "
                "TINYNET_DATA"));
}

}  // namespace detail

/// FashionMNIST (Xiao, Rasul, Vollgraf 2017), 28 x 28 grey images of ten kinds of clothing: 60,000
/// to train, 10,000 to test. `folder` holds the four IDX files, packed or not. Throws DataError.
inline Dataset fashion_mnist(const std::string& folder, Split split) {
  const char* prefix = split == Split::train ? "train" : "t10k";
  const auto images = detail::find_idx(folder, {prefix, "-images-idx3-ubyte"});
  const auto labels = detail::find_idx(folder, {prefix, "-labels-idx1-ubyte"});
  static constexpr const char* classes[] = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                            "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                            "Bag",         "Ankle boot"};
  auto dataset =
      read_idx_dataset("FashionMNIST", images, labels, {std::begin(classes), std::end(classes)});
  const Shape expected{28, 28, 1};
  if (dataset.image_shape() != expected) {
    throw DataError(Message("fashion_mnist", "images of another size")
                        .fact("file", images)
                        .fact("expected", expected)
                        .fact("came", dataset.image_shape())
                        .hint("read other data sets in IDX files by read_idx_dataset"));
  }
  return dataset;
}

}  // namespace tinynet::inline TINYNET_ABI::data
