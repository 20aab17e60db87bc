// The data floor: packed files, IDX, data sets and their views, augmentation, the loader.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>
#include <tinynet/data/fashion_mnist.hpp>
#include <tinynet/data/loader.hpp>
#include <tinynet/data/mix.hpp>
#include <tinynet/data/resize.hpp>

#ifdef TINYNET_ZLIB
#include <zlib.h>
#endif

using namespace tinynet;

namespace {

using Bytes = std::vector<unsigned char>;

/// A folder that goes away with the test.
struct Folder {
  std::filesystem::path path;
  explicit Folder(const std::string& name)
      : path(std::filesystem::temp_directory_path() /
             ("tinynet_data_" + name + "_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }

  std::string write(const std::string& name, const Bytes& bytes) const {
    std::ofstream file(path / name, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), std::ssize(bytes));
    return (path / name).string();
  }
};

Bytes idx(const std::vector<std::uint32_t>& sizes, const Bytes& elements) {
  Bytes bytes{0, 0, 8, static_cast<unsigned char>(sizes.size())};
  for (const auto size : sizes) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      bytes.push_back(static_cast<unsigned char>(size >> shift));
    }
  }
  bytes.insert(bytes.end(), elements.begin(), elements.end());
  return bytes;
}

#ifdef TINYNET_ZLIB
Bytes gzip(const Bytes& bytes) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  Bytes packed(bytes.size() + 100);
  stream.next_in = const_cast<unsigned char*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = packed.data();
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}
#endif

/// The text of the error that `f` throws.
template <class Error, class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

Bytes as_bytes(const std::vector<std::byte>& bytes) {
  Bytes result;
  for (const auto b : bytes) result.push_back(std::to_integer<unsigned char>(b));
  return result;
}

/// Noise of `n` images; label i % 3.
data::Dataset noise(std::int64_t n, std::int64_t side = 6, std::int64_t channels = 1) {
  Tensor<std::uint8_t> images({n, side, side, channels});
  for (std::int64_t i = 0; i < images.size(); ++i) {
    images.data()[i] = static_cast<std::uint8_t>(random::below({7}, std::uint64_t(i), 256));
  }
  Tensor<std::int32_t> labels({n});
  for (std::int64_t i = 0; i < n; ++i) labels.data()[i] = static_cast<std::int32_t>(i % 3);
  return data::Dataset("noise", images, labels, {"a", "b", "c"});
}

std::vector<std::int64_t> rows(const data::Dataset& dataset) {
  std::vector<std::int64_t> result;
  for (std::int64_t i = 0; i < dataset.size(); ++i) result.push_back(dataset.row(i));
  return result;
}

/// All that an epoch delivers, one after another.
template <class T>
struct Delivered {
  std::vector<T> images;
  std::vector<std::int32_t> labels;
  std::vector<std::int64_t> samples, sizes, indices;

  Delivered(const data::Loader<T>& loader, std::int64_t epoch) {
    for (const auto& batch : loader.epoch(epoch)) {
      images.insert(images.end(), batch.images.span().begin(), batch.images.span().end());
      labels.insert(labels.end(), batch.labels.span().begin(), batch.labels.span().end());
      samples.insert(samples.end(), batch.samples.begin(), batch.samples.end());
      sizes.push_back(batch.size());
      indices.push_back(batch.index);
      CHECK(batch.images.shape()[0] == batch.size());
      CHECK(std::ssize(batch.samples) == batch.size());
    }
  }
  bool operator==(const Delivered& other) const {
    return images.size() == other.images.size() && labels == other.labels &&
           samples == other.samples && sizes == other.sizes && indices == other.indices &&
           std::memcmp(images.data(), other.images.data(), images.size() * sizeof(T)) == 0;
  }
};

/// Sets the number of threads while it lives.
struct Threads {
  int before = num_threads();
  explicit Threads(int count) { set_num_threads(count); }
  ~Threads() { set_num_threads(before); }
};

}  // namespace

TEST_CASE("read_unpacked gives a plain file as it is") {
  const Folder folder("plain");
  const auto path = folder.write("plain", {1, 2, 3});
  CHECK(as_bytes(io::read_unpacked(path)) == Bytes{1, 2, 3});
}

TEST_CASE("a file named .gz that is something else") {
  const Folder folder("named");
  const auto path = folder.write("page.gz", {'<', 'h', 't', 'm', 'l', '>'});
  CHECK(
      error_of<DataError>([&] { io::read_unpacked(path); }) ==
      "[gzip] the file is named .gz and is not gzip data\n  file    " + path +
          "\n  size    6                   bytes\n  hint: fetch the file again; a failed download "
          "often leaves a web page");
}

