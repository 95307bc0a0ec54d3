#include "engine/timers/thread_timers.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "sys/procfs.h"

namespace martlet::engine {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int kAttempts = 5;
constexpr time_t kNeverSeconds = 1'000'000'000;  // no thread uses so much

int64_t nanoseconds(const timespec& time) {
  return time.tv_sec * kSecond + time.tv_nsec;
}

bool counts_some_thread(clockid_t clock) {
  constexpr clockid_t kOwnThread = -2;  // how the kernel notes CLOCK_THREAD_CPUTIME_ID
  return clock == CLOCK_THREAD_CPUTIME_ID || clock == kOwnThread;
}

// As the kernel encodes it: the complement of the id, a bit for a thread, and its running time.
clockid_t clock_of(NsPid thread) {
  constexpr unsigned kOfThread = 4;
  constexpr unsigned kScheduled = 2;
  return static_cast<clockid_t>((~static_cast<unsigned>(thread.value) << 3) | kOfThread |
                                kScheduled);
}

class ThreadTimers {
 public:
  ThreadTimers(Injection& injection, FrozenProcess& frozen, image::Process& out)
      : injection_(injection), frozen_(frozen), out_(out) {}

  Result<void> run() {
    std::vector<image::PosixTimer*> armed;
    for (image::PosixTimer& timer : *out_.mutable_posix_timers()) {
      if (!counts_some_thread(timer.clock())) continue;
      if (timer.value_ns() != 0)
        armed.push_back(&timer);
      else
        TRY_IN(find_by_clock(timer), fmt::format("timer {}", timer.id()));
    }
    return armed.empty() ? Result<void>() : find_by_course(armed);
  }

 private:
  // What a timer shows, twice in a row; the first thread works in between.
  struct Rest {
    int64_t first;
    int64_t second;
  };

  Result<void> settle(image::PosixTimer& timer, const std::vector<size_t>& threads) const {
    if (threads.size() != 1)
      return std::unexpected(Error(Code::kUnsupported,
                                   "is on the CPU time of one of several threads, and it is not "
                                   "certain which")
                                 .with_remedy("try again"));
    timer.set_clock(clock_of(frozen_.threads[threads.front()].tid));
    return {};
  }

  // Those that do not run show what they have used to the nanosecond. One that has just stopped may
  // still be about to leave its processor, which ptrace waits for.
  Result<std::vector<int64_t>> used_times() const {
    std::vector<int64_t> used;
    for (const FrozenThread& thread : frozen_.threads) {
      TRY(thread.tracee.registers());
      std::string text = TRY(read_file(sys::proc_path(thread.tracee.tid(), "schedstat")));
      used.push_back(std::strtoll(text.c_str(), nullptr, 10));
    }
    return used;
  }

  bool is_waited_for(const image::PosixTimer& timer) const {
    auto is_of_timer = [&](const image::PendingSignal& pending) {
      siginfo_t info{};
      std::memcpy(&info, pending.siginfo().data(), std::min(pending.siginfo().size(), sizeof info));
      return info.si_code == SI_TIMER && info.si_timerid == timer.id();
    };
    return std::ranges::any_of(out_.pending(), is_of_timer) ||
           std::ranges::any_of(out_.threads(), [&](const image::Thread& thread) {
             return std::ranges::any_of(thread.pending(), is_of_timer);
           });
  }

