// Sockets of the workload programs: addresses on loopback, listeners and connected pairs.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "workload.h"

struct address {
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
    struct sockaddr_storage storage;
  };
  socklen_t size;
};

// IPv4 and IPv6, for programs that check both.
enum { kFamilies = 2 };
extern const int kFamily[kFamilies];
extern const char* const kFamilyName[kFamilies];

struct address loopback(int family, int port);
struct address unix_path(const char* path);
struct address unix_abstract(const char* name);
struct address local_address(int fd);
struct address peer_address(int fd);
void check_same_address(struct address got, struct address want);

int open_socket(int family, int type);
// A socket bound to a free port of loopback.
int bind_loopback(int family, int type);
int listen_loopback(int family, int backlog);
int connect_to(struct address address, int type);

// The two ends of a TCP connection on loopback, or of a Unix socket pair.
struct pair {
  int client;
  int server;
};
struct pair connect_tcp(int family);
struct pair unix_pair(int type);
// Both ends still carry data both ways; then one closes and the other sees the end.
void check_conversation(struct pair pair);
// Data that waits in the receive queue, without taking it.
void await_queued(int fd, size_t bytes);

int get_option(int fd, int level, int name);
void set_option(int fd, int level, int name, int value);
struct tcp_info tcp_state(int fd);
// Writes a pattern until the socket takes no more; returns how much. The socket is left blocking.
size_t fill_socket(int fd, uint64_t seed);
// Reads that much of the pattern.
void drain_socket(int fd, size_t bytes, uint64_t seed);

// A message with descriptors, of which the sender keeps its own.
enum { kMostRights = 4 };
void send_rights(int to, const char* data, const int* fds, size_t count);
// Receives `data` with exactly `count` descriptors; the sender's PID if it is told.
pid_t receive_rights(int from, const char* data, int* fds, size_t count);
