// Files: JSON, safetensors in both directions and against hostile input, atomic replacement.
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include <tinynet/io/json.hpp>
#include <tinynet/io/json_parser.hpp>
#include <tinynet/io/safetensors.hpp>
#include <tinynet/io/safetensors_writer.hpp>

#include "messages.hpp"

using namespace tinynet;
using tests::contains;
using tests::message_of;
namespace fs = std::filesystem;

namespace {

const auto fixtures = fs::path(__FILE__).parent_path() / "fixtures";

/// A folder of its own that goes when the test does.
struct TemporaryFolder {
  fs::path path;
  TemporaryFolder() {
    auto name = (fs::temp_directory_path() / "tinynet_io_XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~TemporaryFolder() { fs::remove_all(path); }
  fs::path operator/(const char* name) const { return path / name; }
};

void store(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}
std::string load(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

#define CHECK_MENTIONS(message, part) \
  CHECK_MESSAGE(contains(message, part), "expected \"", part, "\" in:\n", message)

std::string little_endian(std::uint64_t x) {
  std::string bytes(8, '\0');
  for (auto& byte : bytes) byte = static_cast<char>(x & 255), x >>= 8;
  return bytes;
}
std::string safetensors_bytes(const std::string& header, const std::string& data) {
  return little_endian(header.size()) + header + data;
}

template <class T>
void check_round_trip(const fs::path& path) {
  CAPTURE(io::dtype_name<T>());
  Tensor<T> tensor({2, 3, 5});
  for (std::int64_t i = 0; i < tensor.size(); ++i) {
    tensor.data()[i] = static_cast<T>(static_cast<float>(i * 4 + 1));
  }
  io::SafetensorsWriter writer;
  writer.add("t", tensor);
  writer.add("one", Tensor<T>::scalar(tensor.data()[7]));
  writer.add("none", Tensor<T>({0, 4}));
  writer.write(path);

  const auto file = io::Safetensors::open(path);
  CHECK(file.tensor("t").dtype == io::dtype_name<T>());
  CHECK(file.tensor("t").end - file.tensor("t").begin == 30 * sizeof(T));
  CHECK(file.shape("t") == Shape{2, 3, 5});
  CHECK(file.shape("one") == Shape{});
  CHECK(file.shape("none") == Shape{0, 4});
  const auto back = file.read<T>("t");
  CHECK(std::memcmp(back.data(), tensor.data(), 30 * sizeof(T)) == 0);
  CHECK(file.read<double>("one").item() == 29.0);
  CHECK(file.read<T>("none").empty());
}

}  // namespace

// --- JSON ----------------------------------------------------------------------------------------

TEST_CASE("JSON values read and print") {
  const auto json = io::parse_json(
      R"( {"a": [1, -2, 2.5, 1e3, -0.0], "b": {}, "c": [], "t": true, "f": false, "n": null} )");
  CHECK(json.dump() == R"({"a":[1,-2,2.5,1000,-0],"b":{},"c":[],"t":true,"f":false,"n":null})");
  const auto& a = *json.find("a")->as<io::Json::Array>();
  CHECK(*a[0].as<std::int64_t>() == 1);
  CHECK(a[0].as<double>() == nullptr);
  CHECK(*a[0].number() == 1.0);
  CHECK(*a[3].as<double>() == 1000.0);
  CHECK(a[2].byte() == 15);
  CHECK(*json.find("t")->as<bool>());
  CHECK(json.find("missing") == nullptr);
  CHECK(a[0].find("a") == nullptr);
  CHECK_FALSE(json.find("t")->number().has_value());

  CHECK(*io::parse_json("9223372036854775807").as<std::int64_t>() ==
        std::numeric_limits<std::int64_t>::max());
  CHECK(*io::parse_json("9223372036854775808").as<double>() == 0x1p63);
  CHECK(io::Json(0.1).dump() == "0.1");
  CHECK(io::Json(std::numeric_limits<double>::quiet_NaN()).dump() == "null");
}

TEST_CASE("JSON strings hold every character") {
  const auto text = [](const char* json) { return *io::parse_json(json).as<std::string>(); };
  CHECK(text(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
  CHECK(text(R"("\u0041\u00e9\u20AC\ud83d\ude00")") == "Aé€😀");
  CHECK(text(R"("Aé€😀")") == "Aé€😀");
  CHECK(text(R"("\u0000")") == std::string(1, '\0'));
  for (const std::string original : {"", "\x01\x1f\x7f", "\"\\/", "tab\there", "Größe 😀"}) {
    CHECK(text(io::Json(original).dump().c_str()) == original);
  }
}

TEST_CASE("JSON numbers too small for a double are zero") {
  const auto number = [](const std::string& text) { return *io::parse_json(text).as<double>(); };
  const std::string zeros(400, '0');
  for (const auto& text :
       {std::string("1e-400"), std::string("123456.789E-0400"), "0." + zeros + "1",
        "0." + zeros + "1e+20", "1" + zeros + "e-800", std::string("1e-9223372036854775808"),
        std::string("1e-99999999999999999999"), std::string("0e999999")}) {
    CAPTURE(text);
    CHECK(number(text) == 0);
    CHECK(!std::signbit(number(text)));
    CHECK(number("-" + text) == 0);
    CHECK(std::signbit(number("-" + text)));
  }
  CHECK(number("5e-324") > 0);
  CHECK(number("1.5e-310") == 1.5e-310);
  CHECK(number("1" + zeros + "e-400") == 1);
}

TEST_CASE("JSON that is none is refused with the byte") {
  struct Case {
    std::string text;
    const char* what;
    int byte;
  };
  const std::string deep(65, '['), endless(100000, '['), nines(400, '9');
  const Case cases[] = {
      {"", "the text ends, expected a value", 0},
      {"   ", "the text ends, expected a value", 3},
      {"nul", "found 'n', expected a value", 0},
      {"[1,]", "found ']', expected a value", 3},
      {"[1 2]", "found '2', expected ']'", 3},
      {"{\"a\" 1}", "found '1', expected ':'", 5},
      {"{a:1}", "found 'a', expected '\"'", 1},
      {"{\"a\":1", "the text ends, expected '}'", 6},
      {"{\"a\":1,\"b\":2,\"a\":3}", "the name \"a\" occurs twice", 13},
      {"{\"a\":1,\"\\u0061\":3}", "the name \"a\" occurs twice", 7},
      {"01", "more text follows the end of the value", 1},
      {"{} x", "more text follows the end of the value", 3},
      {"-", "the text ends, expected a value", 1},
      {"1.", "the text ends, expected a value", 2},
      {"1e+", "the text ends, expected a value", 3},
      {".5", "found '.', expected a value", 0},
      {"+1", "found '+', expected a value", 0},
      {"NaN", "found 'N', expected a value", 0},
      {"1e999", "the number does not fit a double", 0},
      {"-1e999", "the number does not fit a double", 0},
      {"1E+0000999", "the number does not fit a double", 0},
      {"0.001e312", "the number does not fit a double", 0},
      {"1e9223372036854775807", "the number does not fit a double", 0},
      {"1e99999999999999999999", "the number does not fit a double", 0},
      {nines, "the number does not fit a double", 0},
      {nines + "e-10", "the number does not fit a double", 0},
      {"\"abc", "the string does not end", 0},
      {"\"abc\\", "unknown escape in a string", 4},
      {"\"\\x\"", "unknown escape in a string", 1},
      {"\"\\u12", "\\u needs four hexadecimal digits", 3},
      {"\"\\u12g4\"", "\\u needs four hexadecimal digits", 3},
      {"\"\\ud800\"", "half of a surrogate pair", 1},
      {"\"\\ud800\\u0041\"", "half of a surrogate pair", 1},
      {"\"\\udc00\"", "half of a surrogate pair", 1},
      {"\"a\nb\"", "control character in a string", 2},
      {"\"\x80\"", "invalid UTF-8", 1},
      {"\"\xc0\xaf\"", "invalid UTF-8", 1},          // longer than needed
      {"\"\xed\xa0\x80\"", "invalid UTF-8", 1},      // half of a pair
      {"\"\xf4\x90\x80\x80\"", "invalid UTF-8", 1},  // beyond U+10FFFF
      {"\"\xe2\x82", "invalid UTF-8", 1},
      {std::string(1, '\0'), "found byte 0, expected a value", 0},
      {deep + "1" + std::string(65, ']'), "nesting is deeper than 64", 65},
      {endless, "nesting is deeper than 64", 65},
  };
  for (const auto& c : cases) {
    CAPTURE(c.text.substr(0, 80));
    const auto message = message_of<DataError>([&] { io::parse_json(c.text, "some.json", 100); });
    CHECK_MENTIONS(message, std::string("[json] ") + c.what);
    CHECK_MENTIONS(message, "\n  file    some.json");
    CHECK_MENTIONS(message, "\n  byte    " + std::to_string(100 + c.byte));
  }
  const std::string fits(64, '[');
  CHECK_NOTHROW(io::parse_json(fits + "1" + std::string(64, ']')));
}

// --- safetensors ---------------------------------------------------------------------------------

TEST_CASE("safetensors round trip of every element type") {
  const TemporaryFolder folder;
  check_round_trip<double>(folder / "a.safetensors");
  check_round_trip<float>(folder / "a.safetensors");
  check_round_trip<float16>(folder / "a.safetensors");
  check_round_trip<bfloat16>(folder / "a.safetensors");
  check_round_trip<std::int64_t>(folder / "a.safetensors");
  check_round_trip<std::int32_t>(folder / "a.safetensors");
  check_round_trip<std::uint8_t>(folder / "a.safetensors");
}

TEST_CASE("safetensors files are laid out as the format asks") {
  const TemporaryFolder folder;
  const auto path = folder / "m.safetensors";
  io::SafetensorsWriter writer;
  writer.add("bytes", Tensor<std::uint8_t>::from({3}, {1, 2, 3}));
  writer.add("half", Tensor<bfloat16>::ones({1}));
  const auto wide = Tensor<double>::from({2}, {0.5, -0.25});
  writer.add("wide", wide);
  writer.metadata("format", "pt");
  writer.metadata("Größe \"x\"", "tab\t");
  writer.write(path);

  const auto bytes = load(path);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  CHECK(length % 8 == 0);
  CHECK(bytes[8] == '{');
  CHECK(bytes.size() == 8 + length + 16 + 2 + 3);
  CHECK(std::memcmp(bytes.data() + 8 + length, wide.data(), 16) == 0);

  const auto file = io::Safetensors::open(path);
  REQUIRE(file.tensors().size() == 3);
  CHECK(file.tensors()[0].name == "wide");  // widest first: aligned without gaps
  CHECK(file.tensors()[1].name == "half");
  CHECK(file.tensors()[2].name == "bytes");
  CHECK(file.tensors()[0].begin == 8 + length);
  CHECK(file.tensors()[2].end == bytes.size());
  CHECK(file.contains("half"));
  CHECK_FALSE(file.contains("hal"));
  CHECK(file.metadata().size() == 2);
  CHECK(file.metadata().at("format") == "pt");
  CHECK(file.metadata().at("Größe \"x\"") == "tab\t");
}

TEST_CASE("a safetensors file may be empty") {
  const TemporaryFolder folder;
  io::SafetensorsWriter().write(folder / "none.safetensors");
  CHECK(load(folder / "none.safetensors") == safetensors_bytes("{}      ", ""));
  const auto file = io::Safetensors::open(folder / "none.safetensors");
  CHECK(file.tensors().empty());
  CHECK(file.metadata().empty());
}

TEST_CASE("the writer shares storage until it writes, views included") {
  const TemporaryFolder folder;
  io::SafetensorsWriter writer;
  {
    auto tensor = Tensor<float>::from({4, 2}, {0, 1, 2, 3, 4, 5, 6, 7});
    writer.add("rows", tensor.rows(1, 3));
    tensor(1, 0) = 9;
  }
  writer.write(folder / "rows.safetensors");
  const auto rows = io::Safetensors::open(folder / "rows.safetensors").read<float>("rows");
  CHECK(rows.shape() == Shape{2, 2});
  CHECK(rows(0, 0) == 9);
  CHECK(rows(1, 1) == 5);
}

TEST_CASE("files written by another hand: element types, names, conversions") {
  const auto file = io::Safetensors::open(fixtures / "dtypes.safetensors");
  const float expected[] = {0, 1, 2, 3, 100, 255};
  for (const std::string dtype : {"F64", "F32", "F16", "BF16", "I64", "I32", "U8"}) {
    CAPTURE(dtype);
    const auto name = "same." + dtype;
    REQUIRE(file.tensor(name).dtype == dtype);
    REQUIRE(file.shape(name) == Shape{2, 3});
    const auto as_double = file.read<double>(name);
    const auto as_float = file.read<float>(name);
    const auto as_bfloat16 = file.read<bfloat16>(name);
    const auto as_float16 = file.read<float16>(name);
    const auto as_int64 = file.read<std::int64_t>(name);
    const auto as_uint8 = file.read<std::uint8_t>(name);
    for (std::int64_t i = 0; i < 6; ++i) {
      CHECK(as_double.data()[i] == expected[i]);
      CHECK(as_float.data()[i] == expected[i]);
      CHECK(static_cast<float>(as_bfloat16.data()[i]) == expected[i]);
      CHECK(static_cast<float>(as_float16.data()[i]) == expected[i]);
      CHECK(static_cast<float>(as_int64.data()[i]) == expected[i]);
      CHECK(as_uint8.data()[i] == expected[i]);
    }
  }
  CHECK(file.read<double>("scalar").item() == 2.5);
  CHECK(file.shape("empty") == Shape{0, 3});
  CHECK(file.read<double>("naïve \"name\"\\\n𝜋").item() == 3.25);
  CHECK(file.metadata().at("Größe") == "tab\tquote\" backslash\\ 😀");
}

TEST_CASE("bfloat16 and float16 round as PyTorch does") {
  const auto file = io::Safetensors::open(fixtures / "dtypes.safetensors");
  const auto x = file.read<float>("rounding.F32");
  const auto expected_bfloat16 = file.read<bfloat16>("rounding.BF16");
  const auto expected_float16 = file.read<float16>("rounding.F16");
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const float value = x.data()[i];
    CAPTURE(value);
    const bfloat16 narrow(value);
    const float16 half(value);
    if (std::isnan(value)) {
      CHECK(std::isnan(static_cast<float>(narrow)));
      CHECK(std::isnan(static_cast<float>(half)));
    } else {
      CHECK(narrow.bits == expected_bfloat16.data()[i].bits);
      CHECK(half.bits == expected_float16.data()[i].bits);
    }
  }
}

TEST_CASE("integers are read exactly or not at all") {
  const TemporaryFolder folder;
  const auto path = folder / "x.safetensors";
  io::SafetensorsWriter writer;
  writer.add("fraction", Tensor<float>::from({3}, {1, 2.5f, 3}));
  writer.add("nan", Tensor<float>::full({1}, std::nanf("")));
  writer.add("large", Tensor<double>::from({1}, {0x1p63}));
  writer.add("lowest", Tensor<double>::from({1}, {-0x1p63}));
  writer.add("int", Tensor<std::int64_t>::from({2}, {255, 256}));
  writer.add("negative", Tensor<std::int32_t>::from({1}, {-1}));
  writer.write(path);
  const auto file = io::Safetensors::open(path);
  const auto byte = [&](const char* name, std::size_t offset) {
    return "\n  byte    " + std::to_string(file.tensor(name).begin + offset);
  };

  auto message = message_of<DataError>([&] { file.read<std::int32_t>("fraction"); });
  CHECK_MENTIONS(message, "[safetensors] element 1 of tensor 'fraction' (F32) does not fit int32");
  CHECK_MENTIONS(message, path.string());
  CHECK_MENTIONS(message, byte("fraction", 4));
  CHECK_MENTIONS(message, "hint: read the tensor as double");
  CHECK_MENTIONS(message_of<DataError>([&] { file.read<std::int64_t>("nan"); }),
                 "element 0 of tensor 'nan'");
  CHECK_MENTIONS(message_of<DataError>([&] { file.read<std::int64_t>("large"); }),
                 "does not fit int64");
  CHECK(file.read<std::int64_t>("lowest").item() == std::numeric_limits<std::int64_t>::min());
  CHECK_MENTIONS(message_of<DataError>([&] { file.read<std::uint8_t>("int"); }), byte("int", 8));
  CHECK_MENTIONS(message_of<DataError>([&] { file.read<std::uint8_t>("negative"); }),
                 "does not fit uint8");
}

TEST_CASE("reading what is not there, or into the wrong room") {
  const auto file = io::Safetensors::open(fixtures / "dtypes.safetensors");
  const auto message = message_of<DataError>([&] { file.read<float>("fc.weight"); });
  CHECK_MENTIONS(message, "[safetensors] the file has no tensor 'fc.weight'");
  CHECK_MENTIONS(message, "dtypes.safetensors");
  CHECK_MENTIONS(message, "same.F64");
  CHECK_MENTIONS(message, "more");
  std::vector<float> room(5);
  CHECK_THROWS_WITH_AS(file.read("same.F32", std::span(room)),
                       doctest::Contains("tensor 'same.F32' does not fit"), ShapeError);
}

TEST_CASE("files that are none: missing, a folder, too short") {
  const TemporaryFolder folder;
  const auto open = [](const fs::path& path) {
    return message_of<DataError>([&] { io::Safetensors::open(path); });
  };
  CHECK_MENTIONS(open(folder / "none.safetensors"), "[read] no such file");
  CHECK_MENTIONS(open(folder / "none.safetensors"), (folder / "none.safetensors").string());
  CHECK_MENTIONS(open(folder.path), "[read] this is a folder, expected a file");
  if (::mkfifo((folder / "pipe").c_str(), 0600) == 0) {
    CHECK_MENTIONS(open(folder / "pipe"), "[read] this is a device or a pipe, expected a file");
  }
  store(folder / "short", "1234567");
  CHECK_MENTIONS(open(folder / "short"), "the file ends within its first 8 bytes");
  store(folder / "empty", "");
  CHECK_MENTIONS(open(folder / "empty"), "\n  byte    0");
}

TEST_CASE("hostile safetensors headers are refused with file and byte") {
  struct Case {
    std::string bytes;
    std::string what;
    std::uint64_t byte;
  };
  const std::string data(16, 'd');
  /// A header with one tensor `t`, its three members as given.
  const auto one = [&](const char* dtype, const char* shape, const char* offsets) {
    return safetensors_bytes(std::string("{\"t\":{\"dtype\":") + dtype + ",\"shape\":" + shape +
                                 ",\"data_offsets\":" + offsets + "}}",
                             data);
  };
  const auto entry = [](const char* name, const char* offsets) {
    return std::string("\"") + name + R"(":{"dtype":"U8","shape":[8],"data_offsets":)" + offsets +
           "}";
  };
  const auto two = [&](const char* first, const char* second) {
    return safetensors_bytes("{" + entry("a", first) + "," + entry("b", second) + "}", data);
  };
  const Case cases[] = {
      {little_endian(std::uint64_t{1} << 63) + "{}",
       "the header should have 9223372036854775808 bytes, more than the 100000000 that are read",
       0},
      {little_endian(~std::uint64_t{0}) + "{}", "should have 18446744073709551615 bytes", 0},
      {little_endian(100'000'001) + "{}", "should have 100000001 bytes, more than the 100000000",
       0},
      {little_endian(100'000'000) + "{}", "100000000 bytes, the whole file has 10", 0},
      {little_endian(3) + "{}", "the header should have 3 bytes, the whole file has 10", 0},
      {little_endian(0), "[json] the text ends, expected a value", 8},
      {safetensors_bytes("no json", ""), "[json] found 'n', expected a value", 8},
      {safetensors_bytes("{} {}", ""), "[json] more text follows", 11},
      {safetensors_bytes("[]", ""), "the header is an array, expected an object", 8},
      {safetensors_bytes(R"({"__metadata__":{"t":"","t":""}})", ""),
       "[json] the name \"t\" occurs twice", 32},
      {safetensors_bytes(R"({"t":3})", ""), "tensor 't' is a whole number, expected an object", 13},
      {safetensors_bytes(R"({"t":{}})", ""), "tensor 't' has no dtype", 13},
      {safetensors_bytes(R"({"__metadata__":[]})", ""), "__metadata__ is an array, expected an obj",
       24},
      {safetensors_bytes(R"({"__metadata__":{"k":1}})", ""),
       "__metadata__ 'k' is a whole number, expected a string", 29},

      {one("8", "[4]", "[0,16]"), "dtype of tensor 't' is a whole number, expected a string", 22},
      {one("\"F8_E4M3\"", "[16]", "[0,16]"), "tensor 't' has the unknown dtype F8_E4M3", 22},
      {one("\"f32\"", "[4]", "[0,16]"), "tensor 't' has the unknown dtype f32", 22},
      {one("\"F32\"", "4", "[0,16]"), "shape of tensor 't' is a whole number, expected an array",
       36},
      {one("\"F32\"", "[-4]", "[0,16]"), "a size of tensor 't' is negative: -4", 37},
      {one("\"F32\"", "[4.0]", "[0,16]"), "a size of tensor 't' is a number, expected a whole", 37},
      {one("\"U8\"", "[1,1,1,1,1,1,16]", "[0,16]"), "tensor 't' has more than 6 axes", 35},
      {one("\"F32\"", "[4611686018427387904,4]", "[0,16]"),
       "the size of tensor 't' overflows 64 bits", 36},
      {one("\"U8\"", "[4294967296,4294967296]", "[0,0]"), "overflows 64 bits", 35},
      {one("\"F32\"", "[99999999999999999999]", "[0,16]"), "a size of tensor 't' is a number", 37},

      {one("\"F32\"", "[4]", "[0]"), "data_offsets of tensor 't' holds 1 numbers, expected 2", 55},
      {one("\"F32\"", "[4]", "[-16,0]"), "an offset of tensor 't' is negative: -16", 56},
      {one("\"F32\"", "[4]", "[16,0]"), "tensor 't' should be bytes 16 to 0 of the data", 55},
      {one("\"F32\"", "[4]", "[0,20]"), "should be bytes 0 to 20 of the data, which has 16", 55},
      {one("\"F32\"", "[4]", "[0,9223372036854775807]"), "of the data, which has 16", 55},
      {one("\"F32\"", "[4]", "[0,18446744073709551632]"), "an offset of tensor 't' is a number",
       58},
      {one("\"F32\"", "[3]", "[0,16]"),
       "tensor 't' is bytes 0 to 16 of the data, but F32 [3] needs 12 bytes", 55},
      {one("\"F32\"", "[]", "[0,16]"), "but F32 [] needs 4 bytes", 54},
      {one("\"F64\"", "[1]", "[0,8]"), "8 bytes follow the last tensor", 70},
      {one("\"F64\"", "[1]", "[8,16]"), "no tensor owns bytes 63 to 71", 63},

      {two("[0,8]", "[0,8]"), "tensor 'b' overlaps tensor 'a'", 65},
      {two("[4,12]", "[0,8]"), "tensor 'a' overlaps tensor 'b'", 13},
      {two("[0,8]", "[9,17]"), "tensor 'b' should be bytes 9 to 17 of the data, which has 16", 106},
      {safetensors_bytes(R"({"t":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}})", "dddd"),
       "no tensor owns bytes 61 to 65", 61},
      {safetensors_bytes("{}", "x"), "1 bytes follow the last tensor", 10},
  };
  const TemporaryFolder folder;
  const auto path = folder / "hostile.safetensors";
  for (const auto& c : cases) {
    CAPTURE(c.what);
    store(path, c.bytes);
    const auto message = message_of<DataError>([&] { io::Safetensors::open(path); });
    CHECK_MENTIONS(message, c.what);
    CHECK_MENTIONS(message, "\n  file    " + path.string());
    CHECK_MENTIONS(message, "\n  byte    " + std::to_string(c.byte));
  }
  // Out of order in the header is fine where the bytes meet.
  store(path, two("[8,16]", "[0,8]"));
  CHECK(io::Safetensors::open(path).tensors()[0].name == "b");
}

TEST_CASE("no damage to a file goes beyond an error") {
  const TemporaryFolder folder;
  const auto path = folder / "damaged.safetensors";
  io::SafetensorsWriter writer;
  writer.add("weight", Tensor<float>::ones({2, 3}));
  writer.add("bias", Tensor<double>::ones({3}));
  writer.metadata("key", "välue");
  writer.write(path);
  const auto whole = load(path);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    store(path, whole.substr(0, size));
    CAPTURE(size);
    CHECK(message_of<DataError>([&] { io::Safetensors::open(path); }) != "");
  }
  store(path, whole + "x");
  CHECK_MENTIONS(message_of<DataError>([&] { io::Safetensors::open(path); }),
                 "1 bytes follow the last");
  // Any byte may become any of these: the file opens with other contents, or DataError comes.
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const char replacement : {'\0', '"', '0', '9', '{', ']', ',', '\\', '-', '\xff'}) {
      auto damaged = whole;
      damaged[i] = replacement;
      store(path, damaged);
      message_of<DataError>([&] {
        const auto file = io::Safetensors::open(path);
        for (const auto& entry : file.tensors()) file.read<float>(entry.name);
      });
    }
  }
}

TEST_CASE("the writer refuses names that a reader would") {
  io::SafetensorsWriter writer;
  const auto tensor = Tensor<float>::ones({1});
  writer.add("a", tensor);
  CHECK_MENTIONS(message_of<StateError>([&] { writer.add("a", tensor); }),
                 "[safetensors] the name 'a' was added before");
  CHECK_MENTIONS(message_of<StateError>([&] { writer.add("__metadata__", tensor); }),
                 "is reserved");
  CHECK_MENTIONS(message_of<StateError>([&] { writer.add("\xff", tensor); }), "is not UTF-8");
  CHECK_MENTIONS(message_of<StateError>([&] { writer.metadata("k", "\xff"); }), "is not UTF-8");
}

// --- atomic replacement --------------------------------------------------------------------------

namespace {

/// Writes a file that holds `value` `count` times.
void write_values(const fs::path& path, float value, std::int64_t count) {
  io::SafetensorsWriter writer;
  writer.add("x", Tensor<float>::full({count}, value));
  writer.write(path);
}

std::size_t files_in(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), {}));
}

}  // namespace

