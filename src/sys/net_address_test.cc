#include "sys/net_address.h"

#include <gtest/gtest.h>

namespace martlet::sys {
namespace {

TEST(NetAddress, PrintsWhatItParsed) {
  for (const char* text : {"10.1.0.5/16", "0.0.0.0/0", "fd00::5/64", "::/128"})
    EXPECT_EQ(to_string(*parse_prefix(text)), text);
  EXPECT_EQ(to_string(*parse_prefix("FD00:0:0::05/64")), "fd00::5/64");
  EXPECT_EQ(to_string(*parse_mac("02:0a:FF:00:00:05")), "02:0a:ff:00:00:05");
}

TEST(NetAddress, RefusesWhatIsNotExact) {
  for (const char* text : {"", "10.1.0.5", "10.1.0.5/", "10.1.0.5/33", "10.1.0.5/-1", "10.1.0.5/8x",
                           "10.1.0.256/8", "fd00::5/129", "10.1/8", " 10.1.0.5/8"})
    EXPECT_FALSE(parse_prefix(text)) << text;
  for (const char* text : {"", "02:00:00:00:00", "02:00:00:00:00:0g", "02-00-00-00-00-05",
                           "02:00:00:00:00:055", "01:00:00:00:00:05"})
    EXPECT_FALSE(parse_mac(text)) << text;
}

TEST(NetAddress, KnowsWhatANetworkContains) {
  const IpPrefix four = *parse_prefix("10.1.200.5/17");
  EXPECT_TRUE(four.contains(*parse_ip("10.1.128.1")));
  EXPECT_FALSE(four.contains(*parse_ip("10.1.127.1")));
  EXPECT_FALSE(four.contains(*parse_ip("fd00::1")));
  EXPECT_TRUE(parse_prefix("fd00::5/64")->contains(*parse_ip("fd00::ffff")));
}

TEST(NetAddress, RandomMacsAreLocalAndForOneInterface) {
  const MacAddress mac = *random_mac();
  EXPECT_EQ(mac.bytes[0] & 3, 2);
  EXPECT_NE(mac, *random_mac());
}

}  // namespace
}  // namespace martlet::sys
