#include "engine/timers/process_timers.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <sstream>

#include "base/fd.h"

namespace martlet::engine {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int kSetTimerIdsAsWished = 77;  // PR_TIMER_CREATE_RESTORE_IDS, Linux 6.15
constexpr int kMaxTimerProbes = 4096;

int64_t nanoseconds(const timespec& time) {
  return time.tv_sec * kSecond + time.tv_nsec;
}
timespec as_timespec(int64_t ns) {
  return {ns / kSecond, ns % kSecond};
}
int64_t microseconds(const timeval& time) {
  return time.tv_sec * 1'000'000 + time.tv_usec;
}
timeval as_timeval(int64_t us) {
  return {us / 1'000'000, us % 1'000'000};
}

// A timer as a block of /proc/PID/timers describes it:
//   ID: 0
//   signal: 60/00007fff86e452a8
//   notify: signal/pid.2634        (or signal/tid., none/, thread/)
//   ClockID: 0
Result<std::vector<image::PosixTimer>> parse_timers(const FrozenProcess& frozen,
                                                    const std::string& text) {
  std::vector<image::PosixTimer> timers;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    int number = 0;
    unsigned long value = 0;
    char how[16] = {};
    char whom[8] = {};
    if (std::sscanf(line.c_str(), "ID: %d", &number) == 1) {
      timers.emplace_back().set_id(number);
    } else if (timers.empty()) {
      continue;
    } else if (std::sscanf(line.c_str(), "signal: %d/%lx", &number, &value) == 2) {
      timers.back().set_signal(number);
      timers.back().set_value(value);
    } else if (std::sscanf(line.c_str(), "ClockID: %d", &number) == 1) {
      timers.back().set_clock(number);
    } else if (std::sscanf(line.c_str(), "notify: %15[^/]/%7[^.].%d", how, whom, &number) >= 1) {
      bool to_signal = std::strcmp(how, "signal") == 0;
      timers.back().set_notify(to_signal ? SIGEV_SIGNAL : SIGEV_NONE);
      if (!to_signal || std::strcmp(whom, "tid") != 0) continue;
      auto thread = std::ranges::find(frozen.threads, HostPid(number),
                                      [](const FrozenThread& t) { return t.tracee.tid(); });
      if (thread == frozen.threads.end())
        return fail(Code::kUnsupported,
                    fmt::format("timer {} of a thread that is gone", timers.back().id()));
      timers.back().set_notify(SIGEV_THREAD_ID);
      timers.back().set_thread(thread->tid.value);
    }
  }
  return timers;
}

// The number by which the process knows the thread that the timer is of.
Result<int32_t> thread_of(const image::PosixTimer& timer, const image::Process& process) {
  if (timer.thread() == 0) return 0;
  auto thread = std::ranges::find(process.threads(), timer.thread(), &image::Thread::tid);
  if (thread == process.threads().end()) return fail(Code::kBadImage, "a timer of no thread");
  return numbers_of(*thread).own().value;
}

sigevent event_of(const image::PosixTimer& timer, int32_t thread) {
  sigevent event{};
  event.sigev_notify = timer.notify();
  event.sigev_signo = timer.signal();
  event.sigev_value.sival_ptr = reinterpret_cast<void*>(timer.value());
  event._sigev_un._tid = thread;
  return event;
}

// Timer ids count up from zero in a process, so an id comes up sooner or later where the kernel
// cannot be asked for it.
Result<void> create_with_id(Task& leader, const image::PosixTimer& timer, int32_t thread) {
  for (int probe = 0; probe < kMaxTimerProbes; ++probe) {
    Program program(leader.arena());
    TargetAddr id = program.put_value<int64_t>(timer.id());
    program.call("create timer", SYS_timer_create,
                 {timer.clock(), program.put_value(event_of(timer, thread)), id});
    TRY(leader.run(program));
    auto got = program.output_value<int32_t>(id);
    if (got == timer.id()) return {};
    TRY(leader.call("delete timer", SYS_timer_delete, {got}));
    if (got > timer.id()) break;
  }
  return fail(Code::kUnsupported, fmt::format("timer id {} cannot be had", timer.id()));
}

}  // namespace

