#include "sys/netlink.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "sys/announce.h"
#include "sys/namespaces.h"

namespace martlet::sys {
namespace {

// A network namespace of the test's own, which vanishes with the process.
class NetlinkTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    auto opened = Netlink::open();
    ASSERT_TRUE(opened) << opened.error().to_string();
    netlink_ = std::make_unique<Netlink>(std::move(*opened));
  }
  std::unique_ptr<Netlink> netlink_;
};

#define ASSERT_OK(result) ASSERT_TRUE(result) << (result).error().to_string()

TEST_F(NetlinkTest, JoinsAVethToABridge) {
  ASSERT_OK(netlink_->add_bridge("br0"));
  ASSERT_OK(netlink_->add_veth("veth0", "eth0", HostPid(gettid())));
  EXPECT_EQ(*netlink_->master_of("veth0"), 0);
  ASSERT_OK(netlink_->set_master("veth0", "br0"));
  EXPECT_EQ(*netlink_->master_of("veth0"), *netlink_->index_of("br0"));
  ASSERT_OK(netlink_->clear_master("veth0"));
  EXPECT_EQ(*netlink_->master_of("veth0"), 0);
  ASSERT_OK(netlink_->remove_link("veth0"));
  EXPECT_EQ(netlink_->index_of("eth0").error().code(), Code::kNotFound);
}

std::string mac_of(const std::string& link) {
  Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  link.copy(request.ifr_name, IFNAMSIZ - 1);
  EXPECT_EQ(::ioctl(socket.get(), SIOCGIFHWADDR, &request), 0) << link;
  return {request.ifr_hwaddr.sa_data, ETH_ALEN};
}

TEST_F(NetlinkTest, ABridgeTakesTheAddressOfAPortUnlessItKeepsItsOwn) {
  for (bool keep : {false, true}) {
    ASSERT_OK(netlink_->add_bridge("br0"));
    const std::string before = mac_of("br0");
    if (keep) {
      ASSERT_OK(netlink_->keep_mac("br0"));
    }
    ASSERT_OK(netlink_->add_veth("veth0", "eth0", HostPid(gettid())));
    ASSERT_OK(netlink_->set_master("veth0", "br0"));
    EXPECT_EQ(mac_of("br0"), keep ? before : mac_of("veth0"));
    ASSERT_OK(netlink_->remove_link("veth0"));
    ASSERT_OK(netlink_->remove_link("br0"));
  }
}

TEST_F(NetlinkTest, ConfiguresALink) {
  ASSERT_OK(netlink_->add_veth("veth0", "peer", HostPid(gettid())));
  ASSERT_OK(netlink_->rename("peer", "eth0"));
  ASSERT_OK(netlink_->set_mac("eth0", *parse_mac("02:00:00:00:00:05")));
  ASSERT_OK(netlink_->set_up("veth0"));
  ASSERT_OK(netlink_->set_up("eth0"));
  for (const char* address : {"10.1.0.5/16", "fd00::5/64"})
    ASSERT_OK(netlink_->add_address("eth0", *parse_prefix(address)));
  for (const char* gateway : {"10.1.0.1", "fd00::1"})
    ASSERT_OK(netlink_->add_default_route("eth0", *parse_ip(gateway)));
  EXPECT_EQ(netlink_->add_address("eth0", *parse_prefix("10.1.0.5/16")).error().code(),
            Code::kAlreadyExists);
}

TEST_F(NetlinkTest, NamesTheLinkThatIsMissing) {
  const auto result = netlink_->set_up("nothing0");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kNotFound);
  EXPECT_NE(result.error().to_string().find("nothing0"), std::string::npos);
}

TEST_F(NetlinkTest, WorksInAnotherNamespaceFromHere) {
  const Fd name_space = *open_namespace(HostPid(gettid()), NamespaceKind::kNetwork);
  ASSERT_EQ(unshare(CLONE_NEWNET), 0);
  auto there = Netlink::open_in(name_space);
  ASSERT_OK(there);
  ASSERT_OK(there->add_bridge("br7"));
  EXPECT_TRUE(netlink_->index_of("br7"));
  EXPECT_FALSE(Netlink::open()->index_of("br7"));
}

