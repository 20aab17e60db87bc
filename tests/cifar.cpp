// CIFAR-10 and CIFAR-100: layout, labels, and files that are not what they should be. The files have
// their real sizes; what is not written is a hole in them.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include <tinynet/data/cifar.hpp>

#include "messages.hpp"

using namespace tinynet;
using tests::contains;
using tests::message_of;
namespace fs = std::filesystem;

namespace {

using Bytes = std::vector<unsigned char>;

/// A folder that goes away with the test.
struct Folder {
  fs::path path = fs::temp_directory_path() / ("tinynet_cifar_" + std::to_string(::getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }

  /// A file of zeros but for some bytes at a place.
  fs::path add(const fs::path& name, std::int64_t size, const Bytes& bytes = {},
               std::int64_t at = 0) const {
    fs::create_directories((path / name).parent_path());
    std::FILE* file = std::fopen((path / name).c_str(), "wb");
    std::fseek(file, at, SEEK_SET);
    std::fwrite(bytes.data(), 1, bytes.size(), file);
    std::fclose(file);
    fs::resize_file(path / name, static_cast<std::uintmax_t>(size));
    return path / name;
  }
  fs::path names(const fs::path& name, int count) const {
    std::string text;
    for (int i = 0; i < count; ++i) text += "class" + std::to_string(i) + "\n";
    text += "\n";  // as the original ends
    return add(name, std::ssize(text), Bytes(text.begin(), text.end()));
  }
};

/// A record whose planes tell channel and place.
Bytes record(const Bytes& labels) {
  Bytes bytes = labels;
  for (int c = 0; c < 3; ++c) {
    for (int p = 0; p < 1024; ++p) bytes.push_back(static_cast<unsigned char>(p * 3 + c * 85));
  }
  return bytes;
}

constexpr std::int64_t record10 = 3073, record100 = 3074;

}  // namespace

TEST_CASE("cifar10 turns planes into pixels and finds the folder that the archive unpacks to") {
  const Folder folder;
  const fs::path inside = "cifar-10-batches-bin";
  folder.names(inside / "batches.meta.txt", 10);
  folder.add(inside / "test_batch.bin", 10000 * record10, record({7}), 2 * record10);
  const auto test = data::cifar10(folder.path, data::Split::test);
  CHECK(test.name() == "CIFAR-10");
  REQUIRE(test.size() == 10000);
  CHECK(test.image_shape() == Shape{32, 32, 3});
  CHECK(test.classes().size() == 10);
  CHECK(test.classes()[9] == "class9");
  CHECK(test.label(1) == 0);
  CHECK(test.label(2) == 7);
  const auto image = test.image(2);
  for (int p = 0; p < 1024; ++p) {
    for (int c = 0; c < 3; ++c) {
      REQUIRE(image[static_cast<std::size_t>(3 * p + c)] ==
              static_cast<unsigned char>(p * 3 + c * 85));
    }
  }
  CHECK(data::cifar10(folder.path / inside, data::Split::test).label(2) == 7);

  for (int i = 1; i <= 5; ++i) {
    const auto label = static_cast<unsigned char>(i);
    folder.add(inside / ("data_batch_" + std::to_string(i) + ".bin"), 10000 * record10, {label},
               9999 * record10);
  }
  const auto train = data::cifar10(folder.path, data::Split::train);
  REQUIRE(train.size() == 50000);
  for (int i = 1; i <= 5; ++i) CHECK(train.label(i * 10000 - 1) == i);
}

TEST_CASE("cifar100 has a coarse label and a fine one in front of each image") {
  const Folder folder;
  folder.names("fine_label_names.txt", 100);
  folder.names("coarse_label_names.txt", 20);
  folder.add("test.bin", 10000 * record100, record({19, 99}), 9999 * record100);
  const auto fine = data::cifar100(folder.path, data::Split::test);
  CHECK(fine.label(9999) == 99);
  CHECK(fine.classes().size() == 100);
  CHECK(fine.image(9999)[3 * 5 + 1] == 5 * 3 + 85);
  const auto coarse = data::cifar100(folder.path, data::Split::test, data::CifarLabels::coarse);
  CHECK(coarse.label(9999) == 19);
  CHECK(coarse.classes().size() == 20);
  folder.add("train.bin", 50000 * record100, {1, 100}, 40000 * record100);
  CHECK(message_of<DataError>([&] { data::cifar100(folder.path, data::Split::train); }) ==
        "[cifar] label 100 is out of range\n  file    " + (folder.path / "train.bin").string() +
            "\n  byte    122960001           image 40000\n  expected  0 to 99");
}

TEST_CASE("cifar10 says what is wrong with its files") {
  const Folder folder;
  const auto root = folder.path.string();
  const auto error = [&] {
    return message_of<DataError>([&] { data::cifar10(folder.path, data::Split::test); });
  };
  const std::string hint =
      "\n  hint: scripts/fetch_cifar10.sh fetches CIFAR-10; other archives: the binary version of "
      "https://www.cs.toronto.edu/~kriz/cifar.html";
  CHECK(message_of<DataError>([] { data::cifar10("/no/such", data::Split::train); }) ==
        "[cifar] no such folder\n  folder  /no/such\n  looked  data_batch_1.bin and "
        "cifar-10-batches-bin/data_batch_1.bin" +
            hint);
  const auto file = folder.add("test_batch.bin", 10000 * record10).string();
  CHECK(error() == "[cifar] a file of the data set is missing\n  folder  " + root +
                       "\n  looked  batches.meta.txt and cifar-10-batches-bin/batches.meta.txt" +
                       hint);
  const auto meta = folder.names("batches.meta.txt", 9).string();
  CHECK(error() == "[cifar] the file does not hold a name for each class\n  file    " + meta +
                       "\n  expected  10                  lines\n  came    9");
  folder.names("batches.meta.txt", 10);
  CHECK(error().empty());

  const std::string expected =
      "\n  expected  30730000            10000 records of 3073 bytes\n  came    ";
  const std::string again =
      "            bytes\n  hint: fetch the archive again, the binary version, and unpack it";
  folder.add("test_batch.bin", 9999 * record10);
  CHECK(error() ==
        "[cifar] the file is cut short\n  file    " + file + expected + "30726927" + again);
  folder.add("test_batch.bin", 10000 * record10 + 1);
  CHECK(error() == "[cifar] the file is longer than it should be\n  file    " + file + expected +
                       "30730001" + again);
  folder.add("test_batch.bin", 0);
  CHECK(contains(error(), "[cifar] the file is cut short\n"));
  folder.add("test_batch.bin", 10000 * record10, {10}, 123 * record10);
  CHECK(error() == "[cifar] label 10 is out of range\n  file    " + file +
                       "\n  byte    377979              image 123\n  expected  0 to 9");
  folder.add("data_batch_1.bin", 10000 * record10);
  CHECK(contains(message_of<DataError>([&] { data::cifar10(folder.path, data::Split::train); }),
                 "[cifar] a file of the data set is missing\n  folder  " + root +
                     "\n  looked  data_batch_2.bin and"));
}
