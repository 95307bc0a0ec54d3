#include "engine/network/own_network.h"

#include <linux/netfilter.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cstdlib>

#include "base/check.h"
#include "engine/test_util.h"
#include "sys/namespaces.h"

namespace martlet::engine {
namespace {

// What is configured in one namespace is made in another one and looked at there.
class OwnNetworkTest : public testing::Test {
 protected:
  static ChildInNamespaces namespace_with(const std::string& commands) {
    return {CLONE_NEWNET,
            [&] { return std::system(("set -e; ip link set lo up; " + commands).c_str()) == 0; }};
  }

  Result<image::Network> describe(HostPid process) {
    CaptureContext context(sink_, process, {});
    auto survey = TRY(NetworkSurvey::prepare(process, {{}, true}));
    const uint32_t own = 0;
    return survey.describe(context, {&own, 1});
  }

  void expect_same_after_restore(const std::string& commands, const std::string& before = "true") {
    const auto here = namespace_with(commands);
    const auto there = namespace_with(before);
    ASSERT_TRUE(here.ready() && there.ready()) << commands;
    auto wanted = describe(here.pid());
    ASSERT_OK(wanted);
    ASSERT_OK(apply_networks(Networks(there.pid()), {&*wanted}));
    auto made = describe(there.pid());
    ASSERT_OK(made);
    EXPECT_EQ(made->DebugString(), wanted->DebugString());
    if (wanted->ruleset().empty()) ASSERT_OK(apply_networks(Networks(there.pid()), {&*wanted}));
  }

  void expect_refused(const std::string& commands, const std::string& word) {
    const auto here = namespace_with(commands);
    ASSERT_TRUE(here.ready()) << commands;
    auto described = describe(here.pid());
    ASSERT_FALSE(described) << commands;
    EXPECT_EQ(described.error().code(), Code::kUnsupported);
    EXPECT_NE(described.error().to_string().find(word), std::string::npos)
        << described.error().to_string();
  }

