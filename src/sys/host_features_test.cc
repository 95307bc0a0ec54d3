#include "sys/host_features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/capabilities.h"

namespace martlet::sys {
namespace {

TEST(HostFeatures, ParsesCpuFlagsAndMemory) {
  EXPECT_THAT(parse_cpu_flags("processor\t: 0\nflags\t\t: fpu avx2 avx512f\nbugs\t\t: x\n"),
              testing::ElementsAre("fpu", "avx2", "avx512f"));
  EXPECT_TRUE(parse_cpu_flags("").empty());
  EXPECT_EQ(parse_available_memory("MemTotal: 8 kB\nMemFree:  7 kB\nMemAvailable: 5 kB\n"), 5120u);
  EXPECT_EQ(parse_available_memory("MemTotal: 8 kB\n"), 0u);
}

TEST(HostFeatures, KnowsThisHost) {
  EXPECT_FALSE(kernel_release().empty());
  EXPECT_THAT(*cpu_features(), testing::Contains("fpu"));
  EXPECT_GT(*available_memory(), 0u);
  EXPECT_GT(*available_disk("/"), 0u);
  EXPECT_FALSE(available_disk("/no/such/directory"));
}

TEST(Capabilities, AreNamedAsTheRuntimeNamesThem) {
  const auto names = own_capabilities();
  ASSERT_TRUE(names);
  for (const std::string& name : *names) EXPECT_THAT(name, testing::StartsWith("CAP_"));
}

}  // namespace
}  // namespace martlet::sys
