#include "sys/procfs.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace martlet::sys {
namespace {

TEST(Procfs, StatusOfThisProcess) {
  auto status = read_status(HostPid(getpid()));
  ASSERT_TRUE(status) << status.error().to_string();
  EXPECT_EQ(status->group_leader.value, getpid());
  EXPECT_EQ(status->parent.value, getppid());
  EXPECT_EQ(status->ns_tids.back().value, getpid());
  EXPECT_EQ(status->uids[1], geteuid());
}

TEST(Procfs, StatCopesWithParenthesesInTheName) {
  std::string text = "7 (a) b) S 1 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 -5 1 0 4242 1 2 3 ";
  text += "26 27 28 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 45 46 47 48 49 50 51 52\n";
  auto stat = parse_stat(text);
  ASSERT_TRUE(stat) << stat.error().to_string();
  EXPECT_EQ(stat->nice, -5);
  EXPECT_EQ(stat->start_ticks, 4242u);
  EXPECT_EQ(stat->start_code, 26u);
  EXPECT_EQ(stat->exit_signal, 17u);
  EXPECT_EQ(stat->env_end, 51u);
  EXPECT_EQ(stat->exit_code, 52);
}

TEST(Procfs, PrivateBytesLeaveOutFilesAndSharedMemory) {
  EXPECT_EQ(parse_private_bytes("5000 300 100 20 0 2000 0\n"), 200 * kPageSize);
  EXPECT_FALSE(parse_private_bytes("5000 100 300 20 0 2000 0\n"));
}

TEST(Procfs, SmapsLineByLine) {
  auto vmas = parse_smaps(
      "00400000-00452000 r-xp 00001000 08:02 173521   /usr/bin/with blank (deleted)\n"
      "Size:                328 kB\n"
      "ProtectionKey:         3\n"
      "VmFlags: rd ex mr mw me sd \n"
      "7ffc0000-7ffd0000 rw-s 00000000 00:00 0 \n"
      "VmFlags: rd wr gd \n");
  ASSERT_EQ(vmas.size(), 2u);
  EXPECT_EQ(vmas[0].path, "/usr/bin/with blank (deleted)");
  EXPECT_EQ(vmas[0].protection, static_cast<uint32_t>(PROT_READ | PROT_EXEC));
  EXPECT_EQ(vmas[0].inode, 173521u);
  EXPECT_TRUE(vmas[0].has_flag("sd"));
  EXPECT_FALSE(vmas[0].has_flag("gd"));
  EXPECT_EQ(vmas[0].protection_key, 3u);
  EXPECT_EQ(vmas[1].protection_key, 0u);
  EXPECT_TRUE(vmas[1].shared);
  EXPECT_TRUE(vmas[1].has_flag("gd"));
}

TEST(Procfs, AVanishedProcessIsAValue) {
  auto status = read_status(HostPid(0x3fffffff));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kGone);
}

TEST(Procfs, ListsThreadsAndDescriptors) {
  auto threads = list_threads(HostPid(getpid()));
  ASSERT_TRUE(threads);
  EXPECT_EQ(threads->front().value, getpid());
  auto descriptors = list_descriptors(HostPid(getpid()));
  ASSERT_TRUE(descriptors);
  EXPECT_TRUE(std::ranges::find(*descriptors, 2) != descriptors->end());
}

}  // namespace
}  // namespace martlet::sys
