// A Unix socket pair between a parent and a child, and one between two children; descriptors can be
// passed over it afterwards.
#include "workload_sockets.h"

static struct pair family;
static struct pair siblings;

static void pass(int socket, int fd) {
  char control[CMSG_SPACE(sizeof fd)] = {0};
  struct iovec part = {"fd", 2};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  *header = (struct cmsghdr){CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  CHECK_EQ(CHECK_SYS(sendmsg(socket, &message, 0)), 2);
}

static int receive(int socket) {
  char control[CMSG_SPACE(sizeof(int))];
  char data[2];
  struct iovec part = {data, 2};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  CHECK_EQ(CHECK_SYS(recvmsg(socket, &message, 0)), 2);
  int fd;
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

static void first_body(void* argument) {
  (void)argument;
  close(family.client);
  close(siblings.server);
  write_all(siblings.client, "early", 5);
  wait_for_go();
  int passed = receive(family.server);
  expect_text(passed, "from the parent");
  write_all(siblings.client, "late", 4);
}

static void second_body(void* argument) {
  (void)argument;
  close(family.client);
  close(family.server);
  close(siblings.client);
  wait_for_go();
  char byte;
  expect_text(siblings.server, "earlylate");
  CHECK_EQ(read(siblings.server, &byte, 1), 0);
}

int main(void) {
  family = unix_pair(SOCK_STREAM);
  siblings = unix_pair(SOCK_STREAM);
  pid_t first = spawn(first_body, NULL);
  pid_t second = spawn(second_body, NULL);
  close(family.server);
  close(siblings.client);
  close(siblings.server);
  await_waiting_child(first);
  await_waiting_child(second);

  workload_ready();

  CHECK_SYS(kill(second, SIGUSR1));
  CHECK_SYS(kill(first, SIGUSR1));
  pass(family.client, make_file("data", "from the parent"));
  reap_child(first);
  reap_child(second);
  char byte;
  CHECK_EQ(read(family.client, &byte, 1), 0);
  return workload_ok();
}