  MemorySink sink_;
};

TEST_F(OwnNetworkTest, LeavesAFreshNamespaceAlone) {
  expect_same_after_restore("true");
}

// Waits until the kernel has given the device the address that it makes of the MAC address, which
// it does some time after the device is up.
std::string await_local_address(const std::string& device) {
  return "timeout 20 sh -c 'until ip -6 -o addr show dev " + device +
         " scope link | grep -q fe80; do :; done';";
}

// Two ends of a pair, which is up.
std::string pair_up() {
  return "ip link add d0 address 02:11:22:33:44:55 type veth peer name d1 address "
         "02:11:22:33:44:56; ip link set d0 up; ip link set d1 up;" +
         await_local_address("d0") + await_local_address("d1");
}

TEST_F(OwnNetworkTest, MakesDevices) {
  expect_same_after_restore(
      "ip link add gone type bridge;" + pair_up() +
      "ip link del gone; ip link set d0 alias mine group 7 mtu 1400 txqueuelen 77;"
      "ip link add br0 type bridge ageing_time 1200; ip link add v0 type veth peer name v1;"
      "ip link set v0 master br0; ip link set v0 type bridge_slave hairpin on; ip link set v0 up;"
      "ip link set v1 up; ip link set br0 up; ip link set lo mtu 60000;"
      "ip link add link d0 name m0 type macvlan mode private;" +
      await_local_address("v1") + await_local_address("br0"));
}

template <typename T>
T expect_ok(Result<T> result) {
  CHECK(result);
  return std::move(*result);
}

// The second is another network of the first's group.
Networks networks_of(const ChildInNamespaces& first, const ChildInNamespaces& second) {
  Networks networks(first.pid());
  networks.add(expect_ok(sys::open_namespace(second.pid(), sys::NamespaceKind::kNetwork)));
  return networks;
}

TEST_F(OwnNetworkTest, MakesPairsBetweenNetworks) {
  const auto end_here = namespace_with("true");
  const auto here = namespace_with(
      "ip link add d0 address 02:11:22:33:44:55 type veth peer name d1 address 02:11:22:33:44:56 "
      "netns " +
      to_string(end_here.pid()) +
      "; ip link set d0 addrgenmode none up; ip addr add 10.1.0.1/24 dev d0");
  const auto there = namespace_with("true");
  const auto end_there = namespace_with("true");
  ASSERT_TRUE(here.ready() && there.ready() && end_here.ready() && end_there.ready());
  const NetworkSettings none;
  auto describe_both = [&](const ChildInNamespaces& first, const ChildInNamespaces& second) {
    CaptureContext context(sink_, first.pid(), {});
    context.networks() = networks_of(first, second);
    const std::array<uint32_t, 2> described = {0, 1};
    std::vector<image::Network> all;
    for (uint32_t number : described)
      all.push_back(expect_ok(expect_ok(NetworkSurvey::of_other(context.networks(), number, none))
                                  .describe(context, described)));
    return all;
  };
  const auto wanted = describe_both(here, end_here);
  ASSERT_OK(apply_networks(networks_of(there, end_there), {&wanted[0], &wanted[1]}));
  const auto made = describe_both(there, end_there);
  EXPECT_EQ(made[0].DebugString(), wanted[0].DebugString());
  EXPECT_EQ(made[1].DebugString(), wanted[1].DebugString());
  image::Network half = wanted[1];
  half.mutable_devices()->DeleteSubrange(1, 1);
  const auto nowhere = namespace_with("true");
  ASSERT_TRUE(nowhere.ready());
  EXPECT_EQ(apply_networks(networks_of(nowhere, end_there), {&wanted[0], &half}).error().code(),
            Code::kBadImage);
}

TEST_F(OwnNetworkTest, MakesAddressesAndRoutes) {
  expect_same_after_restore(
      pair_up() +
      "ip addr add 10.1.0.1/24 dev d0; ip addr add 10.1.0.2/24 dev d0;"
      "ip addr add 10.5.0.1 peer 10.5.0.2/32 dev d0 metric 500; ip addr add 10.6.0.1/32 dev lo;"
      "ip -6 addr add fd01::1/64 dev d0 nodad;"
      "ip route add default via 10.1.0.9; ip route add 10.2.0.0/16 via 10.1.0.9 metric 5 mtu 1300;"
      "ip route add 10.2.0.0/16 via 10.1.0.8 metric 6;"
      "ip route add 10.3.0.0/16 nexthop via 10.1.0.8 nexthop via 10.1.0.9 weight 2;"
      "ip route add 10.7.0.0/16 via 10.77.0.1 dev d0 onlink src 10.1.0.2;"
      "ip route add blackhole 10.4.0.0/16 table 9; ip -6 route add fd02::/64 via fd01::9 pref high;"
      "ip -6 route add fd03::/64 nexthop via fd01::7 dev d0 nexthop via fd01::8 dev d0;"
      "ip rule add from 10.1.0.2 table 9 priority 50; ip rule del priority 32767;"
      "ip rule add fwmark 5/0xff iif d0 ipproto tcp dport 80-90 table 12 priority 200;"
      "ip rule add not to 10.0.0.0/8 goto 32766 priority 300;"
      "ip neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev d0; ip neigh add proxy 10.1.0.7 dev d0");
}

TEST_F(OwnNetworkTest, TakesAwayWhatIsNotThere) {
  expect_same_after_restore(pair_up(),
                            pair_up() +
                                "ip addr add 10.1.0.1/24 dev d0; ip route add default via 10.1.0.9;"
                                "ip rule add from 10.1.0.2 table 9 priority 50");
}

TEST_F(OwnNetworkTest, MakesSettings) {
  expect_same_after_restore(
      "echo 1 > /proc/sys/net/ipv4/ip_forward;" + pair_up() +
      "echo 7 > /proc/sys/net/ipv4/tcp_retries2; echo 2 > /proc/sys/net/ipv4/conf/d0/rp_filter");
}

TEST_F(OwnNetworkTest, MakesARuleset) {
  expect_same_after_restore(R"(nft -f - <<EOF
    table inet t {
      counter n { packets 5 bytes 50; }
      quota q { over 10 mbytes used 1000 bytes; }
      set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 11.0.0.1-11.0.0.9 }; }
      set p { type ipv4_addr . inet_service; flags interval; elements = { 10.4.0.0/24 . 80-90 }; }
      set d { type ipv4_addr; size 128; flags dynamic,timeout; timeout 5m; }
      chain a { counter packets 7 bytes 70 return; }
      map m { type inet_service : verdict; elements = { 80 : jump a }; }
      map o { type ipv4_addr : counter; elements = { 10.6.0.1 : "n" }; }
      chain c {
        type filter hook input priority 0; policy drop;
        ip saddr @s drop
        ip saddr . tcp dport @p accept
        tcp dport vmap @m
        tcp dport { 22, 30-40 } counter name n accept
        ip daddr 10.8.0.0/16 add @d { ip saddr limit rate 5/second } reject
        meta mark set ip saddr map { 10.9.9.1 : 0x7 }
        quota name q log prefix "much"
      }
    }
    table ip nat {
      chain p { type nat hook prerouting priority -100; tcp dport 80 redirect to :81; }
      chain q { type nat hook postrouting priority 100; masquerade; }
    }
    table ip asleep { flags dormant; }
EOF
)");
}

