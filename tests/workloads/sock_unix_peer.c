// The process, user and group at the other end of a Unix connection (SO_PEERCRED): of pairs made by
// a parent, a child, and a child that has ended; of connections through a listener with a path and
// an abstract one; of listeners; and what a new connection tells.
#include "workload_sockets.h"

enum { kListeners = 2, kPairs = 3 };

static int listeners[kListeners];
static struct address addresses[kListeners];

static struct ucred peer_of(int fd) {
  struct ucred peer = {0};
  socklen_t size = sizeof peer;
  CHECK_SYS(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size));
  return peer;
}

static void check_peer(int fd, struct ucred want) {
  struct ucred got = peer_of(fd);
  CHECK_EQ(got.pid, want.pid);
  CHECK_EQ(got.uid, want.uid);
  CHECK_EQ(got.gid, want.gid);
}

static void pass(int socket, const int* fds, int count) {
  union {
    char bytes[CMSG_SPACE(4 * sizeof(int))];
    struct cmsghdr header;
  } control = {0};
  struct iovec part = {"x", 1};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = CMSG_SPACE(count * sizeof(int))};
  control.header = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
  memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
  CHECK_EQ(CHECK_SYS(sendmsg(socket, &message, 0)), 1);
}

static void take(int socket, int* fds, int count) {
  union {
    char bytes[CMSG_SPACE(4 * sizeof(int))];
    struct cmsghdr header;
  } control;
  char byte;
  struct iovec part = {&byte, 1};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  CHECK_EQ(CHECK_SYS(recvmsg(socket, &message, 0)), 1);
  memcpy(fds, CMSG_DATA(&control.header), count * sizeof(int));
}

// A user of its own, who connects and makes a pair; the ends of the pair go to the parent.
static void child_body(void* argument) {
  int to_parent = *(int*)argument;
  CHECK_SYS(setresgid(34, 34, 34));
  CHECK_SYS(setresuid(12, 12, 12));
  struct pair pair = unix_pair(SOCK_STREAM);
  pass(to_parent, (int[]){pair.client, pair.server}, 2);
  int connections[kListeners];
  for (int i = 0; i < kListeners; i++) {
    connections[i] = connect_to(addresses[i], SOCK_STREAM);
    write_all(connections[i], "me", 2);
  }
  struct ucred parent = {getppid(), 0, 0};
  for (int i = 0; i < kListeners; i++) check_peer(connections[i], parent);
  wait_for_go();
  for (int i = 0; i < kListeners; i++) {
    workload_context(i == 0 ? "a path, at the client" : "an abstract name, at the client");
    check_peer(connections[i], parent);
    expect_text(connections[i], "you");
  }
  workload_context(NULL);
}

static void short_lived(void* argument) {
  struct pair pair = unix_pair(SOCK_SEQPACKET);
  pass(*(int*)argument, (int[]){pair.client, pair.server}, 2);
}

int main(void) {
  addresses[0] = unix_path("listener");
  addresses[1] = unix_abstract("workload peer");
  for (int i = 0; i < kListeners; i++) {
    listeners[i] = open_socket(AF_UNIX, SOCK_STREAM);
    CHECK_SYS(bind(listeners[i], &addresses[i].any, addresses[i].size));
    CHECK_SYS(listen(listeners[i], 5));
  }
  CHECK_SYS(chmod("listener", 0777));
  CHECK_SYS(chmod(".", 0755));
  struct pair family = unix_pair(SOCK_STREAM);
  int ends[kPairs][2] = {{family.client, family.server}};
  pid_t child = spawn(child_body, &family.server);
  take(family.client, ends[1], 2);
  pid_t ended = spawn(short_lived, &family.server);
  take(family.client, ends[2], 2);
  reap_child(ended);
  int accepted[kListeners];
  for (int i = 0; i < kListeners; i++) {
    accepted[i] = CHECK_SYS(accept(listeners[i], NULL, NULL));
    expect_text(accepted[i], "me");
  }
  await_waiting_child(child);
  struct ucred self = {getpid(), 0, 0};
  struct ucred of_child = {child, 12, 34};
  struct ucred makers[kPairs] = {self, of_child, {ended, 0, 0}};
  for (int i = 0; i < kPairs; i++) check_peer(ends[i][0], makers[i]);

  workload_ready();

  for (int i = 0; i < kPairs; i++) {
    workload_context(i == 0 ? "a pair of its own" : i == 1 ? "a child's" : "one of the dead");
    for (int end = 0; end < 2; end++) check_peer(ends[i][end], makers[i]);
  }
  for (int i = 0; i < kListeners; i++) {
    workload_context(i == 0 ? "a path" : "an abstract name");
    check_peer(accepted[i], of_child);
    check_peer(listeners[i], self);
    write_all(accepted[i], "you", 3);
    struct pair fresh = {.client = connect_to(addresses[i], SOCK_STREAM)};
    fresh.server = CHECK_SYS(accept(listeners[i], NULL, NULL));
    check_peer(fresh.client, self);
    check_peer(fresh.server, self);
    check_conversation(fresh);
  }
  workload_context(NULL);
  finish_child(child);
  return workload_ok();
}
