// Threads that wait for descriptors with a timeout: poll, ppoll, select, pselect6, epoll_wait,
// epoll_pwait2. Each ends by its timeout: none reports EINTR, none starts anew.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "workload.h"

static int quiet[2];  // a pipe into which nothing is written
static int poller;

struct waiter {
  const char* name;
  long number;
  long (*wait_for)(void);
  struct timed_wait wait;
  struct thread thread;
};

static long with_poll(void) {
  struct pollfd entry = {quiet[0], POLLIN, 0};
  return syscall(SYS_poll, &entry, 1, kWaitMs);
}

static long with_ppoll(void) {
  struct pollfd entry = {quiet[0], POLLIN, 0};
  struct timespec timeout = timespec_of_ms(kWaitMs);
  return syscall(SYS_ppoll, &entry, 1, &timeout, NULL, 0);
}

static long with_select(void) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(quiet[0], &set);
  struct timeval timeout = {kWaitMs / 1000, kWaitMs % 1000 * 1000};
  return syscall(SYS_select, quiet[0] + 1, &set, NULL, NULL, &timeout);
}

static long with_pselect(void) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(quiet[0], &set);
  struct timespec timeout = timespec_of_ms(kWaitMs);
  return syscall(SYS_pselect6, quiet[0] + 1, &set, NULL, NULL, &timeout, NULL);
}

static long with_epoll(void) {
  struct epoll_event event;
  return syscall(SYS_epoll_wait, poller, &event, 1, kWaitMs);
}

static long with_epoll_pwait(void) {
  struct epoll_event event;
  return syscall(SYS_epoll_pwait, poller, &event, 1, kWaitMs, NULL, 8);
}

static long with_epoll_pwait2(void) {
  struct epoll_event event;
  struct timespec timeout = timespec_of_ms(kWaitMs);
  return syscall(SYS_epoll_pwait2, poller, &event, 1, &timeout, NULL, 8);
}

static void* run(void* argument) {
  struct waiter* waiter = argument;
  waiter->wait.started = now_ms(CLOCK_MONOTONIC);
  errno = 0;
  waiter->wait.result = waiter->wait_for();
  waiter->wait.error = errno;
  waiter->wait.ended = now_ms(CLOCK_MONOTONIC);
  return NULL;
}

int main(void) {
  static struct waiter waiters[] = {
      {.name = "poll", .number = SYS_poll, .wait_for = with_poll},
      {.name = "ppoll", .number = SYS_ppoll, .wait_for = with_ppoll},
      {.name = "select", .number = SYS_select, .wait_for = with_select},
      {.name = "pselect6", .number = SYS_pselect6, .wait_for = with_pselect},
      {.name = "epoll_wait", .number = SYS_epoll_wait, .wait_for = with_epoll},
      {.name = "epoll_pwait", .number = SYS_epoll_pwait, .wait_for = with_epoll_pwait},
      {.name = "epoll_pwait2", .number = SYS_epoll_pwait2, .wait_for = with_epoll_pwait2},
  };
  enum { kCount = sizeof waiters / sizeof *waiters };
  CHECK_SYS(pipe(quiet));
  poller = CHECK_SYS(epoll_create1(0));
  struct epoll_event event = {.events = EPOLLIN};
  CHECK_SYS(epoll_ctl(poller, EPOLL_CTL_ADD, quiet[0], &event));
  for (int i = 0; i < kCount; i++) {
    start_thread(&waiters[i].thread, run, &waiters[i]);
    await_blocked(waiters[i].thread.tid, waiters[i].number);
  }
  await_age(&waiters[kCount - 1].wait);

  workload_ready();

  int64_t released = now_ms(CLOCK_MONOTONIC);
  for (int i = 0; i < kCount; i++) {
    workload_context(waiters[i].name);
    join_thread(&waiters[i].thread);
    waiters[i].wait.released = released;
    CHECK_EQ(waiters[i].wait.error, 0);
    CHECK_EQ(waiters[i].wait.result, 0);
    check_timed_wait(&waiters[i].wait);
  }
  return workload_ok();
}
