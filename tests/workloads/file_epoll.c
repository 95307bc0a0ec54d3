// epoll: level, edge and one-shot entries on pipes, eventfds and sockets, with their data; entries
// can be changed and removed afterwards.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "workload.h"

static int poller;

static void add(int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data.u64 = data};
  CHECK_SYS(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event));
}

// The events that are ready now, as a map from data (below 16) to its events.
static int poll_now(uint32_t ready[16]) {
  struct epoll_event events[16];
  memset(ready, 0, 16 * sizeof *ready);
  int count = CHECK_SYS(epoll_wait(poller, events, 16, 0));
  for (int i = 0; i < count; i++) ready[events[i].data.u64 & 15] = events[i].events;
  return count;
}

static void expect_ready(uint32_t got, uint32_t want) {
  CHECK_EQ(got, want);
}

int main(void) {
  uint32_t ready[16];
  int pipe_ends[2];
  int sockets[2];
  poller = CHECK_SYS(epoll_create1(EPOLL_CLOEXEC));
  CHECK_SYS(pipe(pipe_ends));
  CHECK_SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
  int level = CHECK_SYS(eventfd(1, EFD_NONBLOCK));
  int edge = CHECK_SYS(eventfd(0, EFD_NONBLOCK));
  int once = CHECK_SYS(eventfd(1, EFD_NONBLOCK));
  add(level, EPOLLIN, 0xfedcba9876543211);
  add(edge, EPOLLIN | EPOLLET, 2);
  add(once, EPOLLIN | EPOLLONESHOT, 3);
  add(pipe_ends[0], EPOLLIN, 4);
  add(sockets[0], EPOLLIN | EPOLLOUT | EPOLLRDHUP, 5);
  CHECK_EQ(poll_now(ready), 3);  // which disarms `once`
  expect_ready(ready[3], EPOLLIN);

  workload_ready();

  CHECK_EQ(poll_now(ready), 2);
  expect_ready(ready[1], EPOLLIN);
  expect_ready(ready[5], EPOLLOUT);
  struct epoll_event event;
  CHECK_EQ(CHECK_SYS(epoll_wait(poller, &event, 1, 0)), 1);
  if (event.events == EPOLLIN) CHECK_EQ(event.data.u64, (int64_t)0xfedcba9876543211);
  CHECK_SYS(eventfd_write(edge, 1));
  CHECK_EQ(poll_now(ready), 3);
  expect_ready(ready[2], EPOLLIN);
  CHECK_EQ(poll_now(ready), 2);  // an edge is told once
  event = (struct epoll_event){.events = EPOLLIN | EPOLLONESHOT, .data.u64 = 6};
  CHECK_SYS(epoll_ctl(poller, EPOLL_CTL_MOD, once, &event));
  CHECK_EQ(poll_now(ready), 3);
  expect_ready(ready[6], EPOLLIN);
  CHECK_ERRNO(epoll_ctl(poller, EPOLL_CTL_ADD, level, &event), EEXIST);
  CHECK_SYS(epoll_ctl(poller, EPOLL_CTL_DEL, level, NULL));
  write_all(pipe_ends[1], "x", 1);
  close(sockets[1]);
  CHECK_EQ(poll_now(ready), 2);
  expect_ready(ready[4], EPOLLIN);
  expect_ready(ready[5], EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
  return workload_ok();
}
