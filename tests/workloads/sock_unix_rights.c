// Descriptors in flight between Unix sockets: of a file that a process also has, of one that is
// nowhere else, several at once, behind and before plain data, in datagrams, a socket in its own
// queue, a socket with a queue of its own, and the credentials of the sender.
#include "workload_sockets.h"

enum { kMost = 4 };

static void send_rights(int to, const char* data, const int* fds, size_t count) {
  char control[CMSG_SPACE(kMost * sizeof(int))] = {0};
  struct iovec part = {(char*)data, strlen(data)};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = CMSG_SPACE(count * sizeof(int))};
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  *header = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
  memcpy(CMSG_DATA(header), fds, count * sizeof(int));
  CHECK_EQ(CHECK_SYS(sendmsg(to, &message, 0)), strlen(data));
}

// Receives `data` with exactly `count` descriptors; the sender's PID if it is told.
static pid_t receive_rights(int from, const char* data, int* fds, size_t count) {
  char control[CMSG_SPACE(kMost * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
  char buffer[64] = {0};
  struct iovec part = {buffer, sizeof buffer - 1};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  CHECK_EQ(CHECK_SYS(recvmsg(from, &message, MSG_DONTWAIT)), strlen(data));
  CHECK_STR(buffer, data);
  size_t got = 0;
  pid_t sender = 0;
  for (struct cmsghdr* header = CMSG_FIRSTHDR(&message); header != NULL;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_type == SCM_RIGHTS) {
      got = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      CHECK_EQ(got, count);
      memcpy(fds, CMSG_DATA(header), got * sizeof(int));
    }
    if (header->cmsg_type == SCM_CREDENTIALS) sender = ((struct ucred*)CMSG_DATA(header))->pid;
  }
  CHECK_EQ(got, count);
  return sender;
}

static void send_by_child(void* to) {
  send_rights(*(int*)to, "child", to, 1);
  wait_for_go();
}

int main(void) {
  struct pair stream = unix_pair(SOCK_STREAM);
  struct pair datagram = unix_pair(SOCK_DGRAM);
  struct pair packet = unix_pair(SOCK_SEQPACKET);
  struct pair credentials = unix_pair(SOCK_DGRAM);

  int kept = make_file("kept", "0123456789");
  int alone = make_file("alone", "nowhere else");
  int ends[2];
  CHECK_SYS(pipe(ends));
  write_all(ends[1], "in the pipe", 11);
  write_all(stream.client, "before", 6);
  send_rights(stream.client, "first", (int[]){kept, alone}, 2);
  send_rights(stream.client, "second", (int[]){alone}, 1);
  write_all(stream.client, "after", 5);
  send_rights(datagram.client, "datagram", (int[]){ends[0], ends[1]}, 2);
  close(alone);
  close(ends[0]);
  close(ends[1]);

  // The other end of this pair travels through itself, with something else behind it.
  struct pair inner = unix_pair(SOCK_STREAM);
  send_rights(inner.client, "self", (int[]){inner.server}, 1);
  write_all(inner.client, "rest", 4);
  send_rights(packet.client, "inner", (int[]){inner.server}, 1);
  close(inner.server);

  set_option(credentials.server, SOL_SOCKET, SO_PASSCRED, 1);
  send_rights(credentials.client, "root", (int[]){kept}, 1);
  pid_t child = spawn(send_by_child, &credentials.client);
  await_waiting_child(child);

  workload_ready();

  int fds[kMost];
  CHECK_EQ(lseek(kept, 4, SEEK_SET), 4);
  receive_rights(stream.server, "beforefirst", fds, 2);
  expect_text(fds[0], "456789");  // it shares its offset with the one that was kept
  expect_text(fds[1], "nowhere");
  receive_rights(stream.server, "second", fds + 2, 1);
  expect_text(fds[2], " else");
  expect_text(stream.server, "after");
  receive_rights(datagram.server, "datagram", fds, 2);
  expect_text(fds[0], "in the pipe");
  write_all(fds[1], "more", 4);
  expect_text(fds[0], "more");

  CHECK_EQ(receive_rights(credentials.server, "root", fds, 1), getpid());
  CHECK_EQ(receive_rights(credentials.server, "child", fds, 1), child);
  finish_child(child);  // it has the other ends, too
  receive_rights(packet.server, "inner", &inner.server, 1);
  receive_rights(inner.server, "self", fds, 1);
  expect_text(fds[0], "rest");
  close(fds[0]);
  check_conversation(inner);

  check_conversation(stream);
  return workload_ok();
}
