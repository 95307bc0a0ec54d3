// A set-up of iptables like that of a container engine: published ports are translated, what leaves
// is masqueraded, and a filter lets pass what belongs to known connections.
#pragma once

#include "workload_shell.h"
#include "workload_sockets.h"

static const char kRules[] =
    "ip link add docker0 type bridge && ip link set docker0 up && ip addr add 10.9.0.1/24 dev "
    "docker0 && ip link set lo up && ip route add 10.9.9.9/32 dev docker0 && "
    "ip4() { iptables-$flavour -w 20 \"$@\"; } && ip6() { ip6tables-$flavour -w 20 \"$@\"; } && "
    "ip4 -t nat -N DOCKER && ip4 -t nat -A OUTPUT -d 10.9.9.9/32 -j DOCKER && "
    "ip4 -t nat -A DOCKER -p tcp -m tcp --dport 7001 -j DNAT --to-destination 10.9.0.1:7002 && "
    "ip4 -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER && "
    "ip4 -t nat -A POSTROUTING -s 10.9.0.0/24 ! -o docker0 -j MASQUERADE && "
    "ip4 -P FORWARD DROP && ip4 -P INPUT DROP && "
    "ip4 -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT && "
    "ip4 -A INPUT -p tcp -m multiport --dports 7002,7010:7019 -m comment --comment 'of the "
    "program' "
    "-j ACCEPT && "
    "ip4 -A INPUT -p tcp -m tcp --dport 7003 -j REJECT --reject-with tcp-reset && "
    "ip4 -A FORWARD -c 5 500 -m limit --limit 5/min -j LOG --log-prefix 'passes ' && "
    "ip4 -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu && "
    "ip4 -t mangle -A OUTPUT ! -p udp -j MARK --set-mark 7 && "
    "ip4 -t mangle -A OUTPUT -j CONNMARK --save-mark && "
    "ip6 -A INPUT -p tcp -m tcp --dport 22 -m state --state NEW -j ACCEPT && "
    "ip6 -A INPUT -p icmpv6 --icmpv6-type echo-request -j REJECT";

// Tables and rules; what is counted goes on, but where nothing passes.
static const char kTables[] =
    "{ iptables-$flavour-save -c; ip6tables-$flavour-save -c; } | sed '/^#/d; "
    "/FORWARD/!s/[[][0-9:]*[]]//' | sort";

static void pass_on(int from, int to) {
  char got = 0;
  CHECK_EQ(send(from, "x", 1, 0), 1);
  CHECK_EQ(recv(to, &got, 1, MSG_WAITALL), 1);
  CHECK_EQ(got, 'x');
}

static struct address address_of(const char* name, int port) {
  struct address address = loopback(AF_INET, port);
  CHECK_EQ(inet_pton(AF_INET, name, &address.v4.sin_addr), 1);
  return address;
}

static void check_reset(void) {
  int fd = open_socket(AF_INET, SOCK_STREAM);
  struct address address = address_of("10.9.0.1", 7003);
  CHECK_EQ(connect(fd, &address.any, address.size), -1);
  CHECK_EQ(errno, ECONNREFUSED);
  close(fd);
}

// `flavour` is "nft" or "legacy".
static int check_iptables(const char* flavour) {
  CHECK_SYS(setenv("flavour", flavour, 1));
  CHECK_SYS(setenv("XTABLES_LOCKFILE", "/tmp/xtables.lock", 1));
  CHECK_EQ(system(kRules), 0);
  int listener = open_socket(AF_INET, SOCK_STREAM);
  struct address address = address_of("10.9.0.1", 7002);
  CHECK_SYS(bind(listener, &address.any, address.size));
  CHECK_SYS(listen(listener, 8));
  int client = connect_to(address_of("10.9.9.9", 7001), SOCK_STREAM);  // is translated
  int server = CHECK_SYS(accept(listener, NULL, NULL));
  pass_on(client, server);
  check_reset();
  char* before = say(kTables);

  workload_ready();

  char* after = say(kTables);
  CHECK_STR(after, before);
  pass_on(server, client);
  pass_on(client, server);
  int later = connect_to(address_of("10.9.9.9", 7001), SOCK_STREAM);
  int accepted = CHECK_SYS(accept(listener, NULL, NULL));
  pass_on(later, accepted);
  check_reset();
  free(before);
  free(after);
  return workload_ok();
}
