#include "base/folder_lock.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/base/test_folder.h"

namespace penjing {
namespace {

TEST(FolderLocks, OneAtATime) {
  TestFolder folder("folder-lock");
  EXPECT_FALSE(is_locked(folder.path()));
  {
    FolderLock mine(folder.path(), "works here");
    EXPECT_TRUE(is_locked(folder.path()));
    const std::string error = error_of([&] { FolderLock(folder.path(), "works here"); });
    EXPECT_EQ(error, folder.path().string() + ": another process works here");
    const FolderLock moved = std::move(mine);
    EXPECT_TRUE(is_locked(folder.path()));
  }
  EXPECT_FALSE(is_locked(folder.path()));
  try {
    FolderLock(folder / "absent", "works here");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
  }
}

TEST(FolderLocks, AKilledProcessLeavesItFree) {
  TestFolder folder("folder-lock-kill");
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const FolderLock lock(folder.path(), "works here");
    (void)!::write(ready[1], "x", 1);
    for (;;) ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_TRUE(is_locked(folder.path()));
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_FALSE(is_locked(folder.path()));
  const FolderLock mine(folder.path(), "works here");
  ::close(ready[0]);
  ::close(ready[1]);
}

}  // namespace
}  // namespace penjing