// Rules of both families, with a match or target of each shape: plain, for one protocol, with a
// state.
std::string rules_of_iptables(const std::string& flavour) {
  const std::string v4 = "iptables-" + flavour + " -w 20 ", v6 = "ip6tables-" + flavour + " -w 20 ";
  return v4 + "-t nat -N DOCKER;" + v4 +
         "-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER;" + v4 +
         "-t nat -A DOCKER ! -i docker0 -p tcp --dport 80 -j DNAT --to-destination 10.9.0.2:8080;" +
         v4 + "-t nat -A POSTROUTING -s 10.9.0.0/16 ! -o docker0 -j MASQUERADE;" + v4 +
         "-t nat -A OUTPUT -p tcp --dport 7001 -j REDIRECT --to-ports 7002;" + v4 +
         "-P FORWARD DROP;" + v4 +
         "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -c 5 500 -j ACCEPT;" + v4 +
         "-A FORWARD -m limit --limit 5/min -m comment --comment 'a b' -j LOG --log-prefix x;" +
         v4 + "-A FORWARD -p tcp -m multiport --dports 5,6:9 -j REJECT --reject-with tcp-reset;" +
         v4 + "-A OUTPUT -m owner --uid-owner 7 -j DROP;" + v4 +
         "-A INPUT -m statistic --mode nth --every 3 --packet 0 -j DROP;" + v4 +
         "-t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu;" + v4 +
         "-t mangle -A PREROUTING ! -p udp -m string --algo bm --string abc -j MARK --set-mark 3;" +
         v4 + "-t mangle -A PREROUTING -j CONNMARK --save-mark;" + v6 +
         "-A INPUT -p tcp -m tcp --dport 22 -m state --state NEW -j ACCEPT;" + v6 +
         "-A INPUT -p icmpv6 --icmpv6-type echo-request -j REJECT;";
}

TEST_F(OwnNetworkTest, MakesRulesOfIptables) {
  expect_same_after_restore(rules_of_iptables("nft"));
}

TEST_F(OwnNetworkTest, MakesTablesOfOldIptables) {
  expect_same_after_restore(rules_of_iptables("legacy"));
}

TEST_F(OwnNetworkTest, RefusesExtensionsOfIptablesThatHoldMoreThanTheyTell) {
  for (const std::string flavour : {"iptables-nft", "iptables-legacy"})
    for (const char* match : {"recent --set", "hashlimit --hashlimit-upto 5/sec --hashlimit-name a",
                              "quota --quota 500", "connlimit --connlimit-above 3"})
      expect_refused(flavour + " -w 20 -A INPUT -p tcp -m " + match,
                     std::string(match).substr(0, std::string(match).find(' ')));
}