TEST_CASE("writing replaces a file and leaves nothing beside it") {
  const TemporaryFolder folder;
  const auto path = folder / "x.safetensors";
  write_values(path, 1, 100);
  write_values(path, 2, 3);
  CHECK(io::Safetensors::open(path).read<float>("x").shape() == Shape{3});
  CHECK(files_in(folder.path) == 1);
}

TEST_CASE("writing to a symbolic link replaces the file that it leads to") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "runs/1");
  write_values(folder / "runs/1/x.safetensors", 1, 4);
  fs::create_symlink("1", folder / "runs/last");                          // a folder
  fs::create_symlink("last/x.safetensors", folder / "runs/best");         // relative
  fs::create_symlink(folder / "runs/best", folder / "link.safetensors");  // absolute
  write_values(folder / "link.safetensors", 2, 3);
  CHECK(fs::is_symlink(folder / "link.safetensors"));
  CHECK(fs::is_symlink(folder / "runs/best"));
  CHECK(fs::is_regular_file(fs::symlink_status(folder / "runs/1/x.safetensors")));
  CHECK(io::Safetensors::open(folder / "runs/1/x.safetensors").read<float>("x")(2) == 2);
  CHECK(files_in(folder / "runs/1") == 1);
  CHECK(files_in(folder.path) == 2);

  fs::create_symlink("runs/1/new.safetensors", folder / "new");  // to what is not there yet
  write_values(folder / "new", 3, 1);
  CHECK(fs::is_symlink(folder / "new"));
  CHECK(io::Safetensors::open(folder / "runs/1/new.safetensors").read<float>("x")(0) == 3);
}

