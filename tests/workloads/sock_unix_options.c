// Options of Unix sockets, and the credentials of the peer.
#include "workload_sockets.h"

static struct pair pair;

static struct ucred peer_of(int fd) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  CHECK_SYS(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size));
  return peer;
}

static void child_body(void* argument) {
  (void)argument;
  wait_for_go();
  write_all(pair.client, "mine", 4);
}

static struct ucred receive_credentials(int fd) {
  char data[8];
  char control[CMSG_SPACE(sizeof(struct ucred))];
  struct iovec part = {data, sizeof data};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  CHECK_EQ(CHECK_SYS(recvmsg(fd, &message, 0)), 4);
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  CHECK(header && header->cmsg_type == SCM_CREDENTIALS);
  struct ucred sender;
  memcpy(&sender, CMSG_DATA(header), sizeof sender);
  return sender;
}

int main(void) {
  pair = unix_pair(SOCK_STREAM);
  set_option(pair.server, SOL_SOCKET, SO_PASSCRED, 1);
  set_option(pair.client, SOL_SOCKET, SO_RCVBUF, 40000);
  set_option(pair.client, SOL_SOCKET, SO_SNDBUF, 50000);
  set_option(pair.client, SOL_SOCKET, SO_RCVLOWAT, 1);
  struct timeval timeout = {12, 340000};
  CHECK_SYS(setsockopt(pair.client, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout));
  int receive_buffer = get_option(pair.client, SOL_SOCKET, SO_RCVBUF);
  int send_buffer = get_option(pair.client, SOL_SOCKET, SO_SNDBUF);
  pid_t child = spawn(child_body, NULL);
  await_waiting_child(child);

  workload_ready();

  CHECK_EQ(get_option(pair.server, SOL_SOCKET, SO_PASSCRED), 1);
  CHECK_EQ(get_option(pair.client, SOL_SOCKET, SO_PASSCRED), 0);
  CHECK_EQ(get_option(pair.client, SOL_SOCKET, SO_RCVBUF), receive_buffer);
  CHECK_EQ(get_option(pair.client, SOL_SOCKET, SO_SNDBUF), send_buffer);
  socklen_t size = sizeof timeout;
  timeout = (struct timeval){0};
  CHECK_SYS(getsockopt(pair.client, SOL_SOCKET, SO_RCVTIMEO, &timeout, &size));
  CHECK_EQ(timeout.tv_sec * 1000 + timeout.tv_usec / 1000, 12340);
  CHECK_EQ(peer_of(pair.server).uid, getuid());
  CHECK_EQ(peer_of(pair.server).gid, getgid());
  finish_child(child);
  CHECK_EQ(receive_credentials(pair.server).pid, child);
  check_conversation(pair);
  return workload_ok();
}
