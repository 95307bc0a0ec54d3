#include <sched.h>

#include "engine/files/kind_test_util.h"
#include "sys/namespaces.h"

namespace martlet::engine {
namespace {

using NamespaceTest = KindTest;

ino_t inode_of(int fd) {
  struct stat status{};
  return ::fstat(fd, &status) == 0 ? status.st_ino : 0;
}

TEST_F(NamespaceTest, is_the_same_here) {
  Fd uts(::open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC));
  Fd path(::open("/proc/self/ns/net", O_PATH | O_CLOEXEC));
  ASSERT_OK(capture({uts.get(), path.get()}));
  ASSERT_OK(restore());
  EXPECT_EQ(inode_of(restored(uts.get())), inode_of(uts.get()));
  EXPECT_EQ(inode_of(restored(path.get())), inode_of(path.get()));
  EXPECT_EQ(::fcntl(restored(path.get()), F_GETFL), ::fcntl(path.get(), F_GETFL));
}

TEST_F(NamespaceTest, refuses_one_of_somebody_else) {
  auto other = sys::new_namespace(sys::NamespaceKind::kUts);
  if (!other) GTEST_SKIP() << other.error().to_string();
  auto captured = capture({other->get()});
  ASSERT_FALSE(captured.has_value());
  EXPECT_EQ(captured.error().code(), Code::kUnsupported);
}

TEST_F(NamespaceTest, refuses_impossible_images) {
  Fd uts(::open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC));
  ASSERT_OK(capture({uts.get()}));
  for (const char* external : {"ns/../mem", "ns/uts/mem", "ns/0/", "ns/9999999/uts"}) {
    record(uts.get()).mutable_regular()->set_external(external);
    EXPECT_FALSE(restore().has_value()) << external;
  }
}

}  // namespace
}  // namespace martlet::engine