TEST_CASE("a device is not replaced, permissions stay") {
  const TemporaryFolder folder;
  const auto path = folder / "x.safetensors", pipe = folder / "pipe";
  write_values(path, 1, 4);
  ::chmod(path.c_str(), 0600);
  write_values(path, 2, 4);
  CHECK(fs::status(path).permissions() == fs::perms(0600));
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK_MENTIONS(message_of<DataError>([&] { write_values(pipe, 1, 4); }),
                 "[write] a file cannot take the place of a device or a pipe");
  CHECK(fs::is_fifo(pipe));
  CHECK(files_in(folder.path) == 2);
}

TEST_CASE("a read-only folder: the error says so, the old file stays") {
  const TemporaryFolder folder;
  const auto path = folder / "x.safetensors";
  write_values(path, 1, 4);
  const auto before = load(path);
  ::chmod(folder.path.c_str(), 0555);
  const auto user = ::geteuid();
  constexpr uid_t nobody = 65534;  // root may write anywhere, so test as somebody else
  if (user == 0 && ::seteuid(nobody) != 0) return;
  const auto message = message_of<DataError>([&] { write_values(path, 2, 4); });
  if (user == 0) REQUIRE(::seteuid(user) == 0);
  ::chmod(folder.path.c_str(), 0755);

  CHECK_MENTIONS(message, "[write] cannot create the file\n  file    " + path.string());
  CHECK_MENTIONS(message, "\n  reason  Permission denied");
  CHECK_MENTIONS(message, "hint: choose a folder that exists, is writable and has room");
  CHECK(load(path) == before);
  CHECK(files_in(folder.path) == 1);
}