#ifdef TINYNET_ZLIB
TEST_CASE("gzip data are unpacked, whatever the name") {
  const Folder folder("gzip");
  Bytes content(300000);
  for (std::size_t i = 0; i < content.size(); ++i) {
    content[i] = static_cast<unsigned char>(i / 1000 + random::below({1}, i, 4));
  }
  const auto packed = gzip(content);
  CHECK(as_bytes(io::read_unpacked(folder.write("a.gz", packed))) == content);
  CHECK(as_bytes(io::read_unpacked(folder.write("a", packed))) == content);
  CHECK(as_bytes(io::read_unpacked(folder.write("empty.gz", gzip({})))).empty());

  SUBCASE("two members one after another are one file") {
    auto twice = packed;
    twice.insert(twice.end(), packed.begin(), packed.end());
    auto expected = content;
    expected.insert(expected.end(), content.begin(), content.end());
    CHECK(as_bytes(io::read_unpacked(folder.write("twice.gz", twice))) == expected);
  }
  SUBCASE("very compressible data outgrow the first guess") {
    const Bytes zeros(1000000);
    CHECK(as_bytes(io::read_unpacked(folder.write("zeros.gz", gzip(zeros)))) == zeros);
  }
}

TEST_CASE("damaged gzip data name file and byte") {
  const Folder folder("damaged");
  Bytes content(5000);
  for (std::size_t i = 0; i < content.size(); ++i) {
    content[i] = static_cast<unsigned char>(random::below({1}, i, 256));
  }
  const auto packed = gzip(content);
  const auto size = std::to_string(packed.size());
  const auto message = [&](const std::string& what, const std::string& path,
                           const std::string& byte, const std::string& of,
                           const std::string& reason) {
    return "[gzip] " + what + "\n  file    " + path + "\n  byte    " + byte +
           std::string(20 - byte.size(), ' ') + "of " + of + reason +
           "\n  hint: fetch the file again";
  };
  SUBCASE("cut short, anywhere") {
    for (std::size_t length = 2; length < packed.size(); length += 37) {
      CAPTURE(length);
      auto cut = packed;
      cut.resize(length);
      const auto path = folder.write("cut.gz", cut);
      CHECK(error_of<DataError>([&] { io::read_unpacked(path); }) ==
            message("the gzip data is cut short", path, std::to_string(length),
                    std::to_string(length), ""));
    }
  }
  SUBCASE("the checksum does not fit") {
    auto wrong = packed;
    wrong[packed.size() - 8] ^= 1;
    const auto path = folder.write("wrong.gz", wrong);
    const auto text = error_of<DataError>([&] { io::read_unpacked(path); });
    CHECK(text.find("[gzip] the gzip data is damaged\n  file    " + path) == 0);
    CHECK(text.find("\n  reason  incorrect data check\n  hint: fetch the file again") !=
          std::string::npos);
  }
  SUBCASE("any changed byte of the content is found") {
    for (std::size_t i = 10; i < packed.size(); i += 101) {
      CAPTURE(i);
      auto wrong = packed;
      wrong[i] ^= 0x55;
      CHECK_THROWS_AS(io::read_unpacked(folder.write("flip.gz", wrong)), DataError);
    }
  }
  SUBCASE("something follows") {
    auto more = packed;
    more.push_back('x');
    const auto path = folder.write("more.gz", more);
    CHECK(error_of<DataError>([&] { io::read_unpacked(path); }) ==
          message("bytes follow the end of the gzip data", path, size, std::to_string(more.size()),
                  ""));
  }
}
#else
TEST_CASE("a build without zlib says how to get one that reads .gz") {
  const Folder folder("nozlib");
  const auto path = folder.write("a.gz", {0x1f, 0x8b, 8, 0});
  CHECK(error_of<DataError>([&] { io::read_unpacked(path); }) ==
        "[gzip] the file is packed, and this build cannot unpack it\n  file    " + path +
            "\n  hint: compile with -DTINYNET_ZLIB and link zlib (-lz), or unpack the file with "
            "gunzip");
}
#endif

TEST_CASE("read_idx reads sizes and elements") {
  const Folder folder("idx");
  const auto bytes = idx({2, 1, 3}, {1, 2, 3, 250, 251, 252});
  const auto images = data::read_idx(folder.write("images", bytes), 3);
  CHECK(images.shape() == Shape{2, 1, 3});
  CHECK(images(1, 0, 2) == 252);
#ifdef TINYNET_ZLIB
  const auto unpacked = data::read_idx(folder.write("images.gz", gzip(bytes)), 3);
  CHECK(unpacked.shape() == images.shape());
  CHECK(unpacked(1, 0, 0) == 250);
#endif
}

