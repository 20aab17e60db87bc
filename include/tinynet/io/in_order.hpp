#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include <tinynet/core/list.hpp>

namespace tinynet::inline TINYNET_ABI::io {

/// Pointers to all items, from the smallest on by `compare(a, b)`, which is below, at or above zero. By
/// the C library's sort of pointers: std::sort is compiled anew for each type, a thousand lines of it.
template <auto compare, class T>
List<const T*> in_order(const std::vector<T>& items) {
  List<const T*> all;
  for (const auto& item : items) all.push_back(&item);
  if (all.size() < 2) return all;
  std::qsort(all.data(), all.size(), sizeof(const T*), [](const void* a, const void* b) {
    return compare(**static_cast<const T* const*>(a), **static_cast<const T* const*>(b));
  });
  return all;
}

inline int compare_text(const std::string& a, const std::string& b) { return a.compare(b); }

}  // namespace tinynet::inline TINYNET_ABI::io
