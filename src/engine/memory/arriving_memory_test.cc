#include "engine/memory/arriving_memory.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <random>
#include <thread>

#include "engine/test_util.h"
#include "sys/pidfd.h"

namespace martlet::engine {
namespace {

constexpr uint64_t kPages = 256;
constexpr uint64_t kArea = 0x10'0000'0000;
constexpr NsPid kProcess(7);
constexpr auto kDeadline = std::chrono::seconds(20);

uint64_t page_at(uint64_t number) {
  return kArea + number * kPageSize;
}

// Every word of a page tells the page's origin.
std::vector<std::byte> content(uint64_t origin, uint64_t pages) {
  std::vector<uint64_t> words(pages * kPageSize / 8);
  for (uint64_t i = 0; i < words.size(); ++i) words[i] = origin + i * 8 / kPageSize * kPageSize;
  auto bytes = std::as_bytes(std::span(words));
  return {bytes.begin(), bytes.end()};
}

bool holds(uint64_t address, uint64_t word) {
  const auto* page = reinterpret_cast<volatile uint64_t*>(address);
  return page[0] == word && page[kPageSize / 8 - 1] == word;
}

bool all_hold_their_own(uint64_t first, uint64_t last) {
  for (uint64_t i = first; i < last; ++i)
    if (!holds(page_at(i), page_at(i))) return false;
  return true;
}

bool child_succeeds(const std::function<bool()>& work) {
  pid_t child = ::fork();
  if (child == 0) ::_exit(work() ? 0 : 1);
  int status = -1;
  return child > 0 && ::waitpid(child, &status, 0) == child && status == 0;
}

// A process whose area of kPages is missing, and that then does `work`.
class Waiting {
 public:
  explicit Waiting(const std::function<bool()>& work) {
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair_.data()) != 0) return;
    ours_.reset(pair_[0]);
    Fd theirs(pair_[1]);
    pid_ = ::fork();
    if (pid_ == 0) live(work);
  }
  ~Waiting() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

  // False: this host has no userfaultfd for us.
  bool prepare() {
    int number = -1;
    if (::read(ours_.get(), &number, sizeof number) != sizeof number || number < 0) return false;
    auto pidfd = sys::open_pidfd(HostPid(pid_));
    auto fd = sys::duplicate_descriptor(*pidfd, number);
    auto userfaultfd = sys::Userfaultfd::for_missing_pages(std::move(*fd));
    if (!userfaultfd || !userfaultfd->catch_missing({kArea, page_at(kPages)})) return false;
    memory.add(kProcess, std::move(*userfaultfd), {{kArea, page_at(kPages)}});
    return true;
  }
  void go() { EXPECT_EQ(::write(ours_.get(), "g", 1), 1); }

  // Nothing if it still runs.
  std::optional<int> status() {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
    pid_ = -1;
    return status;
  }

  // Serves until the process ends. `push`: called in between; puts pages nobody asked for.
  int serve(const std::function<void()>& push = {}) {
    auto until = std::chrono::steady_clock::now() + kDeadline;
    while (std::chrono::steady_clock::now() < until) {
      if (auto ended = status()) return *ended;
      wait();
      if (auto handled = memory.handle_events(); !handled) {
        ADD_FAILURE() << handled.error().to_string();
        return -1;
      }
      for (MissingPage page : memory.take_wanted()) put(page.address, 1);
      if (push) push();
    }
    ADD_FAILURE() << "the process is stuck";
    return -1;
  }

  void put(uint64_t address, uint64_t pages) {
    auto done = memory.put(kProcess, address, content(address, pages));
    EXPECT_TRUE(done.has_value()) << done.error().to_string();
  }

  ArrivingMemory memory;

 private:
  void wait() const {
    std::vector<pollfd> ready;
    for (auto each : memory.descriptors()) ready.push_back({each.fd, POLLIN, 0});
    ::poll(ready.data(), ready.size(), 1);
  }

