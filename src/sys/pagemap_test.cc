#include "sys/pagemap.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "sys/target_memory.h"
#include "sys/userfaultfd.h"

namespace martlet::sys {
namespace {

constexpr size_t kPages = 10000;  // more than one read of entries

// A mapping with runs of written pages, pages that were only read (the zero page), and holes.
class PagemapTest : public testing::TestWithParam<Pagemap::Method> {
 protected:
  PagemapTest() {
    void* memory = ::mmap(nullptr, kPages * kPageSize, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ::madvise(memory, kPages * kPageSize, MADV_NOHUGEPAGE);
    memory_ = static_cast<volatile char*>(memory);
    within_ = {reinterpret_cast<uint64_t>(memory),
               reinterpret_cast<uint64_t>(memory) + kPages * kPageSize};
  }
  ~PagemapTest() override { ::munmap(const_cast<char*>(memory_), kPages * kPageSize); }
  Range pages(size_t first, size_t count) const {
    return {within_.start + first * kPageSize, within_.start + (first + count) * kPageSize};
  }
  Result<std::vector<Range>> found() const {
    return TRY(Pagemap::open(HostPid(::getpid()), GetParam()))
        .anonymous_pages(within_, Pagemap::Backing::kNone);
  }
  void write(size_t first, size_t count) {
    for (size_t page = first; page < first + count; ++page) memory_[page * kPageSize] = 1;
  }

  volatile char* memory_;
  Range within_;
};

TEST_P(PagemapTest, NothingIsThereBeforeItIsTouched) {
  EXPECT_EQ(*found(), std::vector<Range>{});
}

TEST_P(PagemapTest, FindsWhatWasWritten) {
  write(0, 1);
  write(100, 50);
  write(4090, 20);  // across the end of one read
  write(kPages - 1, 1);
  EXPECT_EQ(*found(), (std::vector<Range>{pages(0, 1), pages(100, 50), pages(4090, 20),
                                          pages(kPages - 1, 1)}));
}

TEST_P(PagemapTest, WhatWasOnlyReadIsNoPage) {
  write(10, 1);
  EXPECT_EQ(memory_[20 * kPageSize], 0);
  EXPECT_EQ(*found(), (std::vector<Range>{pages(10, 1)}));
}

TEST_P(PagemapTest, PagesOfAFileAreNotTheProcesss) {
  Fd file(::memfd_create("pages", MFD_CLOEXEC));
  constexpr size_t kSize = 3 * kPageSize;
  ASSERT_EQ(::ftruncate(file.get(), kSize), 0);
  void* mapped = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  auto* bytes = static_cast<volatile char*>(mapped);
  auto start = reinterpret_cast<uint64_t>(mapped);
  EXPECT_EQ(bytes[0], 0);
  bytes[kPageSize] = 1;
  EXPECT_EQ(bytes[2 * kPageSize], 0);
  auto pagemap = Pagemap::open(HostPid(::getpid()), GetParam());
  ASSERT_TRUE(pagemap);
  EXPECT_EQ(*pagemap->anonymous_pages({start, start + kSize}, Pagemap::Backing::kFile),
            (std::vector<Range>{{start + kPageSize, start + 2 * kPageSize}}));
  ::munmap(mapped, kSize);
}

// In a tracked mapping, whatever happens to it: what is told by exceptions is what is told page by
// page.
TEST_P(PagemapTest, ALookAgreesWithTheSlowerWays) {
  if (!Userfaultfd::can_track_writes()) GTEST_SKIP() << "no write tracking by userfaultfd here";
  auto seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  auto tracker = Userfaultfd::for_write_tracking(Fd(static_cast<int>(
      ::syscall(SYS_userfaultfd, userfaultfd_flags(UserfaultScope::kUserFaults)))));
  auto pagemap = Pagemap::open(HostPid(::getpid()), GetParam());
  ASSERT_TRUE(tracker && pagemap);
  ASSERT_TRUE(tracker->track_writes(within_));
  for (int round = 0; round < 30; ++round) {
    for (int step = 0; step < 20; ++step) {
      size_t first = random() % kPages;
      size_t count = 1 + random() % std::min<size_t>(kPages - first, random() % 4 == 0 ? 3000 : 20);
      char* start = const_cast<char*>(memory_) + first * kPageSize;
      switch (random() % 3) {
        case 0: write(first, count); break;
        case 1: ::madvise(start, count * kPageSize, MADV_DONTNEED); break;
        case 2: ::madvise(start, count * kPageSize, MADV_POPULATE_READ); break;
      }
    }
    auto look = pagemap->look(within_, Pagemap::Backing::kNone, Pagemap::Tracking::kByWrites);
    ASSERT_TRUE(look) << look.error().to_string();
    EXPECT_EQ(look->pages, *found());
    if (GetParam() == Pagemap::Method::kEntries) continue;
    EXPECT_EQ(look->changed, *pagemap->peek_written(within_, Pagemap::Backing::kNone));
    auto untracked = pagemap->look(within_, Pagemap::Backing::kNone, Pagemap::Tracking::kNone);
    EXPECT_EQ(untracked->pages, look->pages);
    EXPECT_TRUE(untracked->changed.empty());
    ASSERT_TRUE(pagemap->take_written(within_, Pagemap::Backing::kNone));
  }
}

// What was written since the notes were taken back; what was moved counts, too.
TEST_P(PagemapTest, SoftDirtyPagesAreThoseWritten) {
  if (GetParam() != Pagemap::Method::kEntries || !has_soft_dirty())
    GTEST_SKIP() << "soft-dirty is read by entries, on kernels that have it";
  write(0, 100);
  ASSERT_TRUE(clear_soft_dirty(HostPid(::getpid())));
  write(10, 5);
  auto* start = const_cast<char*>(memory_);
  ASSERT_EQ(::mremap(start + 50 * kPageSize, 10 * kPageSize, 10 * kPageSize,
                     MREMAP_MAYMOVE | MREMAP_FIXED, start + 200 * kPageSize),
            start + 200 * kPageSize);
  auto map = Pagemap::open(HostPid(::getpid()), GetParam());
  ASSERT_TRUE(map);
  const std::vector<Range> changed = {pages(10, 5), pages(200, 10)};
  EXPECT_EQ(*map->take_written(within_, Pagemap::Backing::kNone), changed);
  auto look = map->look(within_, Pagemap::Backing::kNone, Pagemap::Tracking::kByWrites);
  EXPECT_EQ(look->changed, changed);
  EXPECT_EQ(look->pages, (std::vector<Range>{pages(0, 50), pages(60, 40), pages(200, 10)}));
}

TEST_P(PagemapTest, TellsGuardRegionsFromPages) {
  write(10, 20);
  constexpr int kGuardInstall = 102;  // MADV_GUARD_INSTALL
  auto* start = const_cast<char*>(memory_);
  if (::madvise(start + 15 * kPageSize, 2 * kPageSize, kGuardInstall) != 0)
    GTEST_SKIP() << "no guard regions here";
  auto map = Pagemap::open(HostPid(::getpid()), GetParam());
  ASSERT_TRUE(map);
  EXPECT_EQ(*found(), (std::vector<Range>{pages(10, 5), pages(17, 13)}));
  auto look = map->look(within_, Pagemap::Backing::kNone, Pagemap::Tracking::kNone);
  ASSERT_TRUE(look);
  EXPECT_EQ(look->pages, (std::vector<Range>{pages(10, 5), pages(17, 13)}));
  EXPECT_EQ(look->guards, (std::vector<Range>{pages(15, 2)}));
}

TEST_P(PagemapTest, FindsGuardRegionsOfSharedMemory) {
  constexpr int kGuardInstall = 102;  // MADV_GUARD_INSTALL
  void* shared =
      ::mmap(nullptr, 8 * kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  auto start = reinterpret_cast<uint64_t>(shared);
  std::memset(shared, 1, 4 * kPageSize);
  auto map = Pagemap::open(HostPid(::getpid()), GetParam());
  ASSERT_TRUE(map);
  Range within{start, start + 8 * kPageSize};
  EXPECT_TRUE(map->guards_of_shared(within)->empty());
  if (::madvise(static_cast<char*>(shared) + 3 * kPageSize, 2 * kPageSize, kGuardInstall) != 0)
    GTEST_SKIP() << "no guard regions in shared memory here";
  EXPECT_EQ(*map->guards_of_shared(within),
            (std::vector<Range>{{start + 3 * kPageSize, start + 5 * kPageSize}}));
  ::munmap(shared, 8 * kPageSize);
}

INSTANTIATE_TEST_SUITE_P(Methods, PagemapTest,
                         testing::Values(Pagemap::Method::kBest, Pagemap::Method::kEntries));

}  // namespace
}  // namespace martlet::sys
