// A signalfd in an epoll, in two processes: each epoll is told of the signals of its own process.
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include "workload.h"

static int watch_signal(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int signals = CHECK_SYS(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  int poller = CHECK_SYS(epoll_create1(EPOLL_CLOEXEC));
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = 77};
  CHECK_SYS(epoll_ctl(poller, EPOLL_CTL_ADD, signals, &event));
  return poller;
}

static void expect_signal_told(int poller) {
  struct epoll_event event;
  CHECK_EQ(CHECK_SYS(epoll_wait(poller, &event, 1, 0)), 0);
  CHECK_SYS(kill(getpid(), SIGUSR2));
  CHECK_EQ(CHECK_SYS(epoll_wait(poller, &event, 1, 5000)), 1);
  CHECK_EQ(event.data.u64, 77);
}

int main(void) {
  int go[2], set_up[2];
  char byte = 0;
  CHECK_SYS(pipe(go));
  CHECK_SYS(pipe(set_up));
  pid_t child = CHECK_SYS(fork());
  if (child == 0) {
    int poller = watch_signal();
    write_all(set_up[1], &byte, 1);
    read_all(go[0], &byte, 1);
    expect_signal_told(poller);
    _exit(0);
  }
  int poller = watch_signal();
  read_all(set_up[0], &byte, 1);

  workload_ready();

  expect_signal_told(poller);
  write_all(go[1], &byte, 1);
  int status;
  CHECK_SYS(waitpid(child, &status, 0));
  CHECK_EQ(status, 0);
  return workload_ok();
}