Answer ask_interval_timers(Program& program, image::Process& out) {
  std::vector<TargetAddr> slots;
  for (int which : {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF}) {
    slots.push_back(program.reserve(sizeof(itimerval)));
    program.call("read interval timer", SYS_getitimer, {which, slots.back()});
  }
  return [slots, &out](const Program& ran) -> Result<void> {
    for (size_t which = 0; which < slots.size(); ++which) {
      auto value = ran.output_value<itimerval>(slots[which]);
      // A periodic timer whose signal is pending stands still until the signal is taken.
      if (microseconds(value.it_value) == 0) value.it_value = value.it_interval;
      if (microseconds(value.it_value) == 0) continue;
      auto* timer = out.add_interval_timers();
      timer->set_which(static_cast<uint32_t>(which));
      timer->set_value_us(microseconds(value.it_value));
      timer->set_interval_us(microseconds(value.it_interval));
    }
    return {};
  };
}

void apply_interval_timers(Program& program, const image::Process& process) {
  for (const image::IntervalTimer& timer : process.interval_timers()) {
    itimerval value{as_timeval(timer.interval_us()), as_timeval(timer.value_us())};
    program.call("set interval timer", SYS_setitimer, {timer.which(), program.put_value(value), 0});
  }
}

Result<Answer> ask_posix_timers(Program& program, const FrozenProcess& frozen,
                                image::Process& out) {
  auto text = read_file(sys::proc_path(frozen.living, "timers"));
  auto timers = TRY(parse_timers(frozen, text.value_or("")));
  struct Slot {
    TargetAddr time;
    Program::Call overrun;
  };
  std::vector<Slot> slots;
  for (const image::PosixTimer& timer : timers) {
    *out.add_posix_timers() = timer;
    if (!program.fits(2, sizeof(itimerspec)))
      return fail(Code::kUnsupported, "more POSIX timers than can be handled");
    Slot slot{program.reserve(sizeof(itimerspec)), {}};
    program.call("read timer", SYS_timer_gettime, {timer.id(), slot.time});
    slot.overrun = program.call("read timer overrun", SYS_timer_getoverrun, {timer.id()});
    slots.push_back(slot);
  }
  return [slots, &out](const Program& ran) -> Result<void> {
    for (size_t i = 0; i < slots.size(); ++i) {
      auto* timer = out.mutable_posix_timers(static_cast<int>(i));
      auto time = ran.output_value<itimerspec>(slots[i].time);
      timer->set_value_ns(nanoseconds(time.it_value));
      timer->set_interval_ns(nanoseconds(time.it_interval));
      timer->set_overrun(static_cast<int32_t>(ran.result(slots[i].overrun)));
    }
    return {};
  };
}

Result<void> apply_posix_timers(Task& leader, const image::Process& process) {
  if (process.posix_timers().empty()) return {};
  auto wish = [&](int on) {
    return leader.call("", SYS_prctl, {kSetTimerIdsAsWished, on, 0, 0, 0});
  };
  bool as_wished = wish(1).has_value();
  for (const image::PosixTimer& timer : process.posix_timers())
    TRY_IN(create_with_id(leader, timer, TRY(thread_of(timer, process))),
           fmt::format("timer {}", timer.id()));
  if (as_wished) TRY(wish(0));
  Program program(leader.arena());
  for (const image::PosixTimer& timer : process.posix_timers()) {
    if (timer.value_ns() == 0) continue;
    itimerspec value{as_timespec(timer.interval_ns()), as_timespec(timer.value_ns())};
    program.call("start timer", SYS_timer_settime, {timer.id(), 0, program.put_value(value), 0});
  }
  return leader.run(program);
}

}  // namespace martlet::engine
