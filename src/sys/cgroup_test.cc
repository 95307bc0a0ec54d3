#include "sys/cgroup.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/fd.h"
#include "sys/program.h"

namespace martlet::sys {
namespace {

using namespace std::chrono_literals;

TEST(Cgroup, PrefersTheFreezerOfVersion2) {
  const auto hybrid = parse_cgroup_mounts(
      "30 25 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n"
      "31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:1 - cgroup2 cgroup2 rw\n"
      "32 30 0:28 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n");
  ASSERT_TRUE(hybrid);
  EXPECT_EQ(hybrid->freezer, "/sys/fs/cgroup/unified");
  EXPECT_TRUE(hybrid->unified);
  EXPECT_EQ(hybrid->hierarchies.size(), 2u);
}

TEST(Cgroup, TakesTheFreezerOfVersion1IfThereIsNoOther) {
  const auto legacy = parse_cgroup_mounts(
      "31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
      "32 30 0:28 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n");
  ASSERT_TRUE(legacy);
  EXPECT_EQ(legacy->freezer, "/sys/fs/cgroup/freezer");
  EXPECT_FALSE(legacy->unified);
  EXPECT_EQ(parse_cgroup_mounts("").error().code(), Code::kUnsupported);
}

// One cgroup of the test's own with one sleeping process, in each hierarchy that can freeze.
class CgroupFreezerTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string hierarchy = GetParam();
    if (geteuid() != 0 || !std::filesystem::exists(hierarchy + "/cgroup.procs") ||
        (hierarchy.ends_with("freezer") && !std::filesystem::exists(hierarchy + "/tasks")))
      GTEST_SKIP() << "needs root and " << hierarchy;
    directory_ = fmt::format("{}/martlet-test-{}", hierarchy, getpid());
    ASSERT_EQ(mkdir(directory_.c_str(), 0755), 0);
    auto started = start_program({.args = {"sleep", "1000"}});
    ASSERT_TRUE(started);
    sleeper_.emplace(std::move(*started));
    ASSERT_TRUE(write_file(directory_ + "/cgroup.procs", to_string(sleeper_->pid())));
  }
  void TearDown() override {
    if (directory_.empty()) return;
    (void)thaw_cgroup(directory_, 5s);
    sleeper_.reset();
    EXPECT_TRUE(kill_cgroup(directory_, 5s));
    EXPECT_EQ(rmdir(directory_.c_str()), 0);
  }
  std::string directory_;
  std::optional<RunningProgram> sleeper_;
};

TEST_P(CgroupFreezerTest, FreezesAndThaws) {
  EXPECT_FALSE(*is_frozen(directory_));
  ASSERT_TRUE(freeze_cgroup(directory_, 5s));
  EXPECT_TRUE(*is_frozen(directory_));
  ASSERT_TRUE(thaw_cgroup(directory_, 5s));
  EXPECT_FALSE(*is_frozen(directory_));
}

TEST_P(CgroupFreezerTest, KillsWhatIsFrozen) {
  EXPECT_EQ(processes_of(directory_)->size(), 1u);
  ASSERT_TRUE(freeze_cgroup(directory_, 5s));
  ASSERT_TRUE(kill_cgroup(directory_, 5s));
  EXPECT_EQ(*sleeper_->wait(5s), 128 + 9);
  EXPECT_TRUE(processes_of(directory_)->empty());
}

INSTANTIATE_TEST_SUITE_P(Hierarchies, CgroupFreezerTest,
                         testing::Values("/sys/fs/cgroup/freezer", "/sys/fs/cgroup/unified",
                                         "/sys/fs/cgroup"));

TEST(Cgroup, ThatDoesNotExistHoldsNothing) {
  EXPECT_TRUE(processes_of("/sys/fs/cgroup/martlet-none")->empty());
  EXPECT_TRUE(kill_cgroup("/sys/fs/cgroup/martlet-none", 1s));
}

}  // namespace
}  // namespace martlet::sys
