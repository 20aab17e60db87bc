#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <tinynet/data/batch.hpp>
#include <tinynet/report/bar_chart.hpp>
#include <tinynet/report/heat_map.hpp>
#include <tinynet/report/line_chart.hpp>
#include <tinynet/report/picture.hpp>
#include <tinynet/report/run.hpp>
#include <tinynet/train/calibration.hpp>
#include <tinynet/train/confusion.hpp>
#include <tinynet/train/diagnosis.hpp>

/// The parts of a report, each as HTML; empty where the run has nothing for it.
namespace tinynet::inline TINYNET_ABI::report {

namespace detail {

inline std::string section(const std::string& heading, const std::string& content) {
  if (content.empty()) return "";
  return "<section>\n<h2>" + escape(heading) + "</h2>\n" + content + "</section>\n";
}

/// A table whose first `text_columns` are text and whose others are numbers.
inline std::string table(const std::vector<std::vector<std::string>>& rows,
                         std::size_t text_columns, bool total = false) {
  std::string html = "<div class=\"scroll\"><table>\n";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string tag = i == 0 ? "th" : "td";
    html += total && i + 1 == rows.size() ? "<tr class=\"total\">" : "<tr>";
    for (std::size_t j = 0; j < rows[i].size(); ++j) {
      html += "<" + tag + (j < text_columns ? " class=\"text\">" : ">") + escape(rows[i][j]) +
              "</" + tag + ">";
    }
    html += "</tr>\n";
  }
  return html + "</table></div>\n";
}

inline const std::vector<std::string>& class_names(const Run& run) {
  static const std::vector<std::string> none;
  return run.test_set ? run.test_set->classes() : run.train_set ? run.train_set->classes() : none;
}

inline std::string image_tag(const Picture& picture, const std::string& alt) {
  return "<img src=\"" + data_uri(thumbnail(picture, 64)) + "\" alt=\"" + escape(alt) + "\">";
}

/// Sample `i` of a data set; as the training epoch saw it where there is a transform.
inline Picture picture_of(const data::Dataset& dataset, std::int64_t i,
                          const data::Transform& augment = {}, const data::Draw& draw = {}) {
  const auto size = dataset.image_shape();
  Picture picture{size[0], size[1], size[2], {}};
  picture.pixels.resize(static_cast<std::size_t>(size.elements()));
  data::draw_sample(picture.pixels, dataset, i, augment, draw);
  return picture.channels > 4 ? first_channels(picture, 3) : picture;
}

inline std::vector<std::int64_t> class_counts(const data::Dataset& dataset) {
  std::vector<std::int64_t> counts(dataset.classes().size());
  for (std::int64_t i = 0; i < dataset.size(); ++i) ++counts[std::size_t(dataset.label(i))];
  return counts;
}

}  // namespace detail

/// The accuracy with its interval, and the run's own numbers.
inline std::string headline(const Run& run) {
  std::string tiles;
  const auto tile = [&](const Fact& fact, const char* style = "tile") {
    tiles += "<div class=\"" + std::string(style) + "\"><span>" + escape(fact.name) + "</span><b>" +
             escape(fact.value) + "</b><small>" + escape(fact.note) + "</small></div>\n";
  };
  if (run.test.size() > 0) {
    const auto test = train::evaluate(run.test);
    tile({"test accuracy", percent(test.accuracy, 2),
          "95 % interval " + fixed(100 * test.low, 2) + " to " + fixed(100 * test.high, 2)},
         "tile first");
    tile({"test loss", fixed(test.loss, 4), "cross-entropy"});
  }
  for (const auto& fact : run.headline) tile(fact);
  return tiles.empty() ? "" : "<div class=\"tiles\">\n" + tiles + "</div>\n";
}

/// Warnings, then what gap and curve say of the fit.
inline std::string notes(const Run& run) {
  std::string items;
  for (const auto& warning : run.warnings) {
    items += "<li class=\"warning\">" + escape(warning) + "</li>\n";
  }
  const auto say = [&](const std::string& note) {
    if (!note.empty()) items += "<li>" + escape(note) + "</li>\n";
  };
  if (run.clean && run.test.size() > 0) {
    say(train::describe_gap(*run.clean, train::evaluate(run.test)));
  }
  auto plateau = train::describe_plateau(run.history);
  if (!plateau.empty()) plateau[0] = 'T';  // it begins with "the"
  say(plateau.empty() ? "" : plateau + ".");
  return items.empty() ? "" : "<ul class=\"notes\">\n" + items + "</ul>\n";
}

