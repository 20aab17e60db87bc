#pragma once

#include <filesystem>
#include <span>
#include <string>

#include <tinynet/io/atomic_file.hpp>
#include <tinynet/report/sections.hpp>
#include <tinynet/report/style.hpp>

namespace tinynet::inline TINYNET_ABI::report {

/// The report of a run as one page that needs nothing else: no script, no file, no network.
inline std::string to_html(const Run& run) {
  // The policy is a promise that the browser keeps, whatever a class is called.
  auto page =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
      "style-src 'unsafe-inline'; img-src data:\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n<title>" +
      escape(run.title) + "</title>\n<style>" + style + "</style>\n</head>\n<body>\n<main>\n" +
      "<h1>" + escape(run.title) + "</h1>\n";
  if (!run.subtitle.empty()) page += "<p class=\"lead\">" + escape(run.subtitle) + "</p>\n";
  page += headline(run) + notes(run) + curves(run) + classes(run) + mistakes(run) + images(run) +
          layers(run) + settings(run);
  return page + "<footer>Written by tinynet " + version + ".</footer>\n</main>\n</body>\n</html>\n";
}

/// Writes the page, whole or not at all. Throws DataError where that fails.
inline void write(const Run& run, const std::filesystem::path& path) {
  const auto page = to_html(run);
  io::write_file(path, std::as_bytes(std::span(page)));
}

}  // namespace tinynet::inline TINYNET_ABI::report
