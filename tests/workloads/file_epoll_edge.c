// An edge that came before the checkpoint and was not told yet is told after it; one that was told
// may be told again (servers must bear that) but never gets lost.
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "workload.h"

int main(void) {
  int poller = CHECK_SYS(epoll_create1(0));
  int untold = CHECK_SYS(eventfd(0, EFD_NONBLOCK));
  int silent = CHECK_SYS(eventfd(0, EFD_NONBLOCK));
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = 1};
  CHECK_SYS(epoll_ctl(poller, EPOLL_CTL_ADD, untold, &event));
  event.data.u32 = 2;
  CHECK_SYS(epoll_ctl(poller, EPOLL_CTL_ADD, silent, &event));
  CHECK_SYS(eventfd_write(untold, 1));

  workload_ready();

  struct epoll_event events[4];
  CHECK_EQ(CHECK_SYS(epoll_wait(poller, events, 4, 0)), 1);
  CHECK_EQ(events[0].data.u32, 1);
  CHECK_SYS(eventfd_write(silent, 1));
  CHECK_EQ(CHECK_SYS(epoll_wait(poller, events, 4, 0)), 1);
  CHECK_EQ(events[0].data.u32, 2);
  CHECK_EQ(CHECK_SYS(epoll_wait(poller, events, 4, 0)), 0);
  return workload_ok();
}
