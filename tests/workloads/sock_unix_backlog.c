// Unix connections that wait to be accepted, of clients that have sent, passed a file, closed, shut
// down or ended, and one that still waits for room: they are accepted in their order, with what was
// sent and who has connected.
#include <sys/syscall.h>

#include "workload_sockets.h"

enum { kLong = 40000, kClients = 6 };

struct backlog {
  int type;
  struct address address;
  int listener;
  int clients[kClients];
  pid_t child;  // made the last connection and has ended
  int passed;
  struct thread late;
  int late_client;
  char sent[kLong];
};

static void connect_and_end(void* backlog_of_parent) {
  struct backlog* backlog = backlog_of_parent;
  CHECK_SYS(setegid(1234));
  CHECK_SYS(seteuid(5678));
  write_all(connect_to(backlog->address, backlog->type), "ended", 5);
}

static void* connect_late(void* late) {
  struct backlog* backlog = late;
  backlog->late_client = connect_to(backlog->address, backlog->type);
  return NULL;
}

static void set_up(struct backlog* backlog) {
  backlog->listener = open_socket(AF_UNIX, backlog->type);
  CHECK_SYS(bind(backlog->listener, &backlog->address.any, backlog->address.size));
  if (backlog->address.un.sun_path[0] != '\0') {
    CHECK_SYS(chmod(".", 0755));
    CHECK_SYS(chmod(backlog->address.un.sun_path, 0777));
  }
  CHECK_SYS(listen(backlog->listener, kClients - 1));
  set_option(backlog->listener, SOL_SOCKET, SO_PASSCRED, 1);
  for (int i = 0; i < kClients - 1; i++)
    backlog->clients[i] = connect_to(backlog->address, backlog->type);
  for (int i = 0; i < kLong; i++) backlog->sent[i] = (char)(i * 7 + i / 256);
  write_all(backlog->clients[0], "first", 5);
  write_all(backlog->clients[1], backlog->sent, kLong);
  write_all(backlog->clients[2], "closed", 6);
  close(backlog->clients[2]);
  write_all(backlog->clients[3], "shut", 4);
  CHECK_SYS(shutdown(backlog->clients[3], SHUT_WR));
  backlog->passed = CHECK_SYS(memfd_create("passed", 0));
  send_rights(backlog->clients[4], "file", &backlog->passed, 1);
  backlog->child = spawn(connect_and_end, backlog);
  reap_child(backlog->child);
  start_thread(&backlog->late, connect_late, backlog);
  await_blocked(backlog->late.tid, SYS_connect);
}

static void check_peer(int accepted, struct ucred want) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  CHECK_SYS(getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &peer, &size));
  CHECK_EQ(peer.pid, want.pid);
  CHECK_EQ(peer.uid, want.uid);
  CHECK_EQ(peer.gid, want.gid);
}

static void expect_end(int accepted) {
  char byte;
  CHECK_EQ(CHECK_SYS(read(accepted, &byte, 1)), 0);
}

static void check_file(struct backlog* backlog, int accepted) {
  int received;
  CHECK_EQ(receive_rights(accepted, "file", &received, 1), getpid());
  write_all(received, "x", 1);
  CHECK_EQ(CHECK_SYS(lseek(backlog->passed, 0, SEEK_CUR)), 1);
  close(received);
}

static void check(struct backlog* backlog) {
  const struct ucred self = {getpid(), geteuid(), getegid()};
  int accepted[kClients + 1];
  for (int i = 0; i <= kClients; i++) {
    accepted[i] = CHECK_SYS(accept(backlog->listener, NULL, NULL));
    check_peer(accepted[i], i == kClients - 1 ? (struct ucred){backlog->child, 5678, 1234} : self);
  }
  join_thread(&backlog->late);
  expect_text(accepted[0], "first");
  check_conversation((struct pair){backlog->clients[0], accepted[0]});
  char seen[kLong];
  for (ssize_t got = 0; got < kLong;)
    got += CHECK_SYS(read(accepted[1], seen + got, (size_t)(kLong - got)));
  CHECK_EQ(memcmp(seen, backlog->sent, kLong), 0);
  check_conversation((struct pair){backlog->clients[1], accepted[1]});
  expect_text(accepted[2], "closed");
  expect_end(accepted[2]);
  expect_text(accepted[3], "shut");
  expect_end(accepted[3]);
  check_file(backlog, accepted[4]);
  expect_text(accepted[5], "ended");
  expect_end(accepted[5]);
  check_conversation((struct pair){backlog->late_client, accepted[6]});
}

int main(void) {
  static struct backlog streams = {.type = SOCK_STREAM};
  static struct backlog packets = {.type = SOCK_SEQPACKET};
  streams.address = unix_path("listener");
  packets.address = unix_abstract("packet-listener");
  set_up(&streams);
  set_up(&packets);

  workload_ready();

  check(&streams);
  check(&packets);
  return workload_ok();
}
