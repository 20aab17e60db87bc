// The report floor: text that is escaped, axes that are round, pictures that are PNG, sections that
// appear with their data. tests/report_renders.sh opens a whole page in a browser.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <tinynet/report/page.hpp>

#include "messages.hpp"

using namespace tinynet;
using tests::contains;
using tests::message_of;

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t times = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++times;
  return times;
}

std::string labels(const report::Ticks& ticks) {
  std::string text;
  for (const auto tick : ticks.at) text += report::tick_label(ticks, tick) + " ";
  return text;
}

data::Dataset two_classes(std::vector<std::string> names) {
  auto images = Tensor<std::uint8_t>::full({4, 2, 3, 1}, 9);
  return data::Dataset("tiny", images, Tensor<std::int32_t>::from({4}, {0, 1, 1, 1}),
                       std::move(names));
}

}  // namespace

TEST_CASE("text is escaped for tags, attributes and scripts alike") {
  CHECK(report::escape("<a href=\"x\" b='c'>&amp;") ==
        "&lt;a href=&quot;x&quot; b=&#39;c&#39;&gt;&amp;amp;");
  CHECK(report::escape("Größe 大きい\n") == "Größe 大きい\n");
  const std::string replaced = "\xef\xbf\xbd";
  CHECK(report::escape("a\xff"
                       "b") == "a" + replaced + "b");
  CHECK(report::escape(std::string_view("a\0b\x1b", 4)) == "a" + replaced + "b" + replaced);
  CHECK(report::escape("\xc3") == replaced);  // half a letter
}

TEST_CASE("numbers as people read them") {
  CHECK(report::grouped(0) == "0");
  CHECK(report::grouped(999) == "999");
  CHECK(report::grouped(-1000) == "-1,000");
  CHECK(report::grouped(12746186) == "12,746,186");
  CHECK(report::bytes(812) == "812 bytes");
  CHECK(report::bytes(602760) == "603 kB");
  CHECK(report::bytes(9994999) == "9.99 MB");
  CHECK(report::bytes(50984744) == "51.0 MB");
  CHECK(report::bytes(999999999) == "1.00 GB");
  CHECK(report::percent(0.90549, 2) == "90.55 %");
  CHECK(report::shortened("Ankle boot", 10) == "Ankle boot");
  CHECK(report::shortened("Ankle boots", 10) == "Ankle boo\u2026");
  CHECK(report::shortened("ÄÖÜäöü", 4) == "ÄÖÜ\u2026");
}

TEST_CASE("linear ticks are multiples of 1, 2 or 5 and hold the data between them") {
  const auto check = [](double low, double high, double smallest, const std::string& expected) {
    CHECK(labels(report::linear_ticks(low, high, 5, smallest)) == expected);
  };
  check(0, 1, 0, "0.0 0.2 0.4 0.6 0.8 1.0 ");
  check(0.23, 1.81, 0, "0.0 0.5 1.0 1.5 2.0 ");
  check(87.2, 94.9, 0, "86 88 90 92 94 96 ");
  check(0.0001, 0.0009, 0, "0.0000 0.0002 0.0004 0.0006 0.0008 0.0010 ");
  check(-3, 7, 0, "-4 -2 0 2 4 6 8 ");
  check(1, 3, 1, "1 2 3 ");
  check(1, 20, 1, "0 5 10 15 20 ");
  check(5, 5, 1, "4 5 6 ");
  check(0, 0, 0, "-1.0 -0.5 0.0 0.5 1.0 ");
  check(0, 6e6, 0, "0 2e6 4e6 6e6 ");
  check(1e-7, 5e-7, 0, "1e-7 2e-7 3e-7 4e-7 5e-7 ");
  check(2.302581, 2.302589, 0, "2.30258 2.302582 2.302584 2.302586 2.302588 2.30259 ");
  for (double high = 1e-6; high < 1e9; high *= 1.37) {
    for (const double low : {0.0, 0.3 * high, -2 * high, 0.999 * high}) {
      const auto ticks = report::linear_ticks(low, high);
      CAPTURE(low);
      CAPTURE(high);
      CHECK(ticks.at.front() <= low + 1e-9 * high);
      CHECK(ticks.at.back() >= high * (1 - 1e-9));
      CHECK(ticks.at.size() >= 3);
      CHECK(ticks.at.size() <= 9);
    }
  }
}

TEST_CASE("logarithmic ticks are powers of ten, with 2 and 5 where there are few") {
  CHECK(labels(report::log_ticks(1e-5, 0.1)) == "1e-5 0.0001 0.001 0.01 0.1 ");
  CHECK(labels(report::log_ticks(0.03, 2)) == "0.02 0.05 0.1 0.2 0.5 1 2 ");
  CHECK(labels(report::log_ticks(1, 1)) == "1 ");
  CHECK(labels(report::log_ticks(1e-12, 1)) == "1e-12 1e-10 1e-8 1e-6 0.0001 0.01 1 ");
}

TEST_CASE("a line chart leaves out what it cannot show and breaks the line there") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  report::LineChart chart{"Loss <1>",
                          {.label = "epoch", .whole = true},
                          {},
                          {{"training", {{1, 2.0}, {2, 1.0}, {3, nan}, {4, 0.5}, {5, 0.25}}}}};
  const auto html = to_html(chart);
  CHECK(contains(html, "<figcaption>Loss &lt;1&gt;</figcaption>"));
  CHECK(count(html, "<polyline") == 2);
  CHECK(count(html, "<circle") == 4);
  CHECK(contains(html, "<title>training: 0.25 (epoch 5)</title>"));
  CHECK(!contains(html, "nan"));
  CHECK(!contains(html, "legend"));  // a single line is named by the title
  // Epochs 1 to 5 span the whole width, 2.0 is the upper and 0.0 the lower end.
  CHECK(contains(html, "points=\"50.0,10.0 129.0,105.0\""));
  chart.y.log = true;
  chart.series[0].points[1].second = 0;
  chart.series.push_back({"validation", {{1, 1.0}}});
  const auto log = to_html(chart);
  CHECK(count(log, "<polyline") == 1);
  CHECK(contains(log, "legend"));
  CHECK(!contains(log, "inf"));
  CHECK(contains(to_html(report::LineChart{"empty"}), "<svg"));
}