  [[noreturn]] void live(const std::function<bool()>& work) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    void* area = ::mmap(reinterpret_cast<void*>(kArea), kPages * kPageSize, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    int number = static_cast<int>(
        ::syscall(SYS_userfaultfd, sys::userfaultfd_flags(sys::UserfaultScope::kAllFaults)));
    if (area == MAP_FAILED) number = -1;
    char go = 0;
    if (::write(pair_[1], &number, sizeof number) != sizeof number || ::read(pair_[1], &go, 1) != 1)
      ::_exit(2);
    ::close(number);
    ::_exit(work() ? 0 : 1);
  }

  std::array<int, 2> pair_{-1, -1};
  Fd ours_;
  pid_t pid_ = -1;
};

#define PREPARE_OR_SKIP(process) \
  if (!(process).prepare()) GTEST_SKIP() << "no userfaultfd for all faults here"

TEST(ArrivingMemory, AProcessWaitsForEachPage) {
  Waiting process([] { return all_hold_their_own(0, kPages); });
  PREPARE_OR_SKIP(process);
  process.go();
  EXPECT_EQ(process.serve(), 0);
  EXPECT_EQ(process.memory.faults(), kPages);
}

TEST(ArrivingMemory, PagesThatAreThereAreNotWaitedFor) {
  Waiting process([] { return all_hold_their_own(0, kPages); });
  PREPARE_OR_SKIP(process);
  process.put(page_at(0), kPages);
  EXPECT_TRUE(process.memory.complete());
  process.go();
  EXPECT_EQ(process.serve(), 0);
  EXPECT_EQ(process.memory.faults(), 0u);
}

TEST(ArrivingMemory, TheKernelWaitsForTheProcess) {
  Waiting process([] {
    int ends[2];
    if (::pipe(ends) != 0) return false;
    uint64_t word = 0;
    return ::write(ends[1], reinterpret_cast<void*>(page_at(3)), 8) == 8 &&
           ::read(ends[0], &word, 8) == 8 && word == page_at(3);
  });
  PREPARE_OR_SKIP(process);
  process.go();
  EXPECT_EQ(process.serve(), 0);
}

TEST(ArrivingMemory, AForkedChildMissesTheSamePages) {
  Waiting process([] {
    bool child = child_succeeds([] {
      *reinterpret_cast<uint64_t*>(page_at(1)) = 1;  // its own copy
      return all_hold_their_own(2, kPages) &&
             child_succeeds([] { return all_hold_their_own(2, kPages); });
    });
    return child && all_hold_their_own(0, kPages);
  });
  PREPARE_OR_SKIP(process);
  process.go();
  EXPECT_EQ(process.serve(), 0);
}

TEST(ArrivingMemory, MovedPagesArriveWhereTheyAre) {
  constexpr uint64_t kElsewhere = 0x20'0000'0000;
  Waiting process([] {
    void* moved = ::mremap(reinterpret_cast<void*>(page_at(8)), 16 * kPageSize, 16 * kPageSize,
                           MREMAP_MAYMOVE | MREMAP_FIXED, reinterpret_cast<void*>(kElsewhere));
    if (moved == MAP_FAILED) return false;
    for (uint64_t i = 0; i < 16; ++i)
      if (!holds(kElsewhere + i * kPageSize, page_at(8 + i))) return false;
    return all_hold_their_own(0, 8) && all_hold_their_own(24, kPages);
  });
  PREPARE_OR_SKIP(process);
  process.go();
  EXPECT_EQ(process.serve(), 0);
}

