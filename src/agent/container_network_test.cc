#include "agent/container_network.h"

#include <gtest/gtest.h>

namespace martlet::agent {
namespace {

sys::MacAddress mac(const char* text) {
  return sys::parse_mac(text).value();
}

TEST(HostEndMac, IsHighAndUnicast) {
  EXPECT_EQ(host_end_mac(mac("02:00:00:00:00:04")), mac("fe:00:00:00:00:05"));
}

TEST(HostEndMac, DiffersFromAnInsideThatIsJustAsHigh) {
  EXPECT_NE(host_end_mac(mac("fe:d6:1c:23:a6:71")), mac("fe:d6:1c:23:a6:71"));
}

TEST(HostEndMac, OfNeighbouringContainersDiffer) {
  EXPECT_NE(host_end_mac(mac("02:00:00:00:00:04")), host_end_mac(mac("02:00:00:00:00:05")));
}

}  // namespace
}  // namespace martlet::agent
