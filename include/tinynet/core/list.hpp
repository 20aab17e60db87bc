#pragma once

#include <cstddef>
#include <new>
#include <utility>

#include <tinynet/core/config.hpp>

namespace tinynet::inline TINYNET_ABI {

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
    const auto capacity = capacity_ == 0 ? std::size_t{4} : 2 * capacity_;
    T* items = static_cast<T*>(::operator new(capacity * sizeof(T)));
    for (std::size_t i = 0; i < size_; ++i) {
      new (items + i) T(std::move(items_[i]));
      items_[i].~T();
    }
    ::operator delete(items_);
    items_ = items;
    capacity_ = capacity;
  }

  T* items_ = nullptr;
  std::size_t size_ = 0, capacity_ = 0;
};

}  // namespace tinynet::inline TINYNET_ABI
