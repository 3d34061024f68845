#include "compress/layer_choice.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/parse.h"

namespace penjing {

namespace {

std::vector<int> read_list(const std::string& text, int64_t teacher_layers) {
  std::vector<int> layers;
  for (const int64_t layer : parse_integers(text, "from", 0, teacher_layers - 1)) {
    if (!layers.empty() && layer <= layers.back())
      fail(ErrorKind::kInput, "from: layer {} after {}; wanted ascending layers", layer, layers.back());
    layers.push_back(static_cast<int>(layer));
  }
  return layers;
}

}  // namespace

std::vector<int> choose_layers(const std::string& from, int64_t count, int64_t teacher_layers) {
  if (!from.empty() && from.find_first_not_of("0123456789, ") == std::string::npos) {
    std::vector<int> layers = read_list(from, teacher_layers);
    if (count != 0 && count != static_cast<int64_t>(layers.size()))
      fail(ErrorKind::kInput, "layers is {}, from lists {}: give one of the two", count, layers.size());
    return layers;
  }
  const int64_t all = teacher_layers, n = count == 0 ? all : count;
  if (n > all) fail(ErrorKind::kInput, "layers: {}, the teacher has {}", n, all);
  std::vector<int> layers;
  const auto add = [&](int64_t layer) { layers.push_back(static_cast<int>(layer)); };
  if (from == "uniform") {
    for (int64_t i = 0; i < n; ++i)
      add(n == 1 ? 0 : std::llround(static_cast<double>(i * (all - 1)) / static_cast<double>(n - 1)));
  } else if (from == "first") {
    for (int64_t i = 0; i < n; ++i) add(i);
  } else if (from == "last") {
    for (int64_t i = all - n; i < all; ++i) add(i);
  } else if (from == "skip") {
    if (n > 0 && all % n != 0)
      fail(ErrorKind::kInput, "from skip: {} layers do not divide the teacher's {}", n, all);
    for (int64_t i = 1; i <= n; ++i) add(i * (all / n) - 1);
  } else if (from == "alternate") {
    if (2 * n < all)
      fail(ErrorKind::kInput, "from alternate: {} of {} layers; it keeps half of them or more", n, all);
    std::set<int64_t> gone;
    for (int64_t i = 0; i < all - n; ++i) gone.insert(all - 2 - 2 * i);
    for (int64_t i = 0; i < all; ++i) {
      if (!gone.contains(i)) add(i);
    }
  } else if (from == "symmetric") {
    for (int64_t i = 0; i < (n + 1) / 2; ++i) add(i);
    for (int64_t i = all - n / 2; i < all; ++i) add(i);
  } else {
    fail(ErrorKind::kInput,
         "from: \"{}\"; wanted uniform, first, last, skip, alternate, symmetric or layers as 0,3,5", from);
  }
  return layers;
}

}  // namespace penjing