  // A timer that stands still is set to a far point of its clock for a moment, and so shows what
  // the clock says. One program does it, which ends although this process dies. Setting a timer
  // takes back its signal and forgets what it has overrun, so there must be neither.
  Result<void> find_by_clock(image::PosixTimer& timer) {
    if (timer.overrun() != 0 || is_waited_for(timer))
      return std::unexpected(Error(Code::kUnsupported,
                                   "is on the CPU time of one of several "
                                   "threads and has expired unseen")
                                 .with_remedy("try again"));
    itimerspec never{};
    never.it_value.tv_sec = kNeverSeconds;
    itimerspec none{};
    none.it_interval = {timer.interval_ns() / kSecond, timer.interval_ns() % kSecond};
    Program program(injection_.arena());
    TargetAddr rest = program.reserve(sizeof(itimerspec));
    program.call("set timer", SYS_timer_settime,
                 {timer.id(), TIMER_ABSTIME, program.put_value(never), 0});
    program.call("read timer", SYS_timer_gettime, {timer.id(), rest});
    program.call("stop timer", SYS_timer_settime, {timer.id(), 0, program.put_value(none), 0});
    const auto before = TRY(used_times());
    auto ran = injection_.run(frozen_.leader(), program);
    if (!ran && ran.error().error_number() == ESRCH)
      return fail(Code::kUnsupported, "is on the CPU time of a thread that has ended");
    TRY(ran);
    const auto after = TRY(used_times());
    const int64_t clock =
        kNeverSeconds * kSecond - nanoseconds(program.output_value<itimerspec>(rest).it_value);
    std::vector<size_t> candidates;
    for (size_t i = 0; i < before.size(); ++i)
      if (before[i] <= clock && clock <= after[i]) candidates.push_back(i);
    return settle(timer, candidates);
  }

  Result<std::vector<Rest>> read_rests(const std::vector<image::PosixTimer*>& timers) {
    std::vector<Rest> rests;
    for (const image::PosixTimer* timer : timers) {
      Program program(injection_.arena());
      TargetAddr first = program.reserve(sizeof(itimerspec));
      TargetAddr second = program.reserve(sizeof(itimerspec));
      program.call("read timer", SYS_timer_gettime, {timer->id(), first});
      program.call("read timer", SYS_timer_gettime, {timer->id(), second});
      TRY(injection_.run(frozen_.leader(), program));
      rests.push_back({nanoseconds(program.output_value<itimerspec>(first).it_value),
                       nanoseconds(program.output_value<itimerspec>(second).it_value)});
    }
    return rests;
  }

  // Every other thread makes a call, each of which takes its own time.
  Result<void> let_all_work() {
    for (size_t i = 1; i < frozen_.threads.size(); ++i) {
      Program program(injection_.arena());
      program.call("read thread id", SYS_gettid, {});
      TRY(injection_.run(frozen_.threads[i], program));
    }
    return {};
  }

  // Threads may happen to use as much as each other, but not again and again.
  Result<void> find_by_course(const std::vector<image::PosixTimer*>& timers) {
    std::vector<std::vector<size_t>> threads;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      threads = TRY(threads_by_course(timers));
      if (std::ranges::all_of(threads, [](const auto& found) { return found.size() == 1; })) break;
    }
    for (size_t t = 0; t < timers.size(); ++t)
      TRY_IN(settle(*timers[t], threads[t]), fmt::format("timer {}", timers[t]->id()));
    return {};
  }

  // A timer that runs is the first thread's if it does so while that reads it, and else of the one
  // that has used as much as the timer has.
  Result<std::vector<std::vector<size_t>>> threads_by_course(
      const std::vector<image::PosixTimer*>& timers) {
    const auto used_before = TRY(used_times());
    const auto before = TRY(read_rests(timers));
    TRY(let_all_work());
    const auto after = TRY(read_rests(timers));
    const auto used_after = TRY(used_times());
    std::vector<std::vector<size_t>> threads(timers.size());
    for (size_t t = 0; t < timers.size(); ++t) {
      std::vector<size_t>& candidates = threads[t];
      if (before[t].first != before[t].second) candidates.push_back(0);
      for (size_t i = 1; i < used_before.size(); ++i)
        if (used_after[i] - used_before[i] == before[t].second - after[t].first)
          candidates.push_back(i);
    }
    return threads;
  }

  Injection& injection_;
  FrozenProcess& frozen_;
  image::Process& out_;
};

}  // namespace

Result<void> find_threads_of_timers(Injection& injection, FrozenProcess& frozen,
                                    image::Process& out) {
  if (frozen.threads.size() == 1) return {};
  return ThreadTimers(injection, frozen, out).run();
}

}  // namespace martlet::engine
