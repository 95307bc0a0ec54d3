#include "engine/tasks/injection.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/fd.h"

namespace martlet::engine {
namespace {

// A process that counts in memory shared with the test and checks that its vector registers and its
// stack stay what they are.
class Counter {
 public:
  Counter() {
    count_ = static_cast<std::atomic<long>*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pid_ = fork();
    if (pid_ == 0) count_for_ever();
  }
  ~Counter() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    munmap(count_, 4096);
  }
  HostPid pid() const { return HostPid(pid_); }

  // Whether it goes on counting within the deadline.
  bool counts() const {
    long before = count_->load();
    SystemClock clock;
    Nanoseconds end = clock.now() + std::chrono::seconds(10);
    while (count_->load() < before + 1000)
      if (clock.now() > end) return false;
    return true;
  }

 private:
  [[noreturn]] void count_for_ever() {
    double kept = 0.5;
    for (;;) {
      count_->fetch_add(1);
      asm volatile("" : "+x"(kept));
      if (kept != 0.5) _exit(1);
    }
  }
  std::atomic<long>* count_;
  pid_t pid_;
};

FrozenProcess freeze_one(HostPid pid) {
  auto frozen = freeze_processes(pid, false, "");
  EXPECT_TRUE(frozen) << frozen.error().to_string();
  FrozenProcess process = std::move(frozen->front());
  process.vmas = *sys::read_smaps(pid);
  return process;
}

TEST(Injection, AsksAndLeavesNoTrace) {
  Counter counter;
  ASSERT_TRUE(counter.counts());
  std::string before = *read_file(sys::proc_path(counter.pid(), "maps"));
  FrozenProcess process = freeze_one(counter.pid());
  {
    auto injection = Injection::begin(process);
    ASSERT_TRUE(injection) << injection.error().to_string();
    Program program(injection->arena());
    auto pid = program.call("getpid", SYS_getpid, {});
    auto fails = program.call("close", SYS_close, {-1}, Program::OnError::kGoOn);
    auto again = program.call("getppid", SYS_getppid, {});
    auto ran = injection->run(process.leader(), program);
    ASSERT_TRUE(ran) << ran.error().to_string();
    EXPECT_EQ(program.result(pid), counter.pid().value);
    EXPECT_EQ(program.result(fails), -EBADF);
    EXPECT_EQ(program.result(again), getpid());
    ASSERT_TRUE(injection->end());
  }
  ASSERT_TRUE(thaw_process(process));
  EXPECT_TRUE(counter.counts());
  EXPECT_EQ(*read_file(sys::proc_path(counter.pid(), "maps")), before);
  EXPECT_EQ(sys::read_status(counter.pid())->tracer.value, 0);
}

TEST(Injection, AFailedCallStopsTheProgram) {
  Counter counter;
  FrozenProcess process = freeze_one(counter.pid());
  auto injection = Injection::begin(process);
  ASSERT_TRUE(injection);
  Program program(injection->arena());
  program.call("close nothing", SYS_close, {-1});
  auto after = program.call("getpid", SYS_getpid, {});
  auto ran = injection->run(process.leader(), program);
  ASSERT_FALSE(ran);
  EXPECT_EQ(ran.error().error_number(), EBADF);
  EXPECT_EQ(program.result(after), -ECANCELED);
  ASSERT_TRUE(injection->end());
  ASSERT_TRUE(thaw_process(process));
  EXPECT_TRUE(counter.counts());
}

void kill_tracer_in_sleep(pid_t tracer, HostPid target) {
  SystemClock clock;
  Nanoseconds end = clock.now() + std::chrono::seconds(10);
  std::string in_sleep = std::to_string(SYS_nanosleep) + " ";
  while (!read_file(sys::proc_path(target, "syscall"))->starts_with(in_sleep))
    ASSERT_LT(clock.now(), end);
  kill(tracer, SIGKILL);
  ASSERT_EQ(waitpid(tracer, nullptr, 0), tracer);
}

// The tracer is killed while the target sleeps inside a program. The target must go on as if
// nothing had happened.
TEST(Injection, ATaskSurvivesTheDeathOfItsTracer) {
  Counter counter;
  ASSERT_TRUE(counter.counts());
  pid_t tracer = fork();
  if (tracer == 0) {
    FrozenProcess process = freeze_one(counter.pid());
    auto injection = Injection::begin(process);
    if (!injection) _exit(1);
    Program program(injection->arena());
    timespec half_a_second{0, 500'000'000};
    program.call("sleep", SYS_nanosleep, {program.put_value(half_a_second), 0});
    std::ignore = injection->run(process.leader(), program);
    _exit(2);
  }
  ASSERT_NO_FATAL_FAILURE(kill_tracer_in_sleep(tracer, counter.pid()));
  EXPECT_TRUE(counter.counts());
  EXPECT_EQ(sys::read_status(counter.pid())->tracer.value, 0);
}

// The tracer is killed while the target is inside a call for which there is no arena.
TEST(Injection, ATaskSurvivesTheDeathOfItsTracerInAPlainCall) {
  static const timespec half_a_second{0, 500'000'000};  // the target has it at the same address
  Counter counter;
  ASSERT_TRUE(counter.counts());
  pid_t tracer = fork();
  if (tracer == 0) {
    FrozenProcess process = freeze_one(counter.pid());
    auto way_back = prepare_way_back(process, process.leader());
    if (!way_back) _exit(1);
    const Arena no_arena = Arena::remote({}, {}, 0);
    Task task(std::move(process.leader().tracee), process.numbers(), process.leader().numbers(),
              no_arena);
    std::ignore = task.call_at(way_back->syscall_instruction, way_back->stack, SYS_nanosleep,
                               {reinterpret_cast<uint64_t>(&half_a_second), 0});
    _exit(2);
  }
  ASSERT_NO_FATAL_FAILURE(kill_tracer_in_sleep(tracer, counter.pid()));
  EXPECT_TRUE(counter.counts());
}

// Two threads that count. Each keeps a number of its own in a register, which it loses if it ever
// continues with the state of the other.
class TwoCounters {
 public:
  TwoCounters() {
    counts_ = static_cast<std::atomic<long>*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pid_ = fork();
    if (pid_ == 0) {
      std::thread other([this] { count(1); });
      count(0);
    }
  }
  ~TwoCounters() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    munmap(counts_, 4096);
  }
  HostPid pid() const { return HostPid(pid_); }
  bool count() const { return counts(0) && counts(1); }

