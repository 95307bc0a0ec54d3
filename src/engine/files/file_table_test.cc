#include "engine/files/file_table.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>

#include "engine/test_util.h"
#include "sys/pidfd.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

// Looks at a child that has all descriptors of this process. Of each description the first few
// descriptors follow one another, and one stands among those of the others.
class FileTableTest : public testing::Test {
 protected:
  static constexpr int kDescriptions = 40;
  static constexpr int kCopies = 5;

  void open(int (*make)()) {
    for (int i = 0; i < kDescriptions; ++i) {
      add(make());
      for (int copy = 1; copy < kCopies; ++copy) add(::dup(own_.back().get()));
    }
    const size_t first = own_.size() - kDescriptions * kCopies;
    for (size_t i = 0; i < kDescriptions * kCopies; i += kCopies) add(::dup(own_[first + i].get()));
  }

  void add(int fd) {
    ASSERT_GE(fd, 0);
    own_.emplace_back(fd);
  }

  static std::map<int, uint32_t> files_of(HostPid process) {
    MemorySink sink;
    CaptureContext context(sink, process, {});
    image::Process record;
    auto seen = FileTable::look_at(process);
    EXPECT_TRUE(seen);
    EXPECT_TRUE(FileTable(context).add(process, *seen, record));
    std::map<int, uint32_t> files;
    for (const image::Descriptor& descriptor : record.descriptors())
      files[descriptor.fd()] = descriptor.file();
    return files;
  }

  std::vector<Fd> own_;
};

TEST_F(FileTableTest, DescriptorsOfOneDescriptionAndNoOthersAreOneFile) {
  open([] { return ::eventfd(0, 0); });
  open([] { return ::timerfd_create(CLOCK_MONOTONIC, 0); });
  open([] { return ::open("/dev/null", O_RDONLY); });
  ChildInNamespaces child(0, [] { return true; });
  const auto files = files_of(child.pid());
  for (const Fd& a : own_)
    for (const Fd& b : own_) {
      const bool same = *sys::compare_files(child.pid(), a.get(), child.pid(), b.get()) == 0;
      ASSERT_EQ(files.at(a.get()) == files.at(b.get()), same) << a.get() << " and " << b.get();
    }
}

TEST_F(FileTableTest, SocketsAreKnownForWhatTheyAre) {
  open([] { return ::socket(AF_INET6, SOCK_DGRAM, 0); });
  ChildInNamespaces child(0, [] { return true; });
  MemorySink sink;
  CaptureContext context(sink, child.pid(), {});
  image::Process record;
  FileTable table(context);
  ASSERT_TRUE(table.add(child.pid(), *FileTable::look_at(child.pid()), record));
  ASSERT_TRUE(table.open_all());
  for (const Fd& own : own_) {
    struct stat status{};
    ASSERT_EQ(::fstat(own.get(), &status), 0);
    const OpenFile* file = context.file_of(child.pid(), own.get());
    ASSERT_NE(file, nullptr);
    EXPECT_EQ(file->link, *sys::read_link("/proc/self/fd/" + std::to_string(own.get())));
    EXPECT_EQ(file->status.st_ino, status.st_ino);
    EXPECT_EQ(file->status.st_mode, status.st_mode);
    EXPECT_EQ(file->socket, (sys::SocketType{AF_INET6, SOCK_DGRAM, IPPROTO_UDP}));
    EXPECT_EQ(*sys::compare_files(HostPid(::getpid()), file->fd, HostPid(::getpid()), own.get()),
              0);
  }
}

TEST_F(FileTableTest, DescriptorsAreSeenInTheirOrder) {
  open([] { return ::eventfd(0, 0); });
  ChildInNamespaces child(0, [] { return true; });
  auto seen = FileTable::look_at(child.pid());
  ASSERT_TRUE(seen);
  EXPECT_GE(seen->size(), own_.size());
  EXPECT_TRUE(std::ranges::is_sorted(*seen, {}, &OpenFile::number));
}

}  // namespace
}  // namespace martlet::engine
