// A descriptor that was sent over a Unix socket and not received yet.
// refused: SCM_RIGHTS
#include "workload_sockets.h"

int main(void) {
  struct pair pair = unix_pair(SOCK_STREAM);
  int fd = make_file("data", "in flight");
  char control[CMSG_SPACE(sizeof fd)] = {0};
  char data[2] = "fd";
  struct iovec part = {data, 2};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  *header = (struct cmsghdr){CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  CHECK_EQ(CHECK_SYS(sendmsg(pair.client, &message, 0)), 2);
  close(fd);

  workload_ready();

  message.msg_controllen = sizeof control;
  CHECK_EQ(CHECK_SYS(recvmsg(pair.server, &message, 0)), 2);
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  expect_text(fd, "in flight");
  return workload_ok();
}
