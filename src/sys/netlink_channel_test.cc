#include "sys/netlink_channel.h"

#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <algorithm>

#include "sys/namespaces.h"

namespace martlet::sys {
namespace {

TEST(NetlinkAttributes, AreTheSameAfterBothWays) {
  const std::vector<NetlinkAttribute> attributes = {
      {1, "odd"},
      {2 | NLA_F_NESTED, join_attributes(std::vector<NetlinkAttribute>{{7, "x"}})},
      {3, ""}};
  const auto parsed = parse_attributes(join_attributes(attributes));
  ASSERT_EQ(parsed.size(), 3u);
  EXPECT_EQ(parsed[0].value, "odd");
  EXPECT_EQ(parsed[1].number(), 2);
  EXPECT_EQ(parse_attributes(parsed[1].value)[0].value, "x");
  EXPECT_EQ(parsed[2].value, "");
}

TEST(NetlinkAttributes, EndWhereALengthIsImpossible) {
  const std::string good = join_attributes(std::vector<NetlinkAttribute>{{1, "good"}});
  for (uint16_t length : {0, 3, 200}) {
    const nlattr head{.nla_len = length, .nla_type = 2};
    EXPECT_EQ(parse_attributes(good + bytes_of(head)).size(), 1u);
  }
}

class NetlinkChannelTest : public ::testing::Test {
 protected:
  static NetlinkMessage link(const char* name) {
    return {RTM_NEWLINK,
            bytes_of(ifinfomsg{}),
            {{IFLA_IFNAME, std::string(name) + '\0'},
             {IFLA_LINKINFO,
              join_attributes(std::vector<NetlinkAttribute>{{IFLA_INFO_KIND, "bridge"}})}}};
  }

  template <typename Work>
  static void in_new_namespace(Work work) {
    auto made = new_namespace(NamespaceKind::kNetwork);
    ASSERT_TRUE(made);
    ASSERT_TRUE(run_inside(*made, NamespaceKind::kNetwork, [&]() -> Result<void> {
      auto channel = TRY(NetlinkChannel::open(NETLINK_ROUTE));
      work(channel);
      return {};
    }));
  }
};

TEST_F(NetlinkChannelTest, TellsOfWhatItMade) {
  in_new_namespace([](NetlinkChannel& channel) {
    ASSERT_TRUE(channel.change(link("d0"), NLM_F_CREATE | NLM_F_EXCL));
    auto links = channel.dump({RTM_GETLINK, bytes_of(ifinfomsg{}), {}}, sizeof(ifinfomsg));
    ASSERT_TRUE(links);
    EXPECT_TRUE(std::ranges::any_of(*links, [](const NetlinkMessage& one) {
      return *one.find(IFLA_IFNAME) == std::string("d0\0", 3);
    }));
  });
}

TEST_F(NetlinkChannelTest, FailsWithTheKernelsReason) {
  in_new_namespace([](NetlinkChannel& channel) {
    ASSERT_TRUE(channel.change(link("d0"), NLM_F_CREATE | NLM_F_EXCL));
    auto again = channel.change(link("d0"), NLM_F_CREATE | NLM_F_EXCL);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code(), Code::kAlreadyExists);
    EXPECT_TRUE(channel.change(link("d1"), NLM_F_CREATE | NLM_F_EXCL));
  });
}

}  // namespace
}  // namespace martlet::sys
