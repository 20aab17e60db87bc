#pragma once

#include <string>

/// What tests of errors share.
namespace tinynet::tests {

/// The message of the `Error` that `f` throws, or "" if it throws none.
template <class Error, class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace tinynet::tests
