#include "sys/user_namespace.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/test_util.h"

namespace martlet::sys {
namespace {

class UserNamespaceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    if (auto probe = make_user_namespace(Fd(), 0, 0, {}); !probe)
      GTEST_SKIP() << probe.error().to_string();
  }
};

ino_t inode(const Fd& name_space) {
  struct stat status{};
  EXPECT_EQ(::fstat(name_space.get(), &status), 0);
  return status.st_ino;
}

std::string squeezed(const std::string& map) {
  std::string out;
  for (char c : map)
    if (c != ' ' || (!out.empty() && out.back() != ' ' && out.back() != '\n')) out += c;
  return out;
}

TEST_F(UserNamespaceTest, HasTheMapsThatItWasMadeWith) {
  auto made = must(make_user_namespace(Fd(), 1000, 0, {"0 1000 1\n5 2000 7\n", "3 9 1\n", true}));
  auto maps = must(read_user_maps(made));
  EXPECT_EQ(squeezed(maps.users), "0 1000 1\n5 2000 7\n");
  EXPECT_EQ(squeezed(maps.groups), "3 9 1\n");
  EXPECT_TRUE(maps.denies_setgroups);
  EXPECT_EQ(must(owner_of_user_namespace(made)), 1000u);
}

TEST_F(UserNamespaceTest, CanBeWithoutAnyMap) {
  auto made = must(make_user_namespace(Fd(), 0, 0, {}));
  auto maps = must(read_user_maps(made));
  EXPECT_EQ(maps.users, "");
  EXPECT_EQ(maps.groups, "");
  EXPECT_FALSE(maps.denies_setgroups);
}

// The user who makes the inner one is 1000 there, and 3000 here; root's own id is in no map.
TEST_F(UserNamespaceTest, LiesInItsParent) {
  auto outer = must(make_user_namespace(Fd(), 7, 0, {"1000 3000 10\n", "0 0 1\n", false}));
  auto inner = must(make_user_namespace(outer, 1000, 0, {"0 1002 1\n", "", false}));
  EXPECT_EQ(inode(must(parent_of_namespace(inner))), inode(outer));
  EXPECT_EQ(inode(must(parent_of_namespace(outer))),
            inode(must(open_file("/proc/self/ns/user", O_RDONLY))));
  EXPECT_EQ(must(owner_of_user_namespace(inner)), 3000u);
  EXPECT_EQ(squeezed(must(read_user_maps(inner)).users), "0 1002 1\n");
}

TEST_F(UserNamespaceTest, RefusesAMapThatTheParentDoesNotHave) {
  auto outer = must(make_user_namespace(Fd(), 0, 0, {"0 1000 1\n", "0 0 1\n", false}));
  EXPECT_FALSE(make_user_namespace(outer, 0, 0, {"0 5 1\n", "", false}).has_value());
}

TEST_F(UserNamespaceTest, IsTheOneOfOtherNamespaces) {
  auto uts = must(open_file("/proc/self/ns/uts", O_RDONLY));
  EXPECT_EQ(inode(must(user_namespace_of(uts))),
            inode(must(open_file("/proc/self/ns/user", O_RDONLY))));
}

}  // namespace
}  // namespace martlet::sys
