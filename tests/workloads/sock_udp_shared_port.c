// UDP sockets that share a port: a SO_REUSEPORT group, each with what it has received, and sockets
// of a multicast group with SO_REUSEADDR, which get a copy each.
#include "workload_sockets.h"

enum { kMembers = 4, kDatagrams = 40, kListeners = 2 };

static int join_port(int family, int option, struct address* address) {
  int fd = open_socket(family, SOCK_DGRAM);
  set_option(fd, SOL_SOCKET, option, 1);
  CHECK_SYS(bind(fd, &address->any, address->size));
  *address = local_address(fd);
  return fd;
}

// Each datagram names itself; which member gets it depends on its sender.
static void send_from_many(struct address to) {
  for (char number = 0; number < kDatagrams; number++) {
    int sender = connect_to(to, SOCK_DGRAM);
    CHECK_EQ(send(sender, &number, 1, 0), 1);
    close(sender);
  }
}

struct group {
  int members[kMembers];
  struct address address;
  char order[kMembers][kDatagrams];  // what each member has in its queue
  int counts[kMembers];
};

static void note_queue(int fd, char* order, int* count) {
  char byte;
  set_option(fd, SOL_SOCKET, SO_PEEK_OFF, 0);
  while (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1) order[(*count)++] = byte;
  set_option(fd, SOL_SOCKET, SO_PEEK_OFF, -1);
}

static void fill_group(struct group* group, int family) {
  memset(group, 0, sizeof *group);
  group->address = loopback(family, 0);
  for (int i = 0; i < kMembers; i++)
    group->members[i] = join_port(family, SO_REUSEPORT, &group->address);
  send_from_many(group->address);
  int total = 0;
  for (int i = 0; i < kMembers; i++) {
    note_queue(group->members[i], group->order[i], &group->counts[i]);
    total += group->counts[i];
  }
  CHECK_EQ(total, kDatagrams);
}

static void check_group(const struct group* group) {
  char byte;
  for (int i = 0; i < kMembers; i++) {
    for (int k = 0; k < group->counts[i]; k++) {
      CHECK_EQ(recv(group->members[i], &byte, 1, MSG_DONTWAIT), 1);
      CHECK_EQ(byte, group->order[i][k]);
    }
    CHECK_ERRNO(recv(group->members[i], &byte, 1, MSG_DONTWAIT), EAGAIN);
  }
  // All are still in the group: among many senders each gets something.
  for (int round = 0; round < 10; round++) send_from_many(group->address);
  for (int i = 0; i < kMembers; i++) CHECK_EQ(recv(group->members[i], &byte, 1, MSG_DONTWAIT), 1);
}

static struct address multicast(void) {
  struct address address = loopback(AF_INET, 0);
  address.v4.sin_addr.s_addr = inet_addr("239.1.2.3");
  return address;
}

static void send_to_group(struct address to, const char* text) {
  int sender = open_socket(AF_INET, SOCK_DGRAM);
  struct in_addr device = {htonl(INADDR_LOOPBACK)};
  CHECK_SYS(setsockopt(sender, SOL_IP, IP_MULTICAST_IF, &device, sizeof device));
  CHECK_EQ(sendto(sender, text, strlen(text), 0, &to.any, to.size), strlen(text));
  close(sender);
}

static int listen_to_group(struct address* address) {
  int fd = join_port(AF_INET, SO_REUSEADDR, address);
  struct ip_mreq request = {{inet_addr("239.1.2.3")}, {htonl(INADDR_LOOPBACK)}};
  CHECK_SYS(setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, &request, sizeof request));
  return fd;
}

int main(void) {
  struct group groups[kFamilies];
  for (int i = 0; i < kFamilies; i++) fill_group(&groups[i], kFamily[i]);
  struct address address = multicast();
  int listeners[kListeners];
  for (int i = 0; i < kListeners; i++) listeners[i] = listen_to_group(&address);
  send_to_group(address, "to all");

  workload_ready();

  for (int i = 0; i < kFamilies; i++) {
    workload_context(kFamilyName[i]);
    check_group(&groups[i]);
  }
  workload_context("multicast");
  send_to_group(address, "again");
  char byte;
  for (int i = 0; i < kListeners; i++) {
    expect_text(listeners[i], "to all");
    expect_text(listeners[i], "again");
    CHECK_ERRNO(recv(listeners[i], &byte, 1, MSG_DONTWAIT), EAGAIN);
  }
  return workload_ok();
}
