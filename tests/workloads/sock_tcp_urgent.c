// TCP connections on which an urgent byte came and was read, with nothing behind it: what was not
// read before it, and the next urgent byte.
#include "workload_sockets.h"

static void read_urgent(int fd, char want) {
  char byte = 0;
  while (recv(fd, &byte, 1, MSG_OOB) != 1) sched_yield();
  CHECK_EQ(byte, want);
}

static struct pair connection(const char* unread) {
  struct pair pair = connect_tcp(AF_INET);
  write_all(pair.client, unread, strlen(unread));
  CHECK_EQ(send(pair.client, "1", 1, MSG_OOB), 1);
  read_urgent(pair.server, '1');
  return pair;
}

static void check(struct pair pair, const char* unread) {
  expect_text(pair.server, unread);
  write_all(pair.client, "more", 4);
  CHECK_EQ(send(pair.client, "2", 1, MSG_OOB), 1);
  read_urgent(pair.server, '2');
  expect_text(pair.server, "more");
  check_conversation(pair);
}

int main(void) {
  struct pair empty = connection("");
  struct pair unread = connection("unread");

  workload_ready();

  check(empty, "");
  check(unread, "unread");
  return workload_ok();
}
