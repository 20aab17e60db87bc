#pragma once

#include <algorithm>
#include <cstddef>
#include <new>
#include <utility>

#include <tinynet/core/config.hpp>

namespace tinynet::inline TINYNET_ABI {

namespace detail {
/// Storage for `capacity` items, to which `move` has brought those that lie in the old one.
[[gnu::noinline]] inline void* moved_list(void* items, std::size_t size, std::size_t capacity,
                                          std::size_t bytes, void (*move)(void* to, void* from)) {
  const auto room = capacity * bytes;
  auto* to = static_cast<std::byte*>(::operator new(room));
  for (std::size_t i = 0; i < size * bytes; i += bytes) {
    move(to + i, static_cast<std::byte*>(items) + i);
  }
  ::operator delete(items);
  return to;
}
}  // namespace detail

/// A list that grows at its end, for types that the library alone puts into one. What a std::vector
/// of another type costs every program is 25 functions to compile; these are 5 that do something.
template <class T>
class List {
 public:
  List() = default;
  List(const List& other) {
    for (const auto& item : other) push_back(item);
  }
  List(List&& other) noexcept { swap(other); }
  List& operator=(List other) noexcept {
    swap(other);
    return *this;
  }
  ~List() {
    clear();
    ::operator delete(items_);
  }

  [[gnu::noinline]] void push_back(T item) {
    if (size_ == capacity_) grow();
    new (items_ + size_) T(std::move(item));
    ++size_;
  }
  void pop_back() { items_[--size_].~T(); }
  [[gnu::noinline]] void clear() {
    while (size_ > 0) pop_back();
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* begin() { return items_; }
  T* end() { return items_ + size_; }
  const T* begin() const { return items_; }
  const T* end() const { return items_ + size_; }
  T* data() { return items_; }
  const T* data() const { return items_; }
  T& operator[](std::size_t i) { return items_[i]; }
  const T& operator[](std::size_t i) const { return items_[i]; }
  T& back() { return items_[size_ - 1]; }
  const T& back() const { return items_[size_ - 1]; }

 private:
  void swap(List& other) noexcept {
    std::swap(items_, other.items_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

  void grow() {
    static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
    static_assert(noexcept(T(std::declval<T>())), "an item that throws would be lost on its way");
    const auto move = [](void* to, void* from) {
      new (to) T(std::move(*static_cast<T*>(from)));
      static_cast<T*>(from)->~T();
    };
    const auto capacity = std::max(std::size_t{4}, 2 * capacity_);
    items_ = static_cast<T*>(detail::moved_list(items_, size_, capacity, sizeof(T), move));
    capacity_ = capacity;
  }

  T* items_ = nullptr;
  std::size_t size_ = 0, capacity_ = 0;
};

}  // namespace tinynet::inline TINYNET_ABI
