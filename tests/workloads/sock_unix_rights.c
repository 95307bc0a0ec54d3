// Descriptors in flight between Unix sockets: of a file that a process also has, of one that is
// nowhere else, several at once, behind and before plain data, in datagrams, a socket in its own
// queue, a socket with a queue of its own, and the credentials of the sender.
#include "workload_sockets.h"

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

  int fds[kMostRights];
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
