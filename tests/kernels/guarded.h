#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace penjing::testing {

// An array whose end touches an inaccessible page: an over-read or over-write ends the test.
template <typename T>
class Guarded {
 public:
  explicit Guarded(int64_t count) : Guarded(static_cast<std::size_t>(count)) {}
  explicit Guarded(int count) : Guarded(static_cast<std::size_t>(count)) {}
  explicit Guarded(std::size_t size) : size_(size) {
    const auto page = static_cast<std::size_t>(::getpagesize());
    const std::size_t body = (size * sizeof(T) + page - 1) / page * page;
    total_ = body + page;
    base_ = static_cast<char*>(
        ::mmap(nullptr, total_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ::mprotect(base_ + body, page, PROT_NONE);
    data_ = reinterpret_cast<T*>(base_ + body - size * sizeof(T));
  }
  ~Guarded() { ::munmap(base_, total_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  T* data() { return data_; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  std::size_t size() const { return size_; }
  std::vector<T> copy() const { return {data_, data_ + size_}; }

 private:
  char* base_ = nullptr;
  T* data_ = nullptr;
  std::size_t size_ = 0, total_ = 0;
};

}  // namespace penjing::testing
