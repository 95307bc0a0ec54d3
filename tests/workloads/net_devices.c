// Devices, addresses, routes, rules, neighbours and settings that a container makes for itself.
// modes: container
// rights: CAP_NET_ADMIN
#include "workload_shell.h"

// Runs a line of shell, which must succeed.
static void run(const char* line) {
  int status = system(line);
  if (status != 0) workload_fail(__FILE__, __LINE__, line, "failure", "success");
}

static const char* const kSetUp[] = {
    "ip link set lo mtu 60000",
    "ip link add spare type bridge",
    "ip link add d0 address 02:11:22:33:44:55 mtu 1400 txqueuelen 77 type veth peer name d1",
    "ip link set d0 alias 'of the program' group 7 up",
    "ip link set d1 up",
    "ip link add br0 address 02:11:22:33:44:66 type bridge stp_state 0 ageing_time 1200 "
    "forward_delay 400",
    "ip link add v0 address 02:11:22:33:44:77 type veth peer name v1 address 02:11:22:33:44:88",
    "ip link set v0 master br0 up",
    "ip link set v0 type bridge_slave hairpin on isolated on cost 33",
    "ip link set br0 up",
    "ip link set v1 up",
    "ip link add link d0 name mv0 address 02:11:22:33:44:99 type macvlan mode private",
    "ip link del spare",
    "ip addr add 10.9.0.1/24 dev br0",
    "ip addr add 10.9.0.2/24 dev br0",
    "ip addr add 10.9.1.1/32 dev lo label lo:more",
    "ip addr add 10.9.2.1 peer 10.9.2.2/32 dev d0 metric 500",
    "ip addr add 10.9.3.1/24 dev v1 noprefixroute",
    "ip -6 addr add fd99::1/64 dev d0 nodad",
    "ip -6 addr add fd99:1::1/64 dev br0 nodad preferred_lft 5000 valid_lft 6000",
    "ip route add 10.10.0.0/16 via 10.9.0.77 dev br0 metric 30 mtu 1300 advmss 1200",
    "ip route add 10.10.0.0/16 via 10.9.0.78 dev br0 metric 40",
    "ip route add 10.11.0.0/16 nexthop via 10.9.0.77 dev br0 weight 3 nexthop via 10.9.2.2 dev d0",
    "ip route add blackhole 10.12.0.0/16",
    "ip route add prohibit 10.13.0.0/16 table 77",
    "ip route add 10.14.0.0/16 via 10.77.88.99 dev br0 onlink table 1234",
    "ip route add 10.15.0.0/16 via 10.10.0.5 dev br0 onlink src 10.9.0.2",
    "ip -6 route add fd98::/64 via fd99::9 dev d0 metric 55 pref high",
    "ip -6 route add unreachable fd97::/64",
    "ip -6 route add fd96::/64 nexthop via fd99::7 dev d0 nexthop via fd99::8 dev d0",
    "ip rule add from 10.9.0.2 table 77 priority 100",
    "ip rule add fwmark 5/0xff iif v1 ipproto 6 dport 80-90 table 1234 priority 200",
    "ip rule add not to 10.0.0.0/8 goto 32766 priority 300",
    "ip -6 rule add from fd99::1 table 55 priority 400",
    "ip rule del priority 32767",
    "ip neigh add 10.9.0.77 lladdr 02:00:00:00:00:77 dev br0",
    "ip neigh add proxy 10.9.0.99 dev br0",
    "echo 1 > /proc/sys/net/ipv4/ip_forward",
    "echo 2 > /proc/sys/net/ipv4/conf/v1/rp_filter",
    "echo 1 > /proc/sys/net/ipv6/conf/mv0/disable_ipv6",
    "echo 7 > /proc/sys/net/ipv4/tcp_retries2",
    "echo '20000 30000' > /proc/sys/net/ipv4/ip_local_port_range",
    "ip link set mv0 up",
};

// Without numbers that are counted and what passes by itself.
static const char kState[] =
    "ip -d -o link | sed 's/@if[0-9]*/@/; s/qlen/\\nqlen/' | grep -v '^2: eth0' |"
    " sed -E 's/[a-z_]*_timer +[0-9.]*//g; s/fdb_n_learned [0-9]*//; s/NO-CARRIER,//; "
    "s/,LOWER_UP//; s/state [A-Z]*//';"
    "ip -o addr | sed -E 's/valid_lft [0-9]+sec preferred_lft [0-9]+sec/limited/; s/tentative//;"
    " s/noprefixroute *$//; s/ nodad//';"
    "ip -4 route show table all | sed 's/ *linkdown *//' | sort; ip -6 route show table all | grep "
    "-v "
    "'fe80\\|multicast' |"
    " sed -E 's/expires [0-9]+sec//' | sort; ip rule; ip -6 rule; ip neigh show nud permanent; ip "
    "neigh show proxy;"
    "cd /proc/sys/net; grep . ipv4/ip_forward ipv4/conf/*/rp_filter ipv4/conf/*/forwarding"
    " ipv6/conf/*/disable_ipv6 ipv4/tcp_retries2 ipv4/ip_local_port_range";

// Words alone count.
static char* state(void) {
  char* text = say(kState);
  char* end = text;
  for (char* at = text; *at; at++)
    if (*at != ' ' || (at[1] != ' ' && at[1] != '\n')) *end++ = *at;
  *end = 0;
  return text;
}

static void compare(const char* before, const char* after) {
  while (*before && *before == *after) before++, after++;
  if (*before == *after) return;
  char got[80], want[80];
  snprintf(got, sizeof got, "%.*s", (int)strcspn(after, "\n"), after);
  snprintf(want, sizeof want, "%.*s", (int)strcspn(before, "\n"), before);
  workload_fail(__FILE__, __LINE__, "the network", got, want);
}

int main(void) {
  for (size_t i = 0; i < sizeof kSetUp / sizeof *kSetUp; i++) run(kSetUp[i]);
  char* before = state();

  workload_ready();

  char* after = state();
  compare(before, after);
  run("ip link del br0; ip link del v0; ip link del d0");
  free(before);
  free(after);
  return workload_ok();
}