#ifdef TINYNET_ZLIB
TEST_CASE("read_idx unpacks little more than a header announces") {
  const Folder folder("announced");
  const auto path = folder.write("images.gz", gzip(idx({3}, Bytes(10'000'000))));
  const auto text = error_of<DataError>([&] { data::read_idx(path, 1); });
  const auto came = text.find("came    ");
  REQUIRE(came != std::string::npos);
  CHECK(text.find("more bytes follow than the header announces") != std::string::npos);
  CHECK(std::stol(text.substr(came + 8)) < 200'000);
}
#endif

TEST_CASE("read_idx says what is wrong with a file") {
  const Folder folder("badidx");
  const auto error = [&](const Bytes& bytes, int axes) {
    const auto path = folder.write("file", bytes);
    auto text = error_of<DataError>([&] { data::read_idx(path, axes); });
    const auto at = text.find(path);
    return at == std::string::npos ? text : text.replace(at, path.size(), "FILE");
  };
  CHECK(error({}, 1) ==
        "[idx] the file ends within its header\n  file    FILE\n  expected  8                   "
        "bytes at least\n  came    0                   bytes\n  hint: fetch the file again");
  CHECK(error({0, 0, 8, 3, 0, 0, 0, 1}, 3) ==
        "[idx] the file ends within its header\n  file    FILE\n  expected  16                  "
        "bytes at least\n  came    8                   bytes\n  hint: fetch the file again");
  CHECK(error(idx({4}, {1, 2, 3, 4}), 1) == "no error");
  CHECK(error(idx({9}, {0, 0, 0, 0, 0, 0, 0, 1, 7}), 3) ==
        "[idx] wrong magic number\n  file    FILE\n  byte    0\n  expected  00 00 08 03         "
        "images\n  came    00 00 08 01\n  hint: images begin with 00 00 08 03, labels with "
        "00 00 08 01");
  CHECK(error({'<', 'h', 't', 'm', 'l', '>', 0, 0}, 1) ==
        "[idx] wrong magic number\n  file    FILE\n  byte    0\n  expected  00 00 08 01         "
        "labels\n  came    3c 68 74 6d\n  hint: images begin with 00 00 08 03, labels with "
        "00 00 08 01");
  CHECK(error(idx({3, 0, 2}, {}), 3) == "[idx] axis 1 has size 0\n  file    FILE\n  byte    8");
  CHECK(error(idx({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7}), 3) ==
        "[idx] the file is cut short\n  file    FILE\n  header  [2, 2, 2]\n  expected  24"
        "                  bytes, unpacked\n  came    23                  bytes\n  "
        "hint: fetch the file again");
  CHECK(error(idx({3}, {1, 2, 3, 4, 5}), 1) ==
        "[idx] more bytes follow than the header announces\n  file    FILE\n  header  [3]\n  "
        "expected  11                  bytes, unpacked\n  came    13                  bytes\n  "
        "hint: fetch the file again");
  // sizes whose product does not fit 64 bits
  CHECK(error(idx({0xffffffff, 0xffffffff, 0xffffffff}, {1, 2, 3}), 3)
            .find("[idx] the file is cut short\n") == 0);
  CHECK(error_of<DataError>([&] { data::read_idx(folder.path / "nothing", 1); }) ==
        "[read] no such file\n  file    " + (folder.path / "nothing").string());
}

TEST_CASE("a pair of IDX files becomes a data set, or a message about both") {
  const Folder folder("pair");
  const auto images = folder.write("images", idx({3, 2, 2}, Bytes(12, 9)));
  const auto read = [&](const std::string& labels) {
    return data::read_idx_dataset("three", images, labels, {"zero", "one"});
  };
  const auto dataset = read(folder.write("labels", idx({3}, {1, 0, 1})));
  CHECK(dataset.size() == 3);
  CHECK(dataset.image_shape() == Shape{2, 2, 1});
  CHECK(dataset.label(0) == 1);
  CHECK(dataset.image(2)[3] == 9);
  CHECK(dataset.classes()[1] == "one");

  const auto fewer = folder.write("fewer", idx({2}, {1, 0}));
  CHECK(error_of<DataError>([&] { read(fewer); }) == "[idx] 3 images, but 2 labels\n  images  " +
                                                         images + "\n  labels  " + fewer +
                                                         "\n  hint: pair the files of one split");
  const auto out_of_range = folder.write("range", idx({3}, {1, 0, 2}));
  CHECK(error_of<DataError>([&] { read(out_of_range); }) ==
        "[idx] label 2 is out of range\n  file    " + out_of_range +
            "\n  byte    10                  sample 2\n  expected  0 to 1");
}

TEST_CASE("fashion_mnist finds its files, or says what it looked for and where") {
  const Folder folder("fashion");
  folder.write("train-images-idx3-ubyte", idx({2, 28, 28}, Bytes(2 * 28 * 28, 3)));
  folder.write("train-labels-idx1-ubyte", idx({2}, {9, 0}));
  const auto train = data::fashion_mnist(folder.path, data::Split::train);
  CHECK(train.name() == "FashionMNIST");
  CHECK(train.image_shape() == Shape{28, 28, 1});
  CHECK(train.classes()[static_cast<std::size_t>(train.label(0))] == "Ankle boot");

  const std::string hint =
      "\n  hint: apt-get install dataset-fashion-mnist puts the files into "
      "/usr/share/datasets/fashion-mnist; name another folder by --data or TINYNET_DATA";
  CHECK(error_of<DataError>([&] { data::fashion_mnist(folder.path, data::Split::test); }) ==
        "[fashion_mnist] a file of the data set is missing\n  folder  " + folder.path.string() +
            "\n  looked  t10k-images-idx3-ubyte and t10k-images-idx3-ubyte.gz" + hint);
  CHECK(error_of<DataError>([&] { data::fashion_mnist("/no/such", data::Split::train); }) ==
        "[fashion_mnist] no such folder\n  folder  /no/such\n  looked  train-images-idx3-ubyte and "
        "train-images-idx3-ubyte.gz" +
            hint);
  const Folder digits("digits");  // another set in files of these names
  digits.write("train-images-idx3-ubyte", idx({1, 8, 8}, Bytes(64)));
  digits.write("train-labels-idx1-ubyte", idx({1}, {1}));
  CHECK(error_of<DataError>([&] { data::fashion_mnist(digits.path, data::Split::train); }) ==
        "[fashion_mnist] images of another size\n  file    " +
            (digits.path / "train-images-idx3-ubyte").string() +
            "\n  expected  [28, 28, 1]\n  came    [8, 8, 1]"
            "\n  hint: read other data sets in IDX files by read_idx_dataset");
#ifdef TINYNET_ZLIB
  folder.write("t10k-images-idx3-ubyte.gz", gzip(idx({1, 28, 28}, Bytes(28 * 28))));
  folder.write("t10k-labels-idx1-ubyte.gz", gzip(idx({1}, {5})));
  CHECK(data::fashion_mnist(folder.path, data::Split::test).label(0) == 5);
#endif
}

TEST_CASE("a data set checks what it is made of") {
  const Tensor<std::uint8_t> images({2, 3, 3, 1});
  const auto make = [&](std::initializer_list<std::int32_t> labels) {
    const auto count = static_cast<std::int64_t>(labels.size());
    data::Dataset("toy", images, Tensor<std::int32_t>::from({count}, labels), {"a", "b"});
  };
  CHECK_NOTHROW(make({0, 1}));
  CHECK(error_of<DataError>([&] { make({0}); }) ==
        "[dataset] 2 images, but 1 labels\n  dataset toy");
  CHECK(error_of<DataError>([&] {
          make({0, 2});
        }) ==
        "[dataset] label 2 is out of range\n  dataset toy                 2 classes\n  sample  1");
  CHECK(error_of<DataError>([&] {
          make({-1, 0});
        }) ==
        "[dataset] label -1 is out of range\n  dataset toy                 2 classes\n  sample  0");
  CHECK(error_of<ShapeError>([&] {
          data::Dataset("toy", images.reshape({2, 9}), Tensor<std::int32_t>::zeros({2}), {"a"});
        }) ==
        "[dataset] images need four axes\n  expected  [n, h, w, c]\n  came    [2, 9]"
        "              toy");
}

TEST_CASE("views share the images and keep their rows") {
  const auto all = noise(10);
  const auto some = all.subset({7, 2, 2, 9});
  CHECK(rows(some) == std::vector<std::int64_t>{7, 2, 2, 9});
  CHECK(some.image(0).data() == all.image(7).data());
  CHECK(some.label(0) == all.label(7));
  CHECK(rows(some.subset({3, 0})) == std::vector<std::int64_t>{9, 7});
  CHECK(rows(some.take(2)) == std::vector<std::int64_t>{7, 2});
  CHECK(all.take(1000).size() == 10);
  CHECK(all.take(0).size() == 0);
  CHECK(error_of<ShapeError>([&] { some.subset({4}); }) ==
        "[dataset] no sample 4\n  dataset noise               4 samples");
  CHECK_THROWS_AS(all.row(-1), ShapeError);
}

TEST_CASE("split draws at random, loses nothing, and is the same every time") {
  const auto all = noise(1000);
  const auto [first, second] = all.split(100, random::Key{3});
  CHECK(first.size() == 100);
  CHECK(second.size() == 900);
  std::set<std::int64_t> seen;
  for (const auto row : rows(first)) seen.insert(row);
  for (const auto row : rows(second)) seen.insert(row);
  CHECK(seen.size() == 1000);
  CHECK(rows(first) != rows(all.take(100)));
  CHECK(rows(all.split(100, random::Key{3}).first) == rows(first));
  CHECK(rows(all.split(100, random::Key{4}).first) != rows(first));
  CHECK(rows(all.split(0.1, random::Key{3}).first) == rows(first));
  CHECK(all.split(1.0).second.size() == 0);
  CHECK(error_of<ShapeError>([&] { all.split(1001); }) ==
        "[split] cannot take 1001 samples\n  dataset noise               1000 samples");
  CHECK(error_of<ShapeError>([&] { all.split(1.5); }) ==
        "[split] a fraction lies between 0 and 1\n  came    1.5");
}

TEST_CASE("permutation is one, and every place is equally likely") {
  std::vector<std::int64_t> order(5);
  std::vector<int> first(5);
  for (std::uint64_t seed = 0; seed < 5000; ++seed) {
    data::permutation(order, random::Key{seed});
    CHECK(std::set<std::int64_t>(order.begin(), order.end()).size() == 5);
    ++first[static_cast<std::size_t>(order[0])];
  }
  for (const auto count : first) CHECK(std::abs(count - 1000) < 150);  // 5 deviations
}

TEST_CASE("channel_statistics are mean and deviation of each channel") {
  Tensor<std::uint8_t> images({2, 1, 2, 2});
  const std::uint8_t values[] = {0, 10, 255, 20, 0, 30, 255, 40};
  std::copy(std::begin(values), std::end(values), images.data());
  const data::Dataset dataset("toy", images, Tensor<std::int32_t>::zeros({2}), {"a"});
  const auto statistics = data::channel_statistics(dataset);
  REQUIRE(statistics.mean.size() == 2);
  CHECK(statistics.mean[0] == doctest::Approx(0.5));
  CHECK(statistics.deviation[0] == doctest::Approx(0.5));
  CHECK(statistics.mean[1] == doctest::Approx(25.0 / 255));
  CHECK(statistics.deviation[1] == doctest::Approx(std::sqrt(125.0) / 255));
  CHECK(data::channel_statistics(dataset.take(1)).mean[1] == doctest::Approx(15.0 / 255));
  CHECK(error_of<DataError>([&] { data::channel_statistics(dataset.take(0)); }) ==
        "[channel_statistics] the data set has no samples\n  dataset toy");
}

namespace {

/// The image that a transform makes of 0, 1, 2, ... under a key.
Bytes transformed(const data::Transform& transform, std::int64_t height, std::int64_t width,
                  std::int64_t channels, std::uint64_t key) {
  Bytes pixels(static_cast<std::size_t>(height * width * channels));
  std::iota(pixels.begin(), pixels.end(), static_cast<unsigned char>(1));
  data::Image image{pixels, height, width, channels, 0, 0, 0};
  random::Generator generator(random::Key{key});
  transform(image, generator);
  return pixels;
}

}  // namespace

TEST_CASE("horizontal_flip mirrors pixels and leaves channels together") {
  const data::HorizontalFlip always{.probability = 1};
  CHECK(transformed(always, 2, 3, 1, 0) == Bytes{3, 2, 1, 6, 5, 4});
  CHECK(transformed(always, 1, 2, 3, 0) == Bytes{4, 5, 6, 1, 2, 3});
  CHECK(transformed(data::HorizontalFlip{.probability = 0}, 1, 2, 1, 0) == Bytes{1, 2});
  int flipped = 0;
  for (std::uint64_t key = 0; key < 1000; ++key) {
    flipped += transformed(data::HorizontalFlip{}, 1, 2, 1, key) == Bytes{2, 1};
  }
  CHECK(std::abs(flipped - 500) < 80);
}

TEST_CASE("random_crop cuts a window out of the padded image") {
  constexpr std::int64_t height = 4, width = 5;
  for (const std::int64_t channels : {1, 3}) {
    for (const auto border : {data::Border::zero, data::Border::reflect}) {
      for (const std::int64_t padding : {0, 1, 3}) {
        CAPTURE(channels);
        CAPTURE(padding);
        std::set<std::pair<std::int64_t, std::int64_t>> seen;
        for (std::uint64_t key = 0; key < 400; ++key) {
          const auto came =
              transformed(data::RandomCrop{padding, border}, height, width, channels, key);
          // The definition: which window of the padded image is this?
          int found = 0;
          for (auto down = -padding; down <= padding; ++down) {
            for (auto right = -padding; right <= padding; ++right) {
              Bytes expected;
              for (std::int64_t y = down; y < down + height; ++y) {
                for (std::int64_t x = right; x < right + width; ++x) {
                  auto sy = y, sx = x;
                  if (border == data::Border::reflect) {
                    if (sy < 0) sy = -sy;
                    if (sy >= height) sy = 2 * height - 2 - sy;
                    if (sx < 0) sx = -sx;
                    if (sx >= width) sx = 2 * width - 2 - sx;
                  }
                  const bool inside = sy >= 0 && sy < height && sx >= 0 && sx < width;
                  for (std::int64_t c = 0; c < channels; ++c) {
                    const auto value = (sy * width + sx) * channels + c + 1;
                    expected.push_back(static_cast<unsigned char>(inside ? value : 0));
                  }
                }
              }
              if (came == expected) {
                ++found;
                seen.insert({down, right});
              }
            }
          }
          CHECK(found >= 1);
        }
        CHECK(seen.size() >= static_cast<std::size_t>((2 * padding + 1) * (2 * padding + 1)));
      }
    }
  }
  // More padding than image: black or a corner, never outside memory.
  CHECK_NOTHROW(transformed(data::RandomCrop{.padding = 40}, 4, 5, 1, 1));
  CHECK(error_of<ShapeError>([] {
          transformed(data::RandomCrop{4, data::Border::reflect}, 4, 5, 1, 1);
        }) ==
        "[random_crop] the padding does not fit the image\n  padding 4\n  image   [4, 5, 1]"
        "           (h, w, c)");
}

TEST_CASE("compose applies one transform after another") {
  const auto both =
      data::compose({data::HorizontalFlip{1},
                     [](data::Image& image, random::Generator&) { image.pixels[0] = 100; }});
  CHECK(transformed(both, 1, 3, 1, 0) == Bytes{100, 2, 1});
}

TEST_CASE("a loader delivers every sample once, converted and normalised") {
  const auto dataset = noise(10, 4, 3);
  const data::Loader<float> loader(
      dataset, {.batch_size = 4, .normalize = {{0.1f, 0.2f, 0.3f}, {0.5f, 0.25f, 1}}});
  CHECK(loader.batches() == 3);
  const Delivered delivered(loader, 0);
  CHECK(delivered.sizes == std::vector<std::int64_t>{4, 4, 2});
  CHECK(delivered.indices == std::vector<std::int64_t>{0, 1, 2});
  CHECK(std::set(delivered.samples.begin(), delivered.samples.end()).size() == 10);
  CHECK(!std::is_sorted(delivered.samples.begin(), delivered.samples.end()));
  const float mean[] = {0.1f, 0.2f, 0.3f}, deviation[] = {0.5f, 0.25f, 1};
  for (std::size_t i = 0; i < 10; ++i) {
    CHECK(delivered.labels[i] == dataset.label(delivered.samples[i]));
    const auto image = dataset.image(delivered.samples[i]);
    for (std::size_t p = 0; p < 48; ++p) {
      const float expected = (float(image[p]) / 255 - mean[p % 3]) / deviation[p % 3];
      CHECK(delivered.images[i * 48 + p] == doctest::Approx(expected).epsilon(1e-5));
    }
  }
  CHECK(Delivered(loader, 1).samples != delivered.samples);
  CHECK(Delivered(loader, 0) == delivered);
}

TEST_CASE("a loader in order, without the last short batch, in every scalar type") {
  const auto dataset = noise(7);
  const data::LoaderOptions options{.batch_size = 3, .shuffle = false, .drop_last = true};
  const Delivered whole(data::Loader<double>(dataset, options), 5);
  CHECK(whole.samples == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5});
  CHECK(whole.images[8] == doctest::Approx(dataset.image(0)[8] / 255.0).epsilon(1e-15));
  const Delivered single(data::Loader<float>(dataset, options), 5);
  const Delivered brain(data::Loader<bfloat16>(dataset, options), 5);
  const Delivered half(data::Loader<float16>(dataset, options), 5);
  for (std::size_t i = 0; i < whole.images.size(); ++i) {
    CHECK(single.images[i] == doctest::Approx(whole.images[i]).epsilon(1e-6));
    CHECK(brain.images[i].bits == bfloat16(single.images[i]).bits);
    CHECK(half.images[i].bits == float16(single.images[i]).bits);
  }
}

