// epoll inside epoll, one epoll used by two processes, an entry whose number now names another
// file, and an entry whose descriptor is closed while a copy of it is open.
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "workload.h"

static int inner;

static void add(int poller, int fd, uint32_t data) {
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = data};
  CHECK_SYS(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event));
}

static uint32_t wait_for_one(int poller) {
  struct epoll_event event;
  CHECK_EQ(CHECK_SYS(epoll_wait(poller, &event, 1, -1)), 1);
  return event.data.u32;
}

static void child_body(void* argument) {
  (void)argument;
  wait_for_go();
  CHECK_EQ(wait_for_one(inner), 1);
}

int main(void) {
  inner = CHECK_SYS(epoll_create1(0));
  int outer = CHECK_SYS(epoll_create1(0));
  int source = CHECK_SYS(eventfd(0, 0));
  int moved = CHECK_SYS(eventfd(0, 0));
  add(inner, source, 1);
  add(outer, inner, 2);
  add(outer, moved, 3);
  int copy = CHECK_SYS(dup(moved));
  CHECK_SYS(dup2(source, moved));  // the entry still watches what `copy` names
  pid_t child = spawn(child_body, NULL);
  await_waiting_child(child);

  workload_ready();

  struct epoll_event event;
  CHECK_EQ(CHECK_SYS(epoll_wait(outer, &event, 1, 0)), 0);
  CHECK_SYS(eventfd_write(copy, 1));
  CHECK_EQ(wait_for_one(outer), 3);
  eventfd_t value;
  CHECK_SYS(eventfd_read(copy, &value));
  CHECK_EQ(CHECK_SYS(epoll_wait(outer, &event, 1, 0)), 0);
  CHECK_SYS(eventfd_write(moved, 1));  // which is `source`
  CHECK_EQ(wait_for_one(outer), 2);
  CHECK_EQ(wait_for_one(inner), 1);
  finish_child(child);
  return workload_ok();
}