/// Loss, accuracy and learning rate by epoch, and the numbers as a table.
inline std::string curves(const Run& run) {
  if (run.history.empty()) return "";
  Series loss{"training"}, loss_clean{"training, not augmented"}, loss_val{"validation"};
  Series accuracy = loss, accuracy_clean = loss_clean, accuracy_val = loss_val, lr{"learning rate"};
  std::vector<std::vector<std::string>> rows{{"epoch", "loss", "accuracy", "validation loss",
                                              "validation accuracy", "learning rate", "seconds"}};
  double least = 1e300, most = 0;
  for (const auto& e : run.history) {
    const auto x = static_cast<double>(e.epoch + 1);
    loss.points.emplace_back(x, e.loss);
    accuracy.points.emplace_back(x, e.accuracy);
    if (e.clean) {
      loss_clean.points.emplace_back(x, e.clean->loss);
      accuracy_clean.points.emplace_back(x, e.clean->accuracy);
    }
    if (e.validation) {
      loss_val.points.emplace_back(x, e.validation->loss);
      accuracy_val.points.emplace_back(x, e.validation->accuracy);
    }
    if (e.lr) {
      lr.points.emplace_back(x, *e.lr);
      least = std::min(least, *e.lr);
      most = std::max(most, *e.lr);
    }
    char rate[32] = "";
    if (e.lr) std::snprintf(rate, sizeof rate, "%.4g", *e.lr);
    rows.push_back({std::to_string(e.epoch + 1), fixed(e.loss, 4), percent(e.accuracy, 2),
                    e.validation ? fixed(e.validation->loss, 4) : "",
                    e.validation ? percent(e.validation->accuracy, 2) : "", rate,
                    fixed(e.seconds, 1)});
  }
  const auto chart = [](const char* title, Axis y, std::vector<Series> series) {
    std::erase_if(series, [](const Series& one) { return one.points.empty(); });
    if (series.empty()) return std::string();
    return to_html(LineChart{title, {.label = "epoch", .whole = true}, y, std::move(series)});
  };
  std::string html = "<div class=\"grid\">\n";
  html += chart("Loss", {}, {loss, loss_val, loss_clean});
  html += chart("Accuracy", {.percent = true}, {accuracy, accuracy_val, accuracy_clean});
  // A rate that falls by more than a factor of a hundred is seen on a logarithmic axis alone.
  const bool log = least > 0 && most > 100 * least;
  html += chart(log ? "Learning rate (logarithmic)" : "Learning rate", {.log = log}, {lr});
  html += "</div>\n<details><summary>The same as a table</summary>\n<div class=\"card\">" +
          detail::table(rows, 0) + "</div></details>\n";
  return detail::section("Training", html);
}

/// Accuracy class by class, what is taken for what, and whether confidence can be trusted.
inline std::string classes(const Run& run) {
  if (run.test.size() == 0) return "";
  const auto& names = detail::class_names(run);
  const train::ConfusionMatrix matrix(run.test);
  const auto worst = matrix.worst_class();
  const auto name = [&](std::int32_t label) { return train::detail::class_name(names, label); };

  auto by_class = matrix.by_class();
  std::erase_if(by_class, [](const auto& one) { return one.total == 0; });
  std::stable_sort(by_class.begin(), by_class.end(),
                   [](const auto& a, const auto& b) { return a.accuracy() > b.accuracy(); });
  const std::size_t most = 40;  // of a hundred classes the best are not what one looks for
  if (by_class.size() > most) by_class.erase(by_class.begin(), by_class.end() - most);
  BarChart bars{"Accuracy by class, with 95 % intervals",
                {.label = "share of the class that was recognised", .percent = true}};
  for (const auto& one : by_class) {
    bars.groups.push_back({name(one.label),
                           {{.value = one.accuracy(),
                             .interval = std::pair{one.low, one.high},
                             .text = percent(one.accuracy()),
                             .marked = one.label == worst.label}}});
  }
  std::vector<std::vector<std::string>> pairs{{"class", "taken for", "times", "of the class"}};
  for (const auto& pair : matrix.most_confused(10)) {
    const auto total = static_cast<double>(matrix.total(pair.label));
    pairs.push_back({name(pair.label), name(pair.predicted), grouped(pair.count),
                     percent(static_cast<double>(pair.count) / total)});
  }
  LineChart calibration{
      "Calibration: expected error " + percent(train::calibration_error(run.test)),
      {.label = "confidence", .percent = true},
      {.label = "accuracy", .percent = true},
      {{"model"}, {"as sure as it is right", {{0, 0}, {1, 1}}, true}}};
  for (const auto& bin : train::calibration(run.test)) {
    if (bin.total == 0) continue;
    calibration.series[0].points.emplace_back(bin.confidence, bin.accuracy());
  }
  const auto columns = "<div class=\"stack\">\n" + to_html(bars) +
                       "<figure><figcaption>Most frequent mistakes</figcaption>\n" +
                       detail::table(pairs, 2) + "</figure>\n</div>\n<div class=\"stack\">\n" +
                       heat_map(matrix, names) + to_html(calibration) + "</div>\n";
  return detail::section("Classes", "<p>The worst class is " + escape(name(worst.label)) +
                                        " with " + percent(worst.accuracy()) +
                                        ".</p>\n<div class=\"grid wide\">\n" + columns +
                                        "</div>\n");
}

