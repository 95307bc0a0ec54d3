// Socket operations with SO_RCVTIMEO and SO_SNDTIMEO: they end by their timeout, not with EINTR.
#include <netinet/in.h>
#include <sys/socket.h>

#include "workload.h"

static int listener;
static int pair[2];

static void* accepts(void* argument) {
  struct timed_wait* wait = argument;
  wait->started = now_ms(CLOCK_MONOTONIC);
  wait->result = accept(listener, NULL, NULL);
  wait->error = errno;
  wait->ended = now_ms(CLOCK_MONOTONIC);
  return NULL;
}

static void* receives(void* argument) {
  struct timed_wait* wait = argument;
  char byte;
  wait->started = now_ms(CLOCK_MONOTONIC);
  wait->result = recv(pair[0], &byte, 1, 0);
  wait->error = errno;
  wait->ended = now_ms(CLOCK_MONOTONIC);
  return NULL;
}

static void set_timeout(int fd) {
  struct timeval timeout = {kWaitMs / 1000, kWaitMs % 1000 * 1000};
  CHECK_SYS(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout));
}

int main(void) {
  CHECK_SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  listener = CHECK_SYS(socket(AF_INET, SOCK_STREAM, 0));
  CHECK_SYS(listen(listener, 5));
  set_timeout(listener);
  set_timeout(pair[0]);
  struct timed_wait waits[2] = {0};
  struct thread threads[2];
  start_thread(&threads[0], accepts, &waits[0]);
  start_thread(&threads[1], receives, &waits[1]);
  await_blocked(threads[0].tid, SYS_accept);
  await_blocked(threads[1].tid, SYS_recvfrom);
  await_age(&waits[1]);

  workload_ready();

  int64_t released = now_ms(CLOCK_MONOTONIC);
  for (int i = 0; i < 2; i++) {
    workload_context(i == 0 ? "accept" : "recv");
    join_thread(&threads[i]);
    waits[i].released = released;
    CHECK_EQ(waits[i].result, -1);
    CHECK_EQ(waits[i].error, EAGAIN);
    CHECK_RANGE(waits[i].ended - waits[i].started, kWaitMs - 1, INT64_MAX);
  }
  return workload_ok();
}