TEST(ArrivingMemory, PagesThatWereGivenUpReadAsZeros) {
  Waiting process([] {
    auto* page = reinterpret_cast<void*>(page_at(10));
    if (::madvise(page, 4 * kPageSize, MADV_DONTNEED) != 0) return false;
    for (uint64_t i = 10; i < 14; ++i)
      if (!holds(page_at(i), 0)) return false;
    if (::munmap(reinterpret_cast<void*>(page_at(20)), 4 * kPageSize) != 0) return false;
    void* again = ::mmap(reinterpret_cast<void*>(page_at(20)), 4 * kPageSize,
                         PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (again == MAP_FAILED) return false;
    for (uint64_t i = 20; i < 24; ++i)
      if (!holds(page_at(i), 0)) return false;
    return all_hold_their_own(0, 10) && all_hold_their_own(14, 20) && all_hold_their_own(24, 60);
  });
  PREPARE_OR_SKIP(process);
  process.go();
  EXPECT_EQ(process.serve(), 0);
}

TEST(ArrivingMemory, PagesOfZerosNeedNoPage) {
  Waiting process([] { return holds(page_at(0), 0) && all_hold_their_own(1, kPages); });
  PREPARE_OR_SKIP(process);
  ASSERT_OK(process.memory.put_zeros(kProcess, {page_at(0), page_at(1)}));
  process.go();
  EXPECT_EQ(process.serve(), 0);
}

TEST(ArrivingMemory, AProcessThatEndsMissesNothing) {
  Waiting process([] { return true; });
  PREPARE_OR_SKIP(process);
  process.go();
  EXPECT_EQ(process.serve(), 0);
  EXPECT_FALSE(process.memory.complete());
  ASSERT_OK(process.memory.forget_ended());
  EXPECT_TRUE(process.memory.complete());
}

TEST(ArrivingMemory, WhatIsWaitedForIsAskedForAgain) {
  Waiting process([] { return all_hold_their_own(5, 6); });
  PREPARE_OR_SKIP(process);
  process.go();
  std::vector<MissingPage> wanted;
  auto until = std::chrono::steady_clock::now() + kDeadline;
  while (wanted.empty() && std::chrono::steady_clock::now() < until) {
    ASSERT_OK(process.memory.handle_events());
    wanted = process.memory.take_wanted();
  }
  ASSERT_EQ(wanted.size(), 1u);
  process.memory.want_again();
  EXPECT_EQ(process.memory.take_wanted(), wanted);
  process.put(wanted[0].address, 1);
  process.memory.want_again();
  EXPECT_TRUE(process.memory.take_wanted().empty());
  EXPECT_EQ(process.serve(), 0);
}

// Threads that change the mappings all the time, forks among them, and pages that are pushed
// meanwhile: every page that is still there holds what it should.
bool churn(unsigned seed) {
  std::atomic<bool> failed = false;
  auto work = [&](unsigned part) {
    std::mt19937 random(seed + part);
    const uint64_t first = part * (kPages / 4), last = first + kPages / 4;
    const uint64_t elsewhere = 0x30'0000'0000 + part * 0x1'0000'0000;
    for (uint64_t i = first; i < last && !failed; ++i) {
      auto* page = reinterpret_cast<void*>(page_at(i));
      auto* target = reinterpret_cast<void*>(elsewhere + i * kPageSize);
      switch (random() % 4) {
        case 0:
          if (::madvise(page, kPageSize, MADV_DONTNEED) != 0 || !holds(page_at(i), 0))
            failed = true;
          break;
        case 1:
          if (::mremap(page, kPageSize, kPageSize, MREMAP_MAYMOVE | MREMAP_FIXED, target) ==
                  MAP_FAILED ||
              !holds(elsewhere + i * kPageSize, page_at(i)))
            failed = true;
          break;
        case 2:
          if (!child_succeeds([&] { return holds(page_at(i), page_at(i)); })) failed = true;
          break;
        default:
          if (!holds(page_at(i), page_at(i))) failed = true;
      }
    }
  };
  std::vector<std::thread> threads;
  for (unsigned part = 0; part < 4; ++part) threads.emplace_back(work, part);
  for (std::thread& thread : threads) thread.join();
  return !failed;
}

TEST(ArrivingMemory, HoldsAgainstThreadsThatChangeMappings) {
  auto seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Waiting process([seed] { return churn(seed); });
  PREPARE_OR_SKIP(process);
  process.go();
  uint64_t next = 0;
  EXPECT_EQ(process.serve([&] {
    if (next < kPages) process.put(page_at(next), std::min<uint64_t>(3, kPages - next));
    next += 3;
  }),
            0);
}

}  // namespace
}  // namespace martlet::engine
