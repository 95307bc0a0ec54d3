// Threads that wait for descriptors without a timeout: poll, select, epoll_wait, and with a signal
// mask for the time of the wait: ppoll, pselect6, epoll_pwait. Data wakes the first; a signal that
// only the temporary mask lets through wakes the others, and their own mask is back after it.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "workload.h"

static int source[2];
static int quiet[2];
static int poller;
static int quiet_poller;

struct waiter {
  const char* name;
  long number;
  long (*wait_for)(void);
  bool masked;
  long result;
  int error;
  struct thread thread;
};

static _Thread_local volatile sig_atomic_t handled;

static void on_signal(int number) {
  (void)number;
  handled++;
}

static long with_poll(void) {
  struct pollfd entry = {source[0], POLLIN, 0};
  return syscall(SYS_poll, &entry, 1, -1);
}

static long with_select(void) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(source[0], &set);
  return syscall(SYS_select, source[0] + 1, &set, NULL, NULL, NULL);
}

static long with_epoll(void) {
  struct epoll_event event;
  return syscall(SYS_epoll_wait, poller, &event, 1, -1);
}

// All signals but SIGUSR2 stay blocked in the waits below.
static const uint64_t kAllButOne = ~(1ULL << (SIGUSR2 - 1));

static long with_ppoll(void) {
  struct pollfd entry = {quiet[0], POLLIN, 0};
  return syscall(SYS_ppoll, &entry, 1, NULL, &kAllButOne, 8);
}

static long with_pselect(void) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(quiet[0], &set);
  struct {
    const uint64_t* mask;
    size_t size;
  } mask = {&kAllButOne, 8};
  return syscall(SYS_pselect6, quiet[0] + 1, &set, NULL, NULL, NULL, &mask);
}

static long with_epoll_pwait(void) {
  struct epoll_event event;
  return syscall(SYS_epoll_pwait, quiet_poller, &event, 1, -1, &kAllButOne, 8);
}

static uint64_t mask_of_thread(void) {
  uint64_t mask;
  CHECK_SYS(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8));
  return mask;
}

static void* run(void* argument) {
  struct waiter* waiter = argument;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  sigaddset(&set, SIGWINCH);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  uint64_t mask = mask_of_thread();
  waiter->result = waiter->wait_for();
  waiter->error = errno;
  workload_context(waiter->name);
  CHECK_EQ(mask_of_thread(), mask);
  CHECK_EQ(handled, waiter->masked);
  return NULL;
}

static int make_poller(int fd) {
  int created = CHECK_SYS(epoll_create1(0));
  struct epoll_event event = {.events = EPOLLIN};
  CHECK_SYS(epoll_ctl(created, EPOLL_CTL_ADD, fd, &event));
  return created;
}

int main(void) {
  static struct waiter waiters[] = {
      {.name = "poll", .number = SYS_poll, .wait_for = with_poll},
      {.name = "select", .number = SYS_select, .wait_for = with_select},
      {.name = "epoll_wait", .number = SYS_epoll_wait, .wait_for = with_epoll},
      {.name = "ppoll", .number = SYS_ppoll, .wait_for = with_ppoll, .masked = true},
      {.name = "pselect6", .number = SYS_pselect6, .wait_for = with_pselect, .masked = true},
      {.name = "epoll_pwait",
       .number = SYS_epoll_pwait,
       .wait_for = with_epoll_pwait,
       .masked = true},
  };
  enum { kCount = sizeof waiters / sizeof *waiters };
  signal(SIGUSR2, on_signal);
  CHECK_SYS(pipe(source));
  CHECK_SYS(pipe(quiet));
  poller = make_poller(source[0]);
  quiet_poller = make_poller(quiet[0]);
  for (int i = 0; i < kCount; i++) {
    start_thread(&waiters[i].thread, run, &waiters[i]);
    await_blocked(waiters[i].thread.tid, waiters[i].number);
  }

  workload_ready();

  write_all(source[1], "x", 1);
  for (int i = 0; i < kCount; i++) {
    if (waiters[i].masked) CHECK_EQ(pthread_kill(waiters[i].thread.handle, SIGUSR2), 0);
    join_thread(&waiters[i].thread);
    workload_context(waiters[i].name);
    if (waiters[i].result == -1) CHECK_EQ(waiters[i].error, waiters[i].masked ? EINTR : 0);
    CHECK_EQ(waiters[i].result, waiters[i].masked ? -1 : 1);
  }
  return workload_ok();
}