 private:
  bool counts(int index) const {
    long before = counts_[index].load();
    SystemClock clock;
    Nanoseconds end = clock.now() + std::chrono::seconds(10);
    while (counts_[index].load() < before + 1000)
      if (clock.now() > end) return false;
    return true;
  }
  [[noreturn]] void count(long index) {
    register long own asm("r12") = index;
    for (;;) {
      asm volatile("" : "+r"(own));
      counts_[own].fetch_add(1);
    }
  }
  std::atomic<long>* counts_;
  pid_t pid_;
};

enum class DiesAfter { kBegin, kFirstThread, kSecondThread, kEnd };
class TracerDies : public ::testing::TestWithParam<DiesAfter> {
 protected:
  // Performs a call in each thread up to the point, and says how that went.
  static bool work(HostPid target) {
    FrozenProcess process = freeze_one(target);
    auto injection = Injection::begin(process);
    if (!injection || process.threads.size() != 2) return false;
    if (GetParam() == DiesAfter::kBegin) return die();
    for (FrozenThread& thread : process.threads) {
      Program program(injection->arena());
      auto tid = program.call("gettid", SYS_gettid, {});
      if (!injection->run(thread, program) || program.result(tid) != thread.tid.value) return false;
      if (GetParam() == DiesAfter::kFirstThread) return die();
    }
    if (GetParam() == DiesAfter::kSecondThread) return die();
    return injection->end() && die();
  }
  static bool die() {
    kill(getpid(), SIGKILL);
    return true;
  }
};

TEST_P(TracerDies, BetweenCallsAndEveryThreadGoesOn) {
  TwoCounters counters;
  ASSERT_TRUE(counters.count());
  pid_t tracer = fork();
  if (tracer == 0) _exit(work(counters.pid()) ? 1 : 2);
  int status = 0;
  ASSERT_EQ(waitpid(tracer, &status, 0), tracer);
  ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
  EXPECT_TRUE(counters.count());
}

INSTANTIATE_TEST_SUITE_P(Points, TracerDies,
                         ::testing::Values(DiesAfter::kBegin, DiesAfter::kFirstThread,
                                           DiesAfter::kSecondThread, DiesAfter::kEnd));

}  // namespace
}  // namespace martlet::engine
