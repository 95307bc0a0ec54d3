#include "workload_sockets.h"

#include <poll.h>

const int kFamily[kFamilies] = {AF_INET, AF_INET6};
const char* const kFamilyName[kFamilies] = {"IPv4", "IPv6"};

struct address loopback(int family, int port) {
  struct address address = {0};
  if (family == AF_INET) {
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons(port);
    address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.size = sizeof address.v4;
  } else {
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = htons(port);
    address.v6.sin6_addr = in6addr_loopback;
    address.size = sizeof address.v6;
  }
  return address;
}

struct address unix_path(const char* path) {
  struct address address = {.un.sun_family = AF_UNIX};
  snprintf(address.un.sun_path, sizeof address.un.sun_path, "%s", path);
  address.size = offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1;
  return address;
}

struct address unix_abstract(const char* name) {
  struct address address = {.un.sun_family = AF_UNIX};
  size_t length = strlen(name);
  memcpy(address.un.sun_path + 1, name, length);
  address.size = offsetof(struct sockaddr_un, sun_path) + 1 + length;
  return address;
}

struct address local_address(int fd) {
  struct address address = {.size = sizeof address.storage};
  CHECK_SYS(getsockname(fd, &address.any, &address.size));
  return address;
}

struct address peer_address(int fd) {
  struct address address = {.size = sizeof address.storage};
  CHECK_SYS(getpeername(fd, &address.any, &address.size));
  return address;
}

void check_same_address(struct address got, struct address want) {
  CHECK_EQ(got.size, want.size);
  CHECK_EQ(memcmp(&got.storage, &want.storage, want.size), 0);
}

int open_socket(int family, int type) {
  return CHECK_SYS(socket(family, type, 0));
}

int bind_loopback(int family, int type) {
  int fd = open_socket(family, type);
  struct address address = loopback(family, 0);
  CHECK_SYS(bind(fd, &address.any, address.size));
  return fd;
}

int listen_loopback(int family, int backlog) {
  int fd = bind_loopback(family, SOCK_STREAM);
  CHECK_SYS(listen(fd, backlog));
  return fd;
}

int connect_to(struct address address, int type) {
  int fd = open_socket(address.any.sa_family, type);
  CHECK_SYS(connect(fd, &address.any, address.size));
  return fd;
}

struct pair connect_tcp(int family) {
  int listener = listen_loopback(family, 1);
  struct pair pair = {.client = connect_to(local_address(listener), SOCK_STREAM)};
  pair.server = CHECK_SYS(accept(listener, NULL, NULL));
  close(listener);
  return pair;
}

struct pair unix_pair(int type) {
  int ends[2];
  CHECK_SYS(socketpair(AF_UNIX, type, 0, ends));
  return (struct pair){ends[0], ends[1]};
}

void check_conversation(struct pair pair) {
  write_all(pair.client, "question", 8);
  expect_text(pair.server, "question");
  write_all(pair.server, "answer", 6);
  expect_text(pair.client, "answer");
  CHECK_SYS(close(pair.client));
  char byte;
  CHECK_EQ(CHECK_SYS(read(pair.server, &byte, 1)), 0);
  CHECK_SYS(close(pair.server));
}

void await_queued(int fd, size_t bytes) {
  char* buffer = malloc(bytes);
  while (CHECK_SYS(recv(fd, buffer, bytes, MSG_PEEK | MSG_WAITALL)) < (long)bytes) sched_yield();
  free(buffer);
}

int get_option(int fd, int level, int name) {
  int value = 0;
  socklen_t size = sizeof value;
  CHECK_SYS(getsockopt(fd, level, name, &value, &size));
  return value;
}

void set_option(int fd, int level, int name, int value) {
  CHECK_SYS(setsockopt(fd, level, name, &value, sizeof value));
}

struct tcp_info tcp_state(int fd) {
  struct tcp_info info = {0};
  socklen_t size = sizeof info;
  CHECK_SYS(getsockopt(fd, SOL_TCP, TCP_INFO, &info, &size));
  return info;
}

enum { kBlock = 16384 };

size_t fill_socket(int fd, uint64_t seed) {
  size_t capacity = 64 << 20;
  char* pattern = malloc(capacity);
  fill_pattern(pattern, capacity, seed);
  size_t sent = 0;
  ssize_t count;
  while ((count = send(fd, pattern + sent, kBlock, MSG_DONTWAIT)) > 0) {
    sent += count;
    CHECK(sent + kBlock <= capacity);
  }
  CHECK_EQ(errno, EAGAIN);
  free(pattern);
  return sent;
}

void drain_socket(int fd, size_t bytes, uint64_t seed) {
  char* data = malloc(bytes);
  read_all(fd, data, bytes);
  check_pattern(data, bytes, seed);
  free(data);
}

void send_rights(int to, const char* data, const int* fds, size_t count) {
  char control[CMSG_SPACE(kMostRights * sizeof(int))] = {0};
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

pid_t receive_rights(int from, const char* data, int* fds, size_t count) {
  char control[CMSG_SPACE(kMostRights * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
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
