// A server as servers are: a parent that listens, two workers that wait in epoll on the shared
// listener and on their connections (edge-triggered), clients in another process.
#include <sys/epoll.h>

#include "workload_sockets.h"

static int listener;

static void watch(int poller, int fd, uint32_t events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  CHECK_SYS(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event));
}

static void echo(int fd) {
  char data[256];
  ssize_t count;
  while ((count = recv(fd, data, sizeof data, MSG_DONTWAIT)) > 0) write_all(fd, data, count);
  if (count == 0) close(fd);
}

static void worker(void* argument) {
  (void)argument;
  signal(SIGTERM, SIG_DFL);
  int poller = CHECK_SYS(epoll_create1(EPOLL_CLOEXEC));
  watch(poller, listener, EPOLLIN | EPOLLEXCLUSIVE);
  for (;;) {
    struct epoll_event events[8];
    int count = CHECK_SYS(epoll_wait(poller, events, 8, -1));
    for (int i = 0; i < count; i++) {
      if (events[i].data.fd != listener) {
        echo(events[i].data.fd);
        continue;
      }
      int connection = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
      if (connection >= 0) watch(poller, connection, EPOLLIN | EPOLLET | EPOLLRDHUP);
    }
  }
}

enum { kClients = 20 };

static void ask(int fd, int value) {
  int reply;
  write_all(fd, &value, sizeof value);
  read_all(fd, &reply, sizeof reply);
  CHECK_EQ(reply, value);
}

static void clients(void* argument) {
  struct address* address = argument;
  int fds[kClients];
  for (int i = 0; i < kClients; i++) {
    fds[i] = connect_to(*address, SOCK_STREAM);
    ask(fds[i], i);
  }
  wait_for_go();
  for (int round = 0; round < 50; round++) {
    for (int i = 0; i < kClients; i++) ask(fds[i], 1000 * round + i);
  }
  int fresh = connect_to(*address, SOCK_STREAM);
  ask(fresh, 7);
}

static void end_worker(pid_t process) {
  CHECK_SYS(kill(process, SIGTERM));
  int status;
  CHECK_EQ(CHECK_SYS(waitpid(process, &status, 0)), process);
  CHECK(WIFSIGNALED(status));
}

int main(void) {
  listener = listen_loopback(AF_INET, 64);
  CHECK_SYS(fcntl(listener, F_SETFL, O_NONBLOCK));
  struct address address = local_address(listener);
  pid_t workers[2] = {spawn(worker, NULL), spawn(worker, NULL)};
  for (int i = 0; i < 2; i++) await_blocked(workers[i], SYS_epoll_wait);
  pid_t client = spawn(clients, &address);
  await_waiting_child(client);
  for (int i = 0; i < 2; i++) await_blocked(workers[i], SYS_epoll_wait);

  workload_ready();

  finish_child(client);
  for (int i = 0; i < 2; i++) end_worker(workers[i]);
  return workload_ok();
}
