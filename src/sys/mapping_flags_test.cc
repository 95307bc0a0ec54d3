#include "sys/mapping_flags.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <iterator>
#include <set>
#include <sstream>

namespace martlet::sys {
namespace {

std::set<std::string> words(const std::string& flags) {
  std::istringstream in(flags);
  return {std::istream_iterator<std::string>(in), {}};
}

TEST(FlagMeanings, AreLearntFromExamples) {
  auto meanings = FlagMeanings::learn({{0b0001, "rd"}, {0b0011, "rd wr"}, {0b1101, "rd pf io"}});
  EXPECT_EQ(words(*meanings.spell(0b0001)), (std::set<std::string>{"rd"}));
  EXPECT_EQ(words(*meanings.spell(0b0011)), (std::set<std::string>{"rd", "wr"}));
  EXPECT_EQ(words(*meanings.spell(0b1111)), (std::set<std::string>{"rd", "wr", "pf", "io"}));
}

TEST(FlagMeanings, OfWhatWasNeverSeenAreUnknown) {
  auto meanings = FlagMeanings::learn({{0b0001, "rd"}, {0b0011, "rd wr"}, {0b1101, "rd pf io"}});
  EXPECT_FALSE(meanings.spell(0b10001)) << "a bit that no example had";
  EXPECT_FALSE(meanings.spell(0b0101)) << "one of two bits that came together";
  EXPECT_FALSE(meanings.spell(0b0010)) << "without the bit that all examples had";
}

// A copy of this process that stands still.
class Copy {
 public:
  Copy() : pid_(::fork()) {
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) ::pause();
  }
  ~Copy() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;
  HostPid pid() const { return HostPid(pid_); }

 private:
  pid_t pid_;
};

TEST(MappingFlags, AgreeWithSmaps) {
  auto reader = MappingFlags::load();
  ASSERT_TRUE(reader) << reader.error().to_string();
  constexpr size_t kMappings = 5000;  // more than the kernel tells at a time
  constexpr size_t kBytes = 2 * kMappings * kPageSize;
  void* memory =
      ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* start = static_cast<char*>(memory);
  ASSERT_EQ(::madvise(start, kPageSize, MADV_SEQUENTIAL), 0);
  ASSERT_EQ(::madvise(start + 2 * kPageSize, kPageSize, MADV_WIPEONFORK), 0);
  ASSERT_EQ(::madvise(start + 4 * kPageSize, kPageSize, MADV_RANDOM), 0);
  ASSERT_EQ(::mprotect(start + 6 * kPageSize, kPageSize, PROT_READ), 0);
  ASSERT_EQ(::madvise(start + 6 * kPageSize, kPageSize, MADV_DONTDUMP), 0);
  for (size_t i = 10; i < kMappings; ++i)
    ASSERT_EQ(::mprotect(start + 2 * i * kPageSize, kPageSize, PROT_READ), 0);
  Copy child;
  auto read = reader->read(child.pid());
  auto printed = read_smaps(child.pid());
  ::munmap(memory, kBytes);
  ASSERT_TRUE(read) << read.error().to_string();
  ASSERT_TRUE(printed);
  ASSERT_EQ(read->size(), printed->size());
  EXPECT_GT(read->size(), kMappings);
  for (size_t i = 0; i < read->size(); ++i) {
    const Vma& vma = (*read)[i];
    EXPECT_EQ(vma.start, (*printed)[i].start);
    EXPECT_EQ(vma.path, (*printed)[i].path);
    if (vma.path == "[vsyscall]") continue;
    EXPECT_EQ(words(vma.flags), words((*printed)[i].flags)) << vma.path;
  }
}

}  // namespace
}  // namespace martlet::sys
