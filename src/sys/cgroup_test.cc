#include "sys/cgroup.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/fd.h"
#include "base/test_util.h"
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

TEST(Cgroup, KnowsAHostWithVersion2Alone) {
  const auto pure = parse_cgroup_mounts(
      "23 28 0:21 / /proc rw,nosuid - proc proc rw\n"
      "29 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 "
      "rw,nsdelegate,memory_recursiveprot\n");
  ASSERT_TRUE(pure);
  EXPECT_EQ(pure->freezer, "/sys/fs/cgroup");
  EXPECT_TRUE(pure->unified);
  EXPECT_EQ(pure->hierarchies, std::vector<std::string>{"/sys/fs/cgroup"});
}

// A directory that looks like a cgroup of version 2. What the kernel answers is written by the
// test.
class FakeCgroup2 {
 public:
  FakeCgroup2() {
    for (const char* file : {"cgroup.procs", "cgroup.freeze", "cgroup.events"}) answer(file, "");
  }

  void answer(const std::string& file, const std::string& content) const {
    std::ofstream(directory_ / file) << content;
  }
  std::string asked(const std::string& file) const { return *read_file(directory_ / file); }
  const std::string& directory() const { return directory_.path(); }

 private:
  TemporaryDirectory directory_;
};

TEST(Cgroup, FreezesByTheFilesOfVersion2) {
  const FakeCgroup2 fake;
  fake.answer("cgroup.events", "populated 1\nfrozen 1\n");
  EXPECT_TRUE(*is_frozen(fake.directory()));
  ASSERT_TRUE(freeze_cgroup(fake.directory(), 5s));
  EXPECT_EQ(fake.asked("cgroup.freeze"), "1");
  fake.answer("cgroup.events", "populated 1\nfrozen 0\n");
  EXPECT_FALSE(*is_frozen(fake.directory()));
  ASSERT_TRUE(thaw_cgroup(fake.directory(), 5s));
  EXPECT_EQ(fake.asked("cgroup.freeze"), "0");
  // Tasks that do not stop in time go on.
  EXPECT_EQ(freeze_cgroup(fake.directory(), 10ms).error().code(), Code::kTimeout);
  EXPECT_EQ(fake.asked("cgroup.freeze"), "0");
  fake.answer("cgroup.procs", "17\n4\n");
  EXPECT_EQ(*processes_of(fake.directory()), (std::vector{HostPid(17), HostPid(4)}));
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

TEST_P(CgroupFreezerTest, KillsWhatIsBelow) {
  const std::string below = directory_ + "/below";
  ASSERT_EQ(mkdir(below.c_str(), 0755), 0);
  ASSERT_TRUE(write_file(below + "/cgroup.procs", to_string(sleeper_->pid())));
  ASSERT_TRUE(freeze_cgroup(below, 5s));
  ASSERT_TRUE(kill_cgroup(directory_, 5s));
  EXPECT_EQ(*sleeper_->wait(5s), 128 + 9);
  EXPECT_EQ(rmdir(below.c_str()), 0);
}

INSTANTIATE_TEST_SUITE_P(Hierarchies, CgroupFreezerTest,
                         testing::Values("/sys/fs/cgroup/freezer", "/sys/fs/cgroup/unified",
                                         "/sys/fs/cgroup"));

TEST(CgroupPath, IsFoundByController) {
  constexpr std::string_view kText = "5:cpu,cpuacct:/a/b\n4:cpuset:/c\n0::/d:e\n";
  EXPECT_EQ(cgroup_path(kText, "cpu"), "/a/b");
  EXPECT_EQ(cgroup_path(kText, "cpuacct"), "/a/b");
  EXPECT_EQ(cgroup_path(kText, "cpuset"), "/c");
  EXPECT_EQ(cgroup_path(kText, ""), "/d:e");
  EXPECT_EQ(cgroup_path(kText, "memory"), "");
}

TEST(Cgroup, HierarchiesAreNamedByWhatTheyControl) {
  const auto found = parse_hierarchies(
      "31 30 0:27 / /cg/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
      "32 30 0:28 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct,clone_children\n"
      "33 30 0:29 / /cg/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd\n"
      "34 30 0:29 / /again rw - cgroup cgroup rw,xattr,name=systemd\n");
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].name, "");
  EXPECT_EQ(found[1].name, "cpu,cpuacct");
  EXPECT_EQ(found[2].name, "name=systemd");
  EXPECT_EQ(found[2].mount, "/cg/systemd");
}

TEST(Cgroup, ThatDoesNotExistHoldsNothing) {
  EXPECT_TRUE(processes_of("/sys/fs/cgroup/martlet-none")->empty());
  EXPECT_TRUE(kill_cgroup("/sys/fs/cgroup/martlet-none", 1s));
}

}  // namespace
}  // namespace martlet::sys
