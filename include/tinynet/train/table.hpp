#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <tinynet/core/config.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// Rows of text in aligned columns, for terminals and logs: the first column to the left, the others,
/// numbers as a rule, to the right.
///
///     Table table({"class", "accuracy"});
///     table.row({"Shirt", "78.40 %"});
///     std::fputs(table.string().c_str(), stdout);
template <class = void>
class TableOnDemand {
 public:
  explicit TableOnDemand(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

  /// Cells that are missing at the end stay empty.
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

  std::string string() const {
    std::vector<std::size_t> widths;
    for (const auto& cells : rows_) {
      widths.resize(std::max(widths.size(), cells.size()));
      for (std::size_t i = 0; i < cells.size(); ++i) {
        widths[i] = std::max(widths[i], letters(cells[i]));
      }
    }
    std::string text;
    for (const auto& cells : rows_) {
      std::string line;
      for (std::size_t i = 0; i < cells.size(); ++i) {
        const std::string space(widths[i] - letters(cells[i]), ' ');
        line += i == 0 ? cells[i] + space : "  " + space + cells[i];
      }
      text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
    return text;
  }

 private:
  /// Code points, not bytes: class names may be written in any script.
  static std::size_t letters(const std::string& text) {
    const auto begins = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; };
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins));
  }

  std::vector<std::vector<std::string>> rows_;
};
using Table = TableOnDemand<>;

}  // namespace tinynet::inline TINYNET_ABI::train