TEST_F(OwnNetworkTest, RefusesImpossibleOldTables) {
  const auto here = namespace_with(rules_of_iptables("legacy"));
  ASSERT_TRUE(here.ready());
  auto sound = describe(here.pid());
  ASSERT_OK(sound);
  ASSERT_GT(sound->old_tables_size(), 0);
  auto expect_bad = [&](auto spoil) {
    image::Network network;
    *network.add_old_tables() = sound->old_tables(0);
    spoil(*network.mutable_old_tables(0));
    EXPECT_FALSE(apply_networks(Networks(here.pid()), {&network})) << network.ShortDebugString();
  };
  const std::string entries = sound->old_tables(0).entries();
  for (size_t size = 1; size < entries.size(); size += 7)
    expect_bad([&](image::OldTable& table) { table.set_entries(entries.substr(0, size)); });
  expect_bad([](image::OldTable& table) { table.set_name(std::string(32, 'x')); });
  expect_bad([](image::OldTable& table) { table.clear_hook_entries(); });
  expect_bad([](image::OldTable& table) { table.set_underflows(NF_INET_LOCAL_IN, 4); });
}

std::string with_disciplines(const std::string& commands) {
  return "ip link add q0 mtu 1400 txqueuelen 50 address 02:11:22:33:44:57 type bridge;"
         "D='tc qdisc add dev q0'; C='tc class add dev q0';" +
         commands;
}

TEST_F(OwnNetworkTest, MakesQueueingDisciplines) {
  for (const char* discipline :
       {"pfifo", "bfifo limit 9000", "pfifo_head_drop limit 5", "noqueue", "pfifo_fast",
        "tbf rate 1mbit burst 10k latency 50ms", "tbf rate 7777kbit burst 1514 limit 20000",
        "tbf rate 40gbit burst 1m limit 2m", "tbf rate 9gbit burst 99999 limit 2m overhead 24",
        "tbf rate 3mbit burst 5000 limit 20000 mpu 64 linklayer atm",
        "tbf rate 1mbit burst 5000 limit 20000 peakrate 2mbit mtu 1514", "htb default 7 r2q 5"})
    expect_same_after_restore(with_disciplines(std::string("$D handle 5: root ") + discipline));
}

TEST_F(OwnNetworkTest, MakesTreesOfQueueingDisciplines) {
  expect_same_after_restore(
      with_disciplines(
          "$D handle 90: root htb default 0x12; $C parent 90: classid 90:1 htb rate 50mbit;"
          "$C parent 90:1 classid 90:12 htb rate 5mbit ceil 40gbit prio 3 quantum 3000;"
          "$C parent 90:1 classid 90:2 htb rate 1mbit burst 9k; $C parent 90:2 classid 90:3 htb "
          "rate 300kbit; $D handle 2: parent 90:12 tbf rate 2mbit burst 5k latency 9ms;"
          "$D handle 7: parent 2:1 pfifo limit 33; $D parent 90:3 bfifo limit 7777;"
          "tc qdisc add dev lo root pfifo limit 3"),
      "tc qdisc add dev lo handle 3: root htb; tc class add dev lo parent 3: classid 3:1 htb "
      "rate 5mbit");
}

