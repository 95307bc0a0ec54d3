// An nftables ruleset that a container loads for itself, with what it has counted, and connections
// that it has redirected.
// modes: container
// rights: CAP_NET_ADMIN
#include "workload_shell.h"
#include "workload_sockets.h"

static const char kRuleset[] =
    "table inet first {\n"
    "  counter total { packets 5 bytes 500; }\n"
    "  quota most { over 10 mbytes used 1000 bytes; }\n"
    "  limit slow { rate 400/minute burst 7 packets; }\n"
    "  set plain { type ipv4_addr; elements = { 10.1.1.1, 10.1.1.2 }; }\n"
    "  set ranges { type ipv4_addr; flags interval; elements = { 10.2.0.0/16, 10.3.0.1-10.3.0.9 }; "
    "}\n"
    "  set timed { type inet_service; flags timeout; timeout 1h; elements = { 80, 443 timeout 2h "
    "}; }\n"
    "  set pairs { type ipv4_addr . inet_service; flags interval; elements = { 10.4.0.0/24 . 80-90 "
    "}; }\n"
    "  set counted { type ipv4_addr; counter; elements = { 10.5.0.1 counter packets 3 bytes 300 }; "
    "}\n"
    "  set seen { type ipv4_addr; size 128; flags dynamic,timeout; timeout 5m; }\n"
    "  map counters { type ipv4_addr : counter; elements = { 10.6.0.1 : \"total\" }; }\n"
    "  chain inner { counter packets 8 bytes 80 return comment \"inside\"; }\n"
    "  map targets { type inet_service : verdict; elements = { 81 : jump inner, 82 : drop }; }\n"
    "  chain input {\n"
    "    type filter hook input priority filter + 5; policy accept;\n"
    "    ip saddr @plain counter packets 1 bytes 10 drop\n"
    "    ip saddr { 10.7.0.1, 10.7.0.2 } tcp dport { 22, 100-200 } reject with tcp reset\n"
    "    ip saddr . tcp dport @pairs accept\n"
    "    tcp dport vmap @targets\n"
    "    tcp dport vmap { 91 : jump inner, 92 : accept }\n"
    "    ct state established,related counter name \"total\" accept\n"
    "    ip daddr 10.8.0.0/16 add @seen { ip saddr limit rate 5/second } limit name \"slow\"\n"
    "    meta mark set ip saddr map { 10.9.9.1 : 0x7, 10.9.9.2 : 0x8 }\n"
    "    ip daddr 10.8.0.0/16 quota name \"most\" log prefix \"much \" level info\n"
    "  }\n"
    "}\n"
    "table ip nat {\n"
    "  chain out { type nat hook output priority -100; tcp dport 7001 redirect to :7002; }\n"
    "  chain post { type nat hook postrouting priority srcnat; oifname \"d0\" masquerade; }\n"
    "}\n"
    "table ip6 six {\n"
    "  chain any { type filter hook forward priority 0; policy drop; meta l4proto tcp accept; }\n"
    "}\n"
    "table ip asleep { flags dormant; }\n"
    "table netdev dev {\n"
    "  chain in { type filter hook ingress device d0 priority 0; }\n"
    "}\n";

// What passes by itself stands behind "expires".
static const char kState[] =
    "nft list ruleset | sed -E 's/ expires [0-9a-z]+//g; /total/,/}/s/packets.*//;"
    " s/counter name.*//'";

static void load(void) {
  FILE* input = popen("nft -f -", "w");
  CHECK(input != NULL);
  CHECK(fputs(kRuleset, input) >= 0);
  CHECK_EQ(pclose(input), 0);
}

static int open_listener(int port) {
  int fd = open_socket(AF_INET, SOCK_STREAM);
  struct address address = loopback(AF_INET, port);
  CHECK_SYS(bind(fd, &address.any, address.size));
  CHECK_SYS(listen(fd, 8));
  return fd;
}

static int open_connection(int port) {
  return connect_to(loopback(AF_INET, port), SOCK_STREAM);
}

static void pass_on(int from, int to) {
  char got = 0;
  CHECK_EQ(send(from, "x", 1, 0), 1);
  CHECK_EQ(recv(to, &got, 1, MSG_WAITALL), 1);
  CHECK_EQ(got, 'x');
}

int main(void) {
  CHECK_EQ(system("ip link add d0 type bridge"), 0);
  load();
  int listener = open_listener(7002);
  int client = open_connection(7001);  // nobody listens there
  int server = CHECK_SYS(accept(listener, NULL, NULL));
  pass_on(client, server);
  char* before = say(kState);

  workload_ready();

  char* after = say(kState);
  CHECK_STR(after, before);
  pass_on(server, client);
  pass_on(client, server);
  int later = open_connection(7001);
  int accepted = CHECK_SYS(accept(listener, NULL, NULL));
  pass_on(later, accepted);
  free(before);
  free(after);
  return workload_ok();
}