TEST_CASE("an epoch has the same bits for any number of threads and batches ahead") {
  const auto dataset = noise(150, 8, 3);
  const auto deliver = [&](const data::Dataset& from, int threads, std::optional<int> prefetch) {
    const Threads limit(threads);
    const data::Loader<float> loader(
        from, {.batch_size = 32,
               .augment = data::compose({data::RandomCrop{.padding = 2}, data::HorizontalFlip{}}),
               .seed = 11,
               .prefetch = prefetch});
    return Delivered(loader, 3);
  };
  const auto expected = deliver(dataset, 1, 0);
  for (const int threads : {1, 2, 4}) {
    for (const std::optional<int> prefetch : {std::optional<int>(), {0}, {1}, {2}, {7}}) {
      CAPTURE(threads);
      CAPTURE(prefetch.value_or(-1));
      CHECK(deliver(dataset, threads, prefetch) == expected);
    }
  }
  SUBCASE("and an image is augmented alike in every view that holds it") {
    const auto view = dataset.subset({expected.samples[40]});
    const auto alone = deliver(view, 1, 0);
    const auto* in_batch = expected.images.data() + 40 * 192;
    CHECK(std::equal(alone.images.begin(), alone.images.end(), in_batch));
  }
}

TEST_CASE("a loader resizes images when they are augmented, and mixes them in that size") {
  const auto dataset = noise(10, 8, 3);
  const auto invert = [](data::Image& image, random::Generator&) {
    for (auto& byte : image.pixels) byte = static_cast<std::uint8_t>(255 - byte);
  };
  data::LoaderOptions options{.batch_size = 4, .augment = invert, .size = {{5, 12}}};
  const Delivered delivered(data::Loader<float>(dataset, options), 0);
  REQUIRE(delivered.images.size() == 10 * 5 * 12 * 3);
  for (std::size_t i = 0; i < 10; ++i) {
    Tensor<std::uint8_t> image({8, 8, 3});
    const auto from = dataset.image(delivered.samples[i]);
    for (std::size_t p = 0; p < from.size(); ++p) {
      image.span()[p] = static_cast<std::uint8_t>(255 - from[p]);
    }
    const auto resized = data::resize(image, 5, 12);
    for (std::size_t p = 0; p < 180; ++p) {
      CHECK(delivered.images[i * 180 + p] == doctest::Approx(float(resized.span()[p]) / 255));
    }
  }
  options.mix = data::MixUp{.alpha = 1};
  const data::Loader<float> mixing(dataset, options);
  for (const auto& batch : mixing.epoch(0)) {
    CHECK(batch.images.shape() == Shape{batch.size(), 5, 12, 3});
    CHECK(batch.targets.shape() == Shape{batch.size(), 3});
  }
}