// Frames with this EtherType that arrive at a link.
class Listener {
 public:
  Listener(const Netlink& netlink, const std::string& link, uint16_t type)
      : socket_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(type))) {
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(type);
    address.sll_ifindex = *netlink.index_of(link);
    EXPECT_EQ(bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  // Waits for a frame that contains these bytes.
  bool hears(std::string_view bytes) {
    for (;;) {
      pollfd readable{socket_.get(), POLLIN, 0};
      if (poll(&readable, 1, 5000) != 1) return false;
      char frame[2048];
      const ssize_t size = recv(socket_.get(), frame, sizeof frame, 0);
      if (size > 0 && std::string_view(frame, static_cast<size_t>(size)).contains(bytes))
        return true;
    }
  }

 private:
  Fd socket_;
};

TEST_F(NetlinkTest, AnnouncesAddresses) {
  const MacAddress mac = *parse_mac("02:00:00:00:00:05");
  ASSERT_OK(netlink_->add_veth("veth0", "eth0", HostPid(gettid())));
  ASSERT_OK(netlink_->set_up("veth0"));
  ASSERT_OK(netlink_->set_up("eth0"));
  Listener arp(*netlink_, "veth0", ETH_P_ARP);
  Listener ipv6(*netlink_, "veth0", ETH_P_IPV6);
  ASSERT_OK(announce_address("eth0", mac, *parse_ip("10.1.0.5")));
  ASSERT_OK(announce_address("eth0", mac, *parse_ip("fd00::5")));
  EXPECT_TRUE(
      arp.hears(std::string_view("\x02\0\0\0\0\x05\x0a\x01\0\x05\0\0\0\0\0\0\x0a\x01\0\x05", 20)));
  // A neighbour advertisement; the kernel checks the rest of it when it arrives.
  EXPECT_TRUE(ipv6.hears(std::string_view("\x88\0", 2)));
}

// What the link has received so far, by /proc/thread-self/net/dev.
uint64_t bytes_received(const std::string& link) {
  const std::string table = *read_file("/proc/thread-self/net/dev");
  const size_t at = table.find(link + ":");
  EXPECT_NE(at, std::string::npos);
  return std::stoull(table.substr(at + link.size() + 1));
}

// Of what is sent at once, a full bucket and little more arrives at once.
TEST_F(NetlinkTest, LimitsTheRateOfALink) {
  ASSERT_OK(netlink_->add_veth("veth0", "eth0", HostPid(gettid())));
  ASSERT_OK(netlink_->set_up("veth0"));
  ASSERT_OK(netlink_->set_up("eth0"));
  for (const uint64_t rate : {1'000'000'000, 125'000})
    ASSERT_OK(netlink_->limit_rate("veth0", rate));
  const Fd socket(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_IP)));
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_protocol = htons(ETH_P_IP);
  to.sll_ifindex = *netlink_->index_of("veth0");
  to.sll_halen = ETH_ALEN;
  const std::string frame(1000, 'x');
  for (int i = 0; i < 2000; ++i)
    (void)::sendto(socket.get(), frame.data(), frame.size(), MSG_DONTWAIT,
                   reinterpret_cast<const sockaddr*>(&to), sizeof to);
  EXPECT_GT(bytes_received("eth0"), 200'000u);
  EXPECT_LT(bytes_received("eth0"), 600'000u);
  EXPECT_EQ(netlink_->limit_rate("veth0", 0).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(netlink_->limit_rate("veth7", 1000).error().code(), Code::kNotFound);
}

TEST_F(NetlinkTest, JoinsAnEmptyNamespace) {
  const Fd other = *new_namespace(NamespaceKind::kNetwork);
  ASSERT_OK(run_inside(other, NamespaceKind::kNetwork, [&]() -> Result<void> {
    return TRY(Netlink::open()).add_veth("eth0", "veth0", HostPid(getpid()));
  }));
  EXPECT_TRUE(netlink_->index_of("veth0"));
  EXPECT_EQ(netlink_->index_of("eth0").error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace martlet::sys
