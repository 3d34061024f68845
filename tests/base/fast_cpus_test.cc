#include "base/fast_cpus.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/thread_pool.h"
#include "tests/base/test_folder.h"

namespace penjing {
namespace {

using Cpus = std::vector<int>;

void write(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

TEST(FastCpus, ListsAreRead) {
  EXPECT_EQ(parse_cpu_list("0-3,8,10-11\n"), (Cpus{0, 1, 2, 3, 8, 10, 11}));
  EXPECT_EQ(parse_cpu_list("5"), (Cpus{5}));
  for (const char* wrong : {"", "\n", "a", "1-", "3-1", "1,", ",1", "1;2", "-1", "0-99999999"}) {
    EXPECT_TRUE(parse_cpu_list(wrong).empty()) << wrong;
  }
}

TEST(FastCpus, HybridCpusNameTheirFastOnes) {
  const TestFolder folder("hybrid-cpus");
  write(folder / "cpu_core/cpus", "0-3\n");
  write(folder / "cpu_atom/cpus", "4-7\n");
  const std::string root = (folder / "").string();
  EXPECT_EQ(fast_cpus({0, 1, 2, 3, 4, 5, 6, 7}, root), (Cpus{0, 1, 2, 3}));
  EXPECT_EQ(fast_cpus({2, 6}, root), (Cpus{2}));
  EXPECT_EQ(fast_cpus({5, 6}, root), (Cpus{5, 6}));  // told to stay on slow ones
}

TEST(FastCpus, CapacitiesTellThemToo) {
  const TestFolder folder("cpu-capacities");
  const std::string root = (folder / "").string();
  const auto capacity = [&](int cpu, const std::string& text) {
    write(folder / ("system/cpu/cpu" + std::to_string(cpu) + "/cpu_capacity"), text);
  };
  EXPECT_EQ(fast_cpus({0, 1}, root), (Cpus{0, 1}));  // nothing is said
  capacity(0, "446\n"), capacity(1, "446\n"), capacity(2, "1024\n"), capacity(3, "871\n");
  EXPECT_EQ(fast_cpus({0, 1, 2, 3}, root), (Cpus{2, 3}));
  EXPECT_EQ(fast_cpus({0, 1}, root), (Cpus{0, 1}));
  EXPECT_EQ(fast_cpus({0, 1, 2, 3, 9}, root), (Cpus{0, 1, 2, 3, 9}));  // one says nothing
}

TEST(FastCpus, ThisProcessHasSome) {
  EXPECT_FALSE(allowed_cpus().empty());
  EXPECT_LE(available_cpus(), static_cast<int>(allowed_cpus().size()));
}

}  // namespace
}  // namespace penjing