TEST_CASE("a folder that is missing, a target that is a folder") {
  const TemporaryFolder folder;
  CHECK_MENTIONS(message_of<DataError>([&] { write_values(folder / "no/x.safetensors", 1, 1); }),
                 "\n  reason  No such file or directory");
  fs::create_directory(folder / "taken");
  CHECK_MENTIONS(message_of<DataError>([&] { write_values(folder / "taken", 1, 1); }),
                 "[write] cannot rename into place");
  CHECK(fs::is_directory(folder / "taken"));
  CHECK(files_in(folder.path) == 1);
}

TEST_CASE("a name may be as long as file systems let it") {
  const TemporaryFolder folder;
  const auto path = folder.path / std::string(255, 'x');
  write_values(path, 1, 4);
  write_values(path, 2, 4);
  CHECK(files_in(folder.path) == 1);
}

TEST_CASE("no room half way: the old file stays, the new one goes") {
  const TemporaryFolder folder;
  const auto path = folder / "x.safetensors";
  write_values(path, 1, 4);
  const auto before = load(path);
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &limit) == 0);
  const auto tight = rlimit{4096, limit.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &tight) == 0);
  const auto message = message_of<DataError>([&] { write_values(path, 2, 100000); });
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, handler);

  CHECK_MENTIONS(message, "[write] cannot write\n  file    " + path.string());
  CHECK_MENTIONS(message, "\n  reason  File too large\n  byte    4096");
  CHECK(load(path) == before);
  CHECK(files_in(folder.path) == 1);
}