TEST_CASE("a transform learns sample, label and epoch") {
  const auto dataset = noise(6).subset({5, 3});
  std::atomic<int> calls = 0;
  const data::Loader<float> loader(
      dataset, {.batch_size = 2, .augment = [&](data::Image& image, random::Generator&) {
                  ++calls;
                  if (image.label != image.sample % 3) throw StateError("label");
                  if (image.epoch != 4) throw StateError("epoch");
                  if (image.sample != 5 && image.sample != 3) throw StateError("sample");
                }});
  CHECK_NOTHROW(Delivered(loader, 4));
  CHECK(calls == 2);
}

TEST_CASE("no storage is asked from the system after the first epoch") {
  const auto dataset = noise(1000, 12);
  for (const int prefetch : {0, 1, 3}) {
    CAPTURE(prefetch);
    const data::Loader<float> loader(
        dataset, {.batch_size = 96, .augment = data::RandomCrop{}, .prefetch = prefetch});
    Delivered<float>(loader, 0);
    const auto before = memory_statistics();
    for (int epoch = 1; epoch < 4; ++epoch) Delivered<float>(loader, epoch);
    CHECK(memory_statistics().system_allocations == before.system_allocations);
    // Less is fine: threads that earlier tests started may end late and give their scratch back.
    CHECK(memory_statistics().bytes_in_use <= before.bytes_in_use);
  }
}