// Those that not every kernel has.
TEST_F(OwnNetworkTest, MakesFurtherQueueingDisciplines) {
  int made = 0;
  for (const char* discipline :
       {"codel", "codel limit 99 target 7ms interval 33ms ecn ce_threshold 1234us", "fq_codel",
        "fq_codel limit 99 flows 64 target 3333us interval 77ms quantum 500 noecn",
        "fq_codel memory_limit 1mb drop_batch 7 ce_threshold 500us", "fq",
        "fq limit 500 flow_limit 7 quantum 3000 initial_quantum 5000 maxrate 1mbit nopacing", "sfq",
        "sfq limit 99 perturb 7 quantum 3000 divisor 512 headdrop",
        "sfq limit 3000 depth 99 redflowlimit 100000 min 8000 max 60000 probability 0.10 ecn",
        "prio bands 4 priomap 0 1 2 3 0 1 2 3 0 1 2 3 0 1 2 3", "netem delay 77ms limit 50",
        "netem loss 5% 20% duplicate 3% corrupt 1% delay 5s rate 1mbit 20 100 5",
        "netem delay 9ms reorder 25% 50% gap 3 loss gemodel 1% 10% 70% 0.1% ecn"}) {
    const auto command = with_disciplines(std::string("$D handle 5: root ") + discipline);
    if (!namespace_with(command).ready()) continue;
    SCOPED_TRACE(command);
    expect_same_after_restore(command + "; $D parent 5:1 pfifo limit 4 || true");
    ++made;
  }
  if (made == 0) GTEST_SKIP() << "the kernel has none of them";
}

TEST_F(OwnNetworkTest, RefusesQueueingDisciplinesThatHoldMoreThanTheyTell) {
  const std::string tree = "$D handle 5: root htb; $C parent 5: classid 5:1 htb rate 1mbit;";
  for (const auto& [commands, word] :
       {std::pair("$D clsact", "clsact"), std::pair("$D ingress", "ingress"),
        std::pair("$D estimator 1s 4s root pfifo", "estimator"),
        std::pair("$D root stab overhead 8 pfifo", "attribute 8")})
    expect_refused(with_disciplines(commands), word);
  for (const char* parent : {"5:", "5:1"})
    expect_refused(with_disciplines(tree + "tc filter add dev q0 parent " + parent +
                                    " protocol ip u32 match ip dport 5 0xffff flowid 5:1"),
                   "filters");
  if (namespace_with(with_disciplines("$D root netem")).ready())
    expect_refused(with_disciplines("$D root netem delay 5ms 1ms"), "delays that vary");
}

TEST_F(OwnNetworkTest, RefusesImpossibleQueueingDisciplines) {
  const auto here = namespace_with(with_disciplines(
      "$D handle 5: root htb; $C parent 5: classid 5:1 htb rate 1mbit; $D parent 5:1 pfifo"));
  ASSERT_TRUE(here.ready());
  auto sound = describe(here.pid());
  ASSERT_OK(sound);
  ASSERT_EQ(sound->queueing_size(), 3);
  auto expect_bad = [&](auto spoil) {
    const auto there = namespace_with("true");
    image::Network network = *sound;
    spoil(network);
    EXPECT_FALSE(apply_networks(Networks(there.pid()), {&network})) << network.ShortDebugString();
  };
  expect_bad([](image::Network& network) { network.mutable_queueing()->SwapElements(0, 1); });
  expect_bad([](image::Network& network) { network.mutable_queueing(0)->set_type(99); });
  expect_bad([](image::Network& network) { network.mutable_queueing(0)->clear_header(); });
  expect_bad([](image::Network& network) {
    network.mutable_queueing(0)->mutable_attributes(0)->set_value("clsact");
  });
  expect_bad([](image::Network& network) {
    network.mutable_queueing(1)->mutable_attributes(1)->set_value("short");
  });
  expect_bad([](image::Network& network) {
    network.mutable_queueing(2)->mutable_attributes(1)->set_type(TCA_STAB);
  });
}

TEST_F(OwnNetworkTest, RefusesByName) {
  expect_refused("ip link add w0 type vxlan id 5 dstport 4789 local 127.0.0.1", "w0");
  expect_refused("ip nexthop add id 7 blackhole", "next hops");
  expect_refused("ip xfrm policy add dst 10.5.0.0/24 dir out", "IPsec");
  expect_refused("ip route add 10.1.0.0/16 encap ip id 7 dst 127.0.0.1 dev lo", "a route");
}

}  // namespace
}  // namespace martlet::engine
