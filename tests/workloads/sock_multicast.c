// Multicast groups of UDP and raw sockets: for all sources, for all but some, for some alone, on a
// chosen device, over both families; and what is sent to them.
#include <net/if.h>

#include "workload_sockets.h"

static const char* const kGroup[kFamilies] = {"239.7.7.7", "ff15::7:7"};
enum { kAllSources, kAllButOne, kOneSource, kMemberships };

static struct address group_address(int family, int port) {
  struct address address = loopback(family, port);
  CHECK_EQ(inet_pton(family, kGroup[family == AF_INET6],
                     family == AF_INET ? (void*)&address.v4.sin_addr : &address.v6.sin6_addr),
           1);
  return address;
}

static int level_of(int family) {
  return family == AF_INET ? SOL_IP : SOL_IPV6;
}

static void join(int fd, int family) {
  struct group_req request = {.gr_interface = if_nametoindex("lo")};
  request.gr_group = group_address(family, 0).storage;
  CHECK_SYS(setsockopt(fd, level_of(family), MCAST_JOIN_GROUP, &request, sizeof request));
}

static void change_source(int fd, int family, int option, struct address source) {
  struct group_source_req request = {.gsr_interface = if_nametoindex("lo")};
  request.gsr_group = group_address(family, 0).storage;
  request.gsr_source = source.storage;
  CHECK_SYS(setsockopt(fd, level_of(family), option, &request, sizeof request));
}

// Receives from its groups alone, not from those of others on this host.
static int open_listener(int family, struct address* address) {
  int fd = open_socket(family, SOCK_DGRAM);
  set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  set_option(fd, level_of(family), family == AF_INET ? IP_MULTICAST_ALL : IPV6_MULTICAST_ALL, 0);
  CHECK_SYS(bind(fd, &address->any, address->size));
  *address = local_address(fd);
  return fd;
}

static int open_sender(int family) {
  int fd = bind_loopback(family, SOCK_DGRAM);
  if (family == AF_INET) {
    struct in_addr device = {htonl(INADDR_LOOPBACK)};
    CHECK_SYS(setsockopt(fd, SOL_IP, IP_MULTICAST_IF, &device, sizeof device));
  } else {
    set_option(fd, SOL_IPV6, IPV6_MULTICAST_IF, if_nametoindex("lo"));
  }
  return fd;
}

struct group {
  struct address address;
  int members[kMemberships];
  int outsider;
  int sender;
  bool reachable;  // loopback has no route to groups of IPv6
};

static struct address other_source(int family) {
  struct address address = loopback(family, 0);
  if (family == AF_INET) address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 7);
  if (family == AF_INET6) address.v6.sin6_addr.s6_addr[0] = 0xfd;
  return address;
}

static struct group make_group(int family) {
  struct group group = {.address = group_address(family, 0), .sender = open_sender(family)};
  for (int i = 0; i < kMemberships; i++) group.members[i] = open_listener(family, &group.address);
  group.outsider = open_listener(family, &group.address);
  join(group.members[kAllSources], family);
  join(group.members[kAllButOne], family);
  change_source(group.members[kAllButOne], family, MCAST_BLOCK_SOURCE, loopback(family, 0));
  change_source(group.members[kOneSource], family, MCAST_JOIN_SOURCE_GROUP, loopback(family, 0));
  change_source(group.members[kOneSource], family, MCAST_JOIN_SOURCE_GROUP, other_source(family));
  return group;
}

static void send_to_group(const struct group* group, const char* text) {
  CHECK_EQ(sendto(group->sender, text, strlen(text), 0, &group->address.any, group->address.size),
           strlen(text));
}

static void expect_nothing(int fd) {
  char byte;
  CHECK_ERRNO(recv(fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
}

// As the kernel tells it: how many sources, and whether they are those that are not received.
static void check_filter(int fd, int family, uint32_t mode, uint32_t sources) {
  struct group_filter filter = {.gf_interface = if_nametoindex("lo"), .gf_numsrc = 1};
  filter.gf_group = group_address(family, 0).storage;
  socklen_t size = sizeof filter;
  CHECK_SYS(getsockopt(fd, level_of(family), MCAST_MSFILTER, &filter, &size));
  CHECK_EQ(filter.gf_fmode, mode);
  CHECK_EQ(filter.gf_numsrc, sources);
}

static void check_filters(const struct group* group, int family) {
  check_filter(group->members[kAllSources], family, MCAST_EXCLUDE, 0);
  check_filter(group->members[kAllButOne], family, MCAST_EXCLUDE, 1);
  check_filter(group->members[kOneSource], family, MCAST_INCLUDE, 2);
}

static void check_delivery(const struct group* group, int family) {
  expect_text(group->members[kAllSources], "before");
  expect_text(group->members[kOneSource], "before");
  send_to_group(group, "after");
  expect_text(group->members[kAllSources], "after");
  expect_text(group->members[kOneSource], "after");
  expect_nothing(group->members[kAllButOne]);
  expect_nothing(group->outsider);
  // What is in force can be taken back, and only that.
  change_source(group->members[kAllButOne], family, MCAST_UNBLOCK_SOURCE, loopback(family, 0));
  change_source(group->members[kOneSource], family, MCAST_LEAVE_SOURCE_GROUP, loopback(family, 0));
  send_to_group(group, "later");
  expect_text(group->members[kAllSources], "later");
  expect_text(group->members[kAllButOne], "later");
  expect_nothing(group->members[kOneSource]);
  change_source(group->members[kOneSource], family, MCAST_LEAVE_SOURCE_GROUP, other_source(family));
}

int main(void) {
  struct group groups[kFamilies];
  for (int i = 0; i < kFamilies; i++) {
    workload_context(kFamilyName[i]);
    groups[i] = make_group(kFamily[i]);
    struct address to = groups[i].address;
    groups[i].reachable = sendto(groups[i].sender, "before", 6, 0, &to.any, to.size) == 6;
    CHECK(groups[i].reachable || (kFamily[i] == AF_INET6 && errno == ENETUNREACH));
  }

  workload_ready();

  for (int i = 0; i < kFamilies; i++) {
    workload_context(kFamilyName[i]);
    check_filters(&groups[i], kFamily[i]);
    if (groups[i].reachable) check_delivery(&groups[i], kFamily[i]);
  }
  return workload_ok();
}