TEST_CASE("a tensor kept from a batch stays as it was") {
  const data::Loader<float> loader(noise(40), {.batch_size = 8, .prefetch = 1});
  std::vector<Tensor<float>> kept, copies;
  std::vector<Tensor<std::int32_t>> labels;
  for (const auto& batch : loader.epoch(0)) {
    kept.push_back(batch.images);
    copies.push_back(batch.images.clone());
    labels.push_back(batch.labels);
  }
  std::vector<std::int32_t> kept_labels;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    CHECK(std::equal(kept[i].span().begin(), kept[i].span().end(), copies[i].span().begin()));
    kept_labels.insert(kept_labels.end(), labels[i].span().begin(), labels[i].span().end());
  }
  CHECK(kept_labels == Delivered(loader, 0).labels);
}

TEST_CASE("leaving an epoch early stops it") {
  std::atomic<int> images = 0;
  const data::Loader<float> loader(noise(1000),
                                   {.batch_size = 1,
                                    .augment = [&](data::Image&, random::Generator&) { ++images; },
                                    .prefetch = 2});
  for (const auto& batch : loader.epoch(0)) {
    if (batch.index == 3) break;
  }
  CHECK(images <= 4 + 3);
  { const auto untouched = loader.epoch(1); }
  CHECK(images <= 4 + 3 + 3);
}

