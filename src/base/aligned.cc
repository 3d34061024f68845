#include "base/aligned.h"

#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace penjing {

void* allocate_aligned(std::size_t bytes) {
  constexpr std::size_t kAlignment = 64;
  // Above 2^62 no machine has memory, and rounding up could wrap.
  if (bytes > (std::size_t{1} << 62)) fail(ErrorKind::kResource, "allocation of {} bytes refused", bytes);
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* data = std::aligned_alloc(kAlignment, rounded == 0 ? kAlignment : rounded);
  if (data == nullptr) fail(ErrorKind::kResource, "out of memory: {} bytes wanted", bytes);
  std::memset(data, 0, rounded);
  return data;
}

void free_aligned(void* data) noexcept {
  std::free(data);
}

}  // namespace penjing
