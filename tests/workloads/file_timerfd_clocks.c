// Timer descriptors on the clocks of real time and of suspended time, one that is told of changes
// of the clock, an interval with expirations not read, and an alarm clock.
#include <poll.h>
#include <sys/timerfd.h>

#include "workload.h"

enum { kCancelOnSet = 2 };  // TFD_TIMER_CANCEL_ON_SET

static int armed(int clock, int flags, int64_t value_ms, int64_t interval_ms) {
  int fd = timerfd_create(clock, TFD_NONBLOCK);
  if (fd < 0) return -1;
  struct itimerspec when = {timespec_of_ms(interval_ms), timespec_of_ms(value_ms)};
  CHECK_SYS(timerfd_settime(fd, flags, &when, NULL));
  return fd;
}

static uint64_t await_ticks(int fd) {
  struct pollfd wait = {fd, POLLIN, 0};
  CHECK_EQ(CHECK_SYS(poll(&wait, 1, 2 * kWaitMs)), 1);
  uint64_t ticks = 0;
  CHECK_EQ(read(fd, &ticks, sizeof ticks), (ssize_t)sizeof ticks);
  return ticks;
}

static int64_t left_ms(int fd) {
  struct itimerspec now;
  CHECK_SYS(timerfd_gettime(fd, &now));
  return now.it_value.tv_sec * 1000 + now.it_value.tv_nsec / 1000000;
}

int main(void) {
  int64_t hour = 3600 * 1000;
  int64_t real = now_ms(CLOCK_REALTIME);
  int boot = armed(CLOCK_BOOTTIME, 0, hour, 0);
  int watching = armed(CLOCK_REALTIME, TFD_TIMER_ABSTIME | kCancelOnSet, real + hour, 0);
  int due = armed(CLOCK_REALTIME, TFD_TIMER_ABSTIME, real + 300, 0);
  int periodic = armed(CLOCK_MONOTONIC, 0, 20, 20);
  int alarm_clock = armed(CLOCK_BOOTTIME_ALARM, 0, hour, 0);
  int idle = armed(CLOCK_REALTIME, 0, 0, 0);
  struct pollfd wait = {periodic, POLLIN, 0};
  CHECK_EQ(poll(&wait, 1, kWaitMs), 1);

  workload_ready();

  CHECK_RANGE(left_ms(boot), hour - 60000, hour);
  CHECK_RANGE(left_ms(watching), hour - 60000, hour);
  CHECK_EQ(await_ticks(due), 1);
  CHECK(await_ticks(periodic) >= 1);
  CHECK_EQ(left_ms(periodic) <= 20, 1);
  await_ticks(periodic);
  if (alarm_clock >= 0) CHECK_RANGE(left_ms(alarm_clock), hour - 60000, hour);
  CHECK_EQ(left_ms(idle), 0);
  uint64_t ticks;
  CHECK_ERRNO(read(idle, &ticks, sizeof ticks), EAGAIN);
  CHECK_ERRNO(read(watching, &ticks, sizeof ticks), EAGAIN);
  char info[64];
  snprintf(info, sizeof info, "/proc/self/fdinfo/%d", watching);
  CHECK(strstr(read_small_file(info), "settime flags: 03") != NULL);
  return workload_ok();
}