TEST_CASE("a bar begins at zero, ends at its value and wears its interval") {
  const auto html = to_html(report::BarChart{
      "Accuracy",
      {.percent = true},
      {},
      {{"Shirt", {{.value = 0.5, .interval = std::pair{0.4, 0.6}, .text = "50 %", .marked = true}}},
       {"Bag", {{.value = 1, .interval = std::pair{0.9, 1.0}}}}}});
  CHECK(count(html, "class=\"bar") == 2);
  CHECK(count(html, "class=\"bar marked\"") == 1);
  CHECK(count(html, "class=\"whisker\"") == 6);
  CHECK(contains(html, ">100%</text>"));
  CHECK(!contains(html, ">120%</text>"));
  CHECK(contains(html, "<title>Shirt: 50 %</title>"));
}

TEST_CASE("pictures are PNG files in an address") {
  CHECK(report::base64("") == "");  // RFC 4648, 10
  CHECK(report::base64("f") == "Zg==");
  CHECK(report::base64("fo") == "Zm8=");
  CHECK(report::base64("foobar") == "Zm9vYmFy");
  CHECK(report::detail::crc32("123456789") == 0xcbf43926);  // the check value of this CRC
  const auto stream = report::detail::stored_stream("Wikipedia");
  CHECK(stream == std::string("\x78\x01\x01\x09\x00\xf6\xff"
                              "Wikipedia\x11\xe6\x03\x98",
                              20));
  CHECK(report::detail::stored_stream(std::string(70000, 'x')).size() == 70000 + 2 + 2 * 5 + 4);
  // The same bytes as Python's zlib and struct make: a grey pixel of 255.
  CHECK(report::data_uri({1, 1, 1, {255}}) ==
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAADUlEQVR4"
        "AQECAP3/AP8BAQEAYIcStQAAAABJRU5ErkJggg==");
  CHECK(contains(message_of<ShapeError>([] {
                   report::encode_png({2, 2, 3, {1, 2, 3}});
                 }),
                 "[picture] a PNG needs pixels with 1 to 4 channels\n  picture [2, 2, 3]"));
  const report::Picture many{1, 2, 5, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}};
  CHECK(message_of<ShapeError>([&] { report::encode_png(many); }) != "");
  CHECK(report::first_channels(many, 3).pixels == std::vector<std::uint8_t>{1, 2, 3, 6, 7, 8});
}

TEST_CASE("a thumbnail means the pixels that fall together") {
  const report::Picture picture{2, 4, 1, {0, 10, 100, 200, 20, 30, 50, 51}};
  const auto small = report::thumbnail(picture, 2);
  CHECK(small.height == 1);
  CHECK(small.width == 2);
  CHECK(small.pixels == std::vector<std::uint8_t>{15, 100});
  CHECK(report::thumbnail(picture, 4).pixels == picture.pixels);
}

TEST_CASE("the sheet shows what the loader trained on") {
  const auto set = two_classes({"a", "b"});
  const auto draw = [](data::Image& image, random::Generator& generator) {
    for (auto& pixel : image.pixels) pixel = static_cast<std::uint8_t>(generator.below(256));
  };
  const data::Loader<float> loader(set,
                                   {.batch_size = 4, .shuffle = false, .augment = draw, .seed = 7});
  for (const auto& batch : loader.epoch(3)) {
    const auto picture = report::detail::picture_of(set, 2, draw, {.seed = 7, .epoch = 3});
    for (std::size_t p = 0; p < 6; ++p) {
      CHECK(batch.images.data()[12 + p] == doctest::Approx(picture.pixels[p] / 255.0));
    }
  }
}

TEST_CASE("a page has the sections that it was given something for") {
  report::Run run{.title = "</title><script>alert(1)</script>", .machine = ""};
  const auto bare = to_html(run);
  CHECK(!contains(bare, "<section>"));
  CHECK(!contains(bare, "<script"));
  CHECK(contains(bare, "<title>&lt;/title&gt;&lt;script&gt;"));

  run.history.push_back({.epoch = 0, .loss = 0.7, .accuracy = 0.5});
  run.train_set = run.test_set = two_classes({"<b>", "\" onload=\"alert(1)"});
  run.test = {Tensor<float>::from({4, 2}, {1, 0, 0, 1, 5, 0, 0, 1}),
              Tensor<std::int32_t>::from({4}, {0, 1, 1, 1}),
              {0, 1, 2, 3}};
  run.facts = {{"command", "a && b"}};
  const auto page = to_html(run);
  for (const auto* heading :
       {"Training", "Classes", "Most confident mistakes", "Data", "How it was run"}) {
    CHECK(contains(page, std::string("<h2>") + heading + "</h2>"));
  }
  CHECK(!contains(page, "<h2>Layers</h2>"));
  CHECK(contains(page, "<b>75.00 %</b>"));
  CHECK(contains(page, "95 % interval 30.06 to 95.44"));
  CHECK(contains(page, "a &amp;&amp; b"));
  CHECK(contains(page, "99.3 % sure, image 2"));
  CHECK(!contains(page, "<b></"));
  CHECK(!contains(page, "\" onload=\""));
}