/// The wrong predictions that the model was surest of.
inline std::string mistakes(const Run& run, std::size_t count = 24) {
  if (!run.test_set || run.test.samples.empty()) return "";
  const auto& names = detail::class_names(run);
  std::string html;
  for (const auto& one : train::confident_mistakes(run.test, count)) {
    const auto sample = run.test.samples[std::size_t(one.row)];
    const auto truth = train::detail::class_name(names, one.label);
    const auto taken = train::detail::class_name(names, one.predicted);
    html += "<div>" + detail::image_tag(detail::picture_of(*run.test_set, sample), truth) +
            escape(truth) + "<br><b>" + escape(taken) + "</b><br><small>" +
            percent(double{one.confidence}, one.confidence > 0.9995f ? 2 : 1) + " sure, image " +
            std::to_string(sample) + "</small></div>\n";
  }
  if (html.empty()) return "";
  return detail::section(
      "Most confident mistakes",
      "<p>What the image is, and below it what the model took it for. Some labels "
      "may be wrong.</p>\n<div class=\"card mistakes\">\n" +
          html + "</div>\n");
}

/// How many images there are of each class, and what augmentation makes of them.
inline std::string images(const Run& run) {
  if (!run.train_set) return "";
  const auto& set = *run.train_set;
  const auto counts = detail::class_counts(set);
  const auto other = run.test_set ? detail::class_counts(*run.test_set) : counts;
  BarChart bars{"Images of each class", {.label = "share of the set", .percent = true}};
  bars.series = {"training, " + grouped(set.size()) + " images"};
  if (run.test_set) bars.series.push_back("test, " + grouped(run.test_set->size()) + " images");
  const auto bar = [](std::int64_t part, std::int64_t all) {
    return Bar{.value = static_cast<double>(part) / static_cast<double>(all),
               .text = grouped(part)};
  };
  for (std::size_t k = 0; k < counts.size(); ++k) {
    BarChart::Group group{set.classes()[k], {bar(counts[k], set.size())}};
    if (run.test_set && k < other.size()) group.bars.push_back(bar(other[k], run.test_set->size()));
    bars.groups.push_back(std::move(group));
  }
  auto html = "<div class=\"grid wide\">\n" + to_html(bars);

  // The first image of each of the first classes: untouched, then as the first epochs saw it.
  std::vector<std::int64_t> shown;
  std::vector<bool> seen(counts.size());
  for (std::int64_t i = 0; i < set.size() && shown.size() < 8; ++i) {
    const auto label = std::size_t(set.label(i));
    if (!seen[label]) shown.push_back(i);
    seen[label] = true;
  }
  html += "<figure><figcaption>" +
          std::string(run.augment ? "Training images and what augmentation made of them"
                                  : "Training images") +
          "</figcaption>\n<div class=\"sheet\" style=\"grid-template-columns:54px repeat(" +
          std::to_string(shown.size()) + ",minmax(0,64px))\">\n<span></span>";
  for (const auto i : shown) {
    html += "<span class=\"head\">" + escape(set.classes()[std::size_t(set.label(i))]) + "</span>";
  }
  const auto epochs = run.history.empty() ? 4 : std::min<std::int64_t>(4, std::ssize(run.history));
  for (std::int64_t epoch = -1; epoch < (run.augment ? epochs : 0); ++epoch) {
    html +=
        "\n<span>" + (epoch < 0 ? "original" : "epoch " + std::to_string(epoch + 1)) + "</span>";
    for (const auto i : shown) {
      const auto transform = epoch < 0 ? data::Transform{} : run.augment;
      html += detail::image_tag(detail::picture_of(set, i, transform, {run.seed, epoch}),
                                set.classes()[std::size_t(set.label(i))]);
    }
  }
  return detail::section("Data", html + "\n</div></figure>\n</div>\n");
}

/// The table of `nn::summary`.
inline std::string layers(const Run& run) {
  if (run.layers.rows.empty()) return "";
  std::vector<std::vector<std::string>> rows{
      {"layer", "op", "output", "parameters", "multiply-adds", "receptive field"}};
  for (const auto& row : run.layers.rows) {
    rows.push_back({row.path, row.op, to_string(row.output),
                    row.parameters ? grouped(row.parameters) : "",
                    row.macs ? grouped(row.macs) : "", std::to_string(row.receptive_field)});
  }
  rows.push_back({"total", "", "", grouped(run.layers.parameters), grouped(run.layers.macs),
                  std::to_string(run.layers.receptive_field)});
  return detail::section("Layers",
                         "<div class=\"card\">" + detail::table(rows, 3, true) + "</div>\n");
}

/// How to run it again, and on what it ran.
inline std::string settings(const Run& run) {
  std::string html;
  if (!run.facts.empty()) {
    html += "<div class=\"card\"><table class=\"facts\">\n";
    for (const auto& fact : run.facts) {
      html += "<tr><td>" + escape(fact.name) + "</td><td>" + escape(fact.value) +
              (fact.note.empty() ? "" : " <small>" + escape(fact.note) + "</small>") +
              "</td></tr>\n";
    }
    html += "</table></div>\n";
  }
  if (!run.machine.empty())
    html += "<div class=\"card\"><pre>" + escape(run.machine) + "</pre></div>\n";
  if (html.empty()) return "";
  return detail::section("How it was run", "<div class=\"grid wide\">\n" + html + "</div>\n");
}

}  // namespace tinynet::inline TINYNET_ABI::report
