#include "engine/tasks/waits.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>

#include "base/fd.h"
#include "sys/procfs.h"
#include "sys/target_memory.h"

namespace martlet::engine {
namespace {

using namespace std::chrono_literals;

constexpr long kEpollPwait2 = 441;
constexpr long kIoPgetevents = 333;
constexpr uint64_t kBelowRedZone = 512;

struct CallState {
  long number = -1;
  std::array<uint64_t, 6> arguments{};
  uint64_t stack_pointer = 0;
  uint64_t instruction_pointer = 0;
};

// "7 0x7ffd... 0x1 0x1388 ... 0x7ffd... 0x7f3c..." of /proc/TID/syscall; "running" if it is not in
// a call.
std::optional<CallState> read_call(HostPid tid) {
  auto text = read_file(sys::proc_path(tid, "syscall"));
  CallState call;
  auto& a = call.arguments;
  if (!text ||
      std::sscanf(text->c_str(), "%ld %lx %lx %lx %lx %lx %lx %lx %lx", &call.number, &a[0], &a[1],
                  &a[2], &a[3], &a[4], &a[5], &call.stack_pointer, &call.instruction_pointer) != 9)
    return std::nullopt;
  return call;
}

bool has_relative_timeout(const CallState& call) {
  auto milliseconds = [](uint64_t value) { return static_cast<int32_t>(value) > 0; };
  switch (call.number) {
    case SYS_poll: return milliseconds(call.arguments[2]);
    case SYS_epoll_wait:
    case SYS_epoll_pwait: return milliseconds(call.arguments[3]);
    case kEpollPwait2: return call.arguments[3] != 0;
    case SYS_io_getevents:
    case kIoPgetevents: return call.arguments[4] != 0;
    case SYS_futex:
      return (call.arguments[1] & FUTEX_CMD_MASK) == FUTEX_WAIT && call.arguments[3] != 0;
    // These report the remaining time themselves if they were given a place for it.
    case SYS_nanosleep: return call.arguments[1] == 0;
    case SYS_clock_nanosleep:
      return call.arguments[3] == 0 && (call.arguments[1] & TIMER_ABSTIME) == 0;
    default: return false;
  }
}

Nanoseconds monotonic_now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::chrono::seconds(now.tv_sec) + Nanoseconds(now.tv_nsec);
}

// When a thread last began to run or stopped running, on its processor's scheduler clock.
std::optional<Nanoseconds> last_ran(const std::string& directory) {
  auto text = read_file(directory + "sched");
  if (!text) return std::nullopt;
  constexpr std::string_view kField = "se.exec_start";
  size_t at = text->find(kField);
  if (at == std::string::npos) return std::nullopt;
  at = text->find(':', at);
  if (at == std::string::npos) return std::nullopt;
  double milliseconds = std::strtod(text->c_str() + at + 1, nullptr);
  return Nanoseconds(static_cast<int64_t>(milliseconds * 1e6));
}

std::optional<int> last_processor(HostPid tid) {
  auto text = read_file(sys::proc_path(tid, "stat"));
  if (!text) return std::nullopt;
  size_t at = text->rfind(')');
  constexpr int kFieldsBetween = 37;  // the name is field 2, the processor field 39
  for (int field = 0; field < kFieldsBetween && at != std::string::npos; ++field)
    at = text->find(' ', at + 1);
  if (at == std::string::npos) return std::nullopt;
  return std::atoi(text->c_str() + at + 1);
}

// What to add to the processor's scheduler clock to get CLOCK_MONOTONIC: this thread wakes up there
// and sees both clocks at once.
std::optional<Nanoseconds> clock_offset(int processor) {
  cpu_set_t before;
  if (::sched_getaffinity(0, sizeof before, &before) != 0) return std::nullopt;
  cpu_set_t there;
  CPU_ZERO(&there);
  CPU_SET(static_cast<size_t>(processor), &there);
  if (::sched_setaffinity(0, sizeof there, &there) != 0) return std::nullopt;
  timespec moment{0, 1};
  ::clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, nullptr);
  Nanoseconds now = monotonic_now();
  auto ran = last_ran("/proc/thread-self/");
  ::sched_setaffinity(0, sizeof before, &before);
  if (!ran) return std::nullopt;
  return now - *ran;
}

Nanoseconds read_duration(const timespec& time) {
  return std::chrono::seconds(time.tv_sec) + Nanoseconds(time.tv_nsec);
}

Result<void> shorten_in_memory(HostPid pid, Nanoseconds passed, uint64_t stack_pointer,
                               unsigned long long& argument) {
  auto time = TRY(sys::read_value<timespec>(pid, TargetAddr(argument)));
  Nanoseconds left = std::max(0ns, read_duration(time) - passed);
  time.tv_sec = left / 1s;
  time.tv_nsec = (left % 1s).count();
  uint64_t place = (stack_pointer - kBelowRedZone) & ~15ull;
  TRY(sys::write_memory(pid, TargetAddr(place), std::as_bytes(std::span(&time, 1))));
  argument = place;
  return {};
}

void shorten_milliseconds(Nanoseconds passed, unsigned long long& argument) {
  int64_t left = static_cast<int32_t>(argument) - passed / 1ms;
  argument = static_cast<unsigned long long>(std::max<int64_t>(0, left));
}

}  // namespace

std::optional<TimedWait> find_timed_wait(HostPid tid) {
  auto call = read_call(tid);
  if (!call || !has_relative_timeout(*call)) return std::nullopt;
  auto ran = last_ran(sys::proc_path(tid, ""));
  auto processor = last_processor(tid);
  if (!ran || !processor) return std::nullopt;
  auto offset = clock_offset(*processor);
  if (!offset) return std::nullopt;
  return TimedWait{static_cast<uint64_t>(call->number), call->stack_pointer,
                   call->instruction_pointer, *ran + *offset};
}

Result<void> shorten_wait(const TimedWait& wait, HostPid pid, user_regs_struct& registers) {
  if (registers.orig_rax != wait.call || registers.rsp != wait.stack_pointer ||
      registers.rip != wait.instruction_pointer)
    return {};
  Nanoseconds passed = std::max(0ns, monotonic_now() - wait.since);
  switch (wait.call) {
    case SYS_poll: shorten_milliseconds(passed, registers.rdx); return {};
    case SYS_epoll_wait:
    case SYS_epoll_pwait: shorten_milliseconds(passed, registers.r10); return {};
    case kEpollPwait2:
    case SYS_futex: return shorten_in_memory(pid, passed, registers.rsp, registers.r10);
    case SYS_io_getevents:
    case kIoPgetevents: return shorten_in_memory(pid, passed, registers.rsp, registers.r8);
    case SYS_nanosleep: return shorten_in_memory(pid, passed, registers.rsp, registers.rdi);
    case SYS_clock_nanosleep: return shorten_in_memory(pid, passed, registers.rsp, registers.rdx);
    default: return {};
  }
}

}  // namespace martlet::engine
