// Image files: what is read against Pillow, what is written against what is read; resizing against
// PyTorch; folders of images.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <span>
#include <string>

#include <tinynet/data/image_folder.hpp>
#include <tinynet/io/safetensors.hpp>

#include "messages.hpp"

using namespace tinynet;
using tests::contains;
using tests::message_of;
namespace fs = std::filesystem;

namespace {

const auto fixtures = fs::path(__FILE__).parent_path() / "fixtures";

io::Safetensors expected() { return io::Safetensors::open(fixtures / "images.safetensors"); }

/// A folder that goes away with the test.
struct Folder {
  fs::path path = fs::temp_directory_path() / ("tinynet_images_" + std::to_string(::getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }

  fs::path add(const fs::path& name, std::span<const std::byte> bytes) const {
    fs::create_directories((path / name).parent_path());
    io::AtomicFile file(path / name);
    file.write(bytes);
    file.commit();
    return path / name;
  }
  fs::path add(const fs::path& name, const std::string& text) const {
    return add(name, std::as_bytes(std::span(text)));
  }
  fs::path add(const fs::path& name, const Tensor<std::uint8_t>& image) const {
    return add(name, io::encode_png(image));
  }
};

Tensor<std::uint8_t> noise(const Shape& shape, std::uint64_t seed = 1) {
  Tensor<std::uint8_t> image(shape);
  for (std::int64_t i = 0; i < image.size(); ++i) {
    image.data()[i] = static_cast<std::uint8_t>(random::below({seed}, std::uint64_t(i), 256));
  }
  return image;
}

bool same(const Tensor<std::uint8_t>& a, const Tensor<std::uint8_t>& b) {
  return a.shape() == b.shape() && std::equal(a.data(), a.data() + a.size(), b.data());
}

}  // namespace

TEST_CASE("PNG files of every kind give Pillow's pixels") {
  const auto file = expected();
  for (const std::string name : {"grey.png", "colour.png", "alpha.png", "grey_alpha.png",
                                 "palette.png", "deep.png", "one_bit.png"}) {
    CAPTURE(name);
    CHECK(same(io::read_image(fixtures / "images" / name), file.read<std::uint8_t>(name)));
  }
}

TEST_CASE("JPEG files give Pillow's pixels, up to rounding") {
  const auto file = expected();
  for (const std::string name : {"grey.jpg", "colour.jpg", "progressive.jpg"}) {
    CAPTURE(name);
    const auto came = io::read_image(fixtures / "images" / name);
    const auto pixels = file.read<std::uint8_t>(name);
    REQUIRE(came.shape() == pixels.shape());
    for (std::int64_t i = 0; i < came.size(); ++i) {
      CHECK(std::abs(int(came.data()[i]) - int(pixels.data()[i])) <= 2);
    }
  }
}

TEST_CASE("channels on request") {
  const auto file = fixtures / "images" / "alpha.png";
  const auto colour = io::read_image(file);
  CHECK(colour.shape() == Shape{9, 14, 3});
  const auto grey = io::read_image(file, 1), with_alpha = io::read_image(file, 4);
  REQUIRE(grey.shape() == Shape{9, 14, 1});
  REQUIRE(with_alpha.shape() == Shape{9, 14, 4});
  CHECK(with_alpha(3, 5, 3) == 30 + 15 * 5);
  const double luma = 0.299 * colour(3, 5, 0) + 0.587 * colour(3, 5, 1) + 0.114 * colour(3, 5, 2);
  CHECK(std::abs(grey(3, 5, 0) - luma) < 1.5);
  const auto spread = io::read_image(fixtures / "images" / "grey.png", 3);
  CHECK(spread(2, 1, 0) == spread(2, 1, 2));
  CHECK(message_of<ShapeError>([&] { io::read_image(file, 5); }) ==
        "[image] an image has 1 to 4 channels, or 0: as the file\n  came    5");
}

TEST_CASE("what is written comes back") {
  const Folder folder;
  for (const std::int64_t channels : {1, 2, 3, 4}) {
    for (const auto& size : {Shape{1, 1}, Shape{7, 5}, Shape{64, 33}}) {
      CAPTURE(channels);
      const auto image = noise({size[0], size[1], channels});
      io::write_png(folder.path / "a.png", image);
      CHECK(same(io::read_image(folder.path / "a.png", static_cast<int>(channels)), image));
    }
  }
  CHECK(message_of<ShapeError>([] {
          io::encode_png(Tensor<std::uint8_t>({4, 4}));
        }) ==
        "[png] cannot write an image of this shape\n  expected  [h, w, c]           c from 1 to 4, "
        "less than 2 GB\n  came    [4, 4]");
  CHECK(contains(message_of<ShapeError>([] {
                   io::encode_png(Tensor<std::uint8_t>({4, 4, 5}));
                 }),
                 "came    [4, 4, 5]"));
  CHECK(contains(message_of<ShapeError>([] {
                   io::encode_png(Tensor<std::uint8_t>({0, 4, 3}));
                 }),
                 "came    [0, 4, 3]"));
  CHECK(contains(message_of<DataError>([&] {
                   io::write_png(folder.path / "no" / "a.png", noise({2, 2, 1}));
                 }),
                 "[write] cannot create the file\n  file    " + folder.path.string()));
}

TEST_CASE("files that are no images are named, with the reason") {
  const Folder folder;
  const auto error = [](const fs::path& file) {
    return message_of<DataError>([&] { io::read_image(file); });
  };
  const auto message = [](const fs::path& file, const std::string& what) {
    return "[image] " + what.substr(0, what.find('|')) + "\n  file    " + file.string() +
           (contains(what, "|") ? "\n  reason  " + what.substr(what.find('|') + 1) : "") +
           "\n  hint: PNG and JPEG can be read";
  };
  const auto page = folder.add("page.png", "<html>404</html>");
  CHECK(error(page) == message(page, "this is no image that can be read|unknown image type"));
  const auto gif = folder.add("animation.png", "GIF89a\1\0\1\0\0\0\0");
  CHECK(error(gif) == message(gif, "this is no image that can be read|unknown image type"));
  const auto nothing = folder.add("empty.png", "");
  CHECK(error(nothing) == message(nothing, "the file is empty"));
  CHECK(error(folder.path / "none.png") ==
        "[read] no such file\n  file    " + (folder.path / "none.png").string());

  const auto whole = io::encode_png(noise({20, 20, 3}));
  for (std::size_t length = 1; length + 12 < whole.size(); length += 41) {
    CAPTURE(length);
    const auto cut = folder.add("cut.png", std::span(whole).first(length));
    const auto text = error(cut);
    CHECK(contains(text, "[image] "));
    CHECK(contains(text, "\n  file    " + cut.string()));
  }
  for (const auto* name : {"colour.jpg", "progressive.jpg"}) {
    const auto photo = io::read_file(fixtures / "images" / name);
    for (auto length = photo.size() / 2; length + 2 < photo.size(); length += 97) {
      CAPTURE(length);
      const auto cut = folder.add("cut.jpg", std::span(photo).first(length));
      CHECK(error(cut) == message(cut, "the image is cut short or damaged|no end of image"));
    }
  }
  // A header that announces 16 million by 16 million pixels must not be believed.
  auto bomb = whole;
  for (const std::size_t at : {17, 18, 19, 21, 22, 23}) bomb[at] = std::byte{0xff};
  CHECK(contains(error(folder.add("bomb.png", bomb)), "[image] this is no image that can be read"));
}

TEST_CASE("resize is PyTorch's antialiased bilinear interpolation") {
  const auto file = expected();
  const auto image = file.read<std::uint8_t>("resize.input");
  for (const auto& size :
       {Shape{4, 3}, Shape{22, 16}, Shape{5, 13}, Shape{23, 3}, Shape{11, 8}, Shape{1, 1}}) {
    CAPTURE(size);
    const auto exact =
        file.read<double>("resize." + std::to_string(size[0]) + "x" + std::to_string(size[1]));
    const auto came = data::resize(image, size[0], size[1]);
    REQUIRE(came.shape() == exact.shape());
    for (std::int64_t i = 0; i < came.size(); ++i) {
      CHECK(std::abs(came.data()[i] - exact.data()[i]) <= 0.5001);
    }
  }
  const auto grey = noise({6, 6, 1});
  CHECK(data::resize(grey, 3, 12).shape() == Shape{3, 12, 1});
  const auto white = Tensor<std::uint8_t>::full({5, 7, 3}, 255);
  const auto resized = data::resize(white, 13, 3);
  for (const auto value : resized.span()) CHECK(value == 255);
  CHECK(message_of<ShapeError>([&] { data::resize(grey, 0, 4); }) ==
        "[resize] needs an image [h, w, c] and a size of a pixel or more\n  image   [6, 6, 1]\n  "
        "size    0 x 4");
}

TEST_CASE("a folder of classes becomes a data set, in the order of names") {
  const Folder folder;
  const auto a0 = noise({6, 4, 3}, 1), a1 = noise({6, 4, 3}, 2), b0 = noise({6, 4, 3}, 3);
  folder.add("b_second/0.png", b0);
  folder.add("a_first/deep/er/1.PNG", a1);
  folder.add("a_first/z.png", a0);  // before what lies deeper, as torchvision has it
  folder.add("a_first/.thumbnails/deep/0.png", b0);
  folder.add("a_first/deep/.hidden.png", b0);
  folder.add("a_first/notes.txt", "not an image, and not named like one");
  folder.add(".cache/x.png", a0);
  folder.add("readme.md", "beside the classes");
  fs::create_directory_symlink(fs::absolute(folder.path / "b_second"), folder.path / "c_third");
  const auto linked = data::image_folder(folder.path);
  CHECK(linked.classes() == std::vector<std::string>{"a_first", "b_second", "c_third"});
  CHECK(linked.size() == 4);
  fs::remove(folder.path / "c_third");
  fs::create_directory_symlink(fs::absolute(folder.path / "b_second"),
                               folder.path / "a_first/link");
  CHECK(data::image_folder(folder.path).size() == 4);
  fs::remove(folder.path / "a_first/link");
  fs::create_directory_symlink(fs::absolute(folder.path), folder.path / "a_first/up");
  CHECK(data::image_folder(folder.path).size() == 3);
  fs::remove(folder.path / "a_first/up");
  const auto dataset = data::image_folder(folder.path);
  CHECK(dataset.classes() == std::vector<std::string>{"a_first", "b_second"});
  CHECK(dataset.name() == folder.path.string());
  REQUIRE(dataset.size() == 3);
  CHECK(dataset.image_shape() == Shape{6, 4, 3});
  CHECK(dataset.label(0) == 0);
  CHECK(dataset.label(1) == 0);
  CHECK(dataset.label(2) == 1);
  const Tensor<std::uint8_t>* all[] = {&a0, &a1, &b0};
  for (std::int64_t i = 0; i < 3; ++i) {
    CHECK(std::equal(all[i]->data(), all[i]->data() + 72, dataset.image(i).data()));
  }
  CHECK(data::image_folder(folder.path, {.channels = 1}).image_shape() == Shape{6, 4, 1});
  const auto resized = data::image_folder(folder.path, {.height = 3, .width = 8});
  CHECK(resized.image_shape() == Shape{3, 8, 3});
  CHECK(
      std::equal(resized.image(2).begin(), resized.image(2).end(), data::resize(b0, 3, 8).data()));
}

TEST_CASE("a folder of images says what is wrong with it") {
  const Folder folder;
  const auto root = folder.path.string();
  const auto error = [&](const data::ImageFolderOptions& options = {}) {
    return message_of<DataError>([&] { data::image_folder(folder.path, options); });
  };
  CHECK(message_of<DataError>([&] { data::image_folder(folder.path / "none"); }) ==
        "[image_folder] no such folder\n  folder  " + root + "/none");
  CHECK(error() == "[image_folder] the folder has no sub-folder; each is a class\n  folder  " +
                       root + "\n  hint: expected FOLDER/class/image.png");
  fs::create_directories(folder.path / "cat");
  CHECK(error() == "[image_folder] a class has no PNG or JPEG file\n  folder  " + root + "/cat");

  folder.add("cat/0.png", noise({4, 4, 3}));
  folder.add("dog/7.png", noise({5, 4, 3}));
  CHECK(error() ==
        "[image_folder] the images are not of one shape\n  file    " + root +
            "/dog/7.png\n  came    [5, 4, 3]           (h, w, c)\n  first   [4, 4, 3]           " +
            root +
            "/cat/0.png\n  hint: set height and width to resize every image, channels to 1 or 3 "
            "where grey and colour are mixed");
  CHECK(error({.height = 4, .width = 4}).empty());
  folder.add("dog/8.png", noise({4, 4, 1}));
  CHECK(contains(error({.height = 4, .width = 4}), "/dog/8.png\n  came    [4, 4, 1]"));
  CHECK(error({.height = 4, .width = 4, .channels = 3}).empty());
  const auto page = folder.add("dog/9.jpg", "<html>");
  CHECK(error({.height = 4, .width = 4, .channels = 3}) ==
        "[image] this is no image that can be read\n  file    " + page.string() +
            "\n  reason  unknown image type\n  hint: PNG and JPEG can be read");
  CHECK(message_of<ShapeError>([&] { data::image_folder(folder.path, {.height = 4}); }) ==
        "[image_folder] set height and width, or neither\n  came    4 x 0");
  CHECK(message_of<DataError>([&] { data::image_folder(page); }) ==
        "[image_folder] cannot read the folder\n  folder  " + page.string() +
            "\n  reason  Not a directory");
}