TEST_CASE("the thread works ahead, and no further than it was told") {
  std::atomic<int> images = 0;
  const data::Loader<float> loader(noise(50),
                                   {.batch_size = 1,
                                    .augment = [&](data::Image&, random::Generator&) { ++images; },
                                    .prefetch = 2});
  auto epoch = loader.epoch(0);
  [[maybe_unused]] const auto batch = epoch.begin();
  for (int i = 0; i < 500 && images < 3; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  CHECK(images == 3);  // the one that is being used and two ahead
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(images == 3);
}

TEST_CASE("an exception reaches the consumer at its batch") {
  for (const int prefetch : {0, 2}) {
    CAPTURE(prefetch);
    const data::Loader<float> loader(noise(20), {.batch_size = 4,
                                                 .shuffle = false,
                                                 .augment =
                                                     [](data::Image& image, random::Generator&) {
                                                       if (image.sample == 13)
                                                         throw DataError("[test] sample 13");
                                                     },
                                                 .prefetch = prefetch});
    int batches = 0;
    CHECK(error_of<DataError>([&] {
            for (const auto& batch : loader.epoch(0)) batches += batch.size() > 0;
          }) == "[test] sample 13");
    CHECK(batches == 3);
  }
}

TEST_CASE("an epoch outlives its loader and is walked once") {
  int batches = 0;
  for (const auto& batch :
       data::Loader<float>(noise(9), {.batch_size = 4, .prefetch = 1}).epoch()) {
    batches += batch.size() > 0;
  }
  CHECK(batches == 3);
  const data::Loader<float> loader(noise(9), {.batch_size = 4});
  auto epoch = loader.epoch(0);
  for (const auto& batch : epoch) CHECK(batch.size() > 0);
  CHECK(error_of<StateError>([&] { epoch.begin(); }) ==
        "[loader] an epoch can be walked once\n  hint: ask for the next: loader.epoch(e + 1)");
}

TEST_CASE("two epochs of one loader may run side by side") {
  const data::Loader<float> loader(noise(20), {.batch_size = 6, .prefetch = 1});
  auto first = loader.epoch(0), second = loader.epoch(0);
  auto a = first.begin(), b = second.begin();
  for (; a != first.end(); ++a, ++b) CHECK(a->samples == b->samples);
  CHECK(b == second.end());
}

TEST_CASE("a loader says what is wrong with its options") {
  const auto error = [](data::Dataset dataset, data::LoaderOptions options) {
    return error_of<ShapeError>([&] { data::Loader<float>(dataset, options); });
  };
  CHECK(error_of<DataError>([] { data::Loader<float>(noise(5).take(0)); }) ==
        "[loader] the data set has no samples\n  dataset noise\n  hint: look at the subset, split "
        "or limit that was taken of it");
  CHECK(error(noise(5), {.batch_size = 0}) ==
        "[loader] batch_size must be at least 1\n  came    0\n  dataset noise               "
        "5 samples");
  CHECK(error(noise(5), {.batch_size = -3}).find("came    -3") != std::string::npos);
  CHECK(error(noise(5), {.batch_size = 6, .drop_last = true}) ==
        "[loader] no batch is full, and drop_last leaves out those that are not\n  came    6\n  "
        "dataset noise               5 samples");
  CHECK(error(noise(5), {.prefetch = -1}) ==
        "[loader] prefetch must be at least 0\n  came    -1\n  dataset noise               "
        "5 samples");
  CHECK(error(noise(5), {.size = {{0, 5}}}) ==
        "[loader] images need a size of a pixel or more\n  came    0 x 5");
  CHECK(error(noise(5, 4, 3), {.normalize = {{0.5f}, {0.5f}}}) ==
        "[normalize] needs one mean and one deviation for each channel\n  expected  3\n  came    1"
        "                   noise");
  CHECK(error(noise(5), {.normalize = {{0.5f}, {0}}}) ==
        "[normalize] needs deviations above zero\n  came    0                   channel 0");
}
