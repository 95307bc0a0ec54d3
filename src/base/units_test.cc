#include "base/units.h"

#include <gtest/gtest.h>

namespace martlet {
namespace {

using namespace std::chrono_literals;

TEST(Units, ReadDurations) {
  EXPECT_EQ(parse_duration("10ms"), Nanoseconds(10ms));
  EXPECT_EQ(parse_duration("1.5s"), Nanoseconds(1500ms));
  EXPECT_EQ(parse_duration("1m"), Nanoseconds(1min));
  EXPECT_EQ(parse_duration("2h"), Nanoseconds(2h));
  EXPECT_EQ(parse_duration("250us"), Nanoseconds(250us));
  EXPECT_EQ(parse_duration("7ns"), Nanoseconds(7));
  EXPECT_EQ(parse_duration("0"), Nanoseconds(0));
  EXPECT_EQ(parse_duration("0s"), Nanoseconds(0));
}

TEST(Units, ReadRatesInBytesPerSecond) {
  EXPECT_EQ(parse_rate("200Mbit/s"), 25'000'000u);
  EXPECT_EQ(parse_rate("200Mbit"), 25'000'000u);
  EXPECT_EQ(parse_rate("2.5Gbit/s"), 312'500'000u);
  EXPECT_EQ(parse_rate("64kbit/s"), 8'000u);
  EXPECT_EQ(parse_rate("50MB/s"), 50'000'000u);
  EXPECT_EQ(parse_rate("1GB/s"), 1'000'000'000u);
  EXPECT_EQ(parse_rate("4MiB/s"), 4u << 20);
  EXPECT_EQ(parse_rate("512B/s"), 512u);
  EXPECT_EQ(parse_rate("0"), 0u);
}

TEST(Units, RefuseWhatIsNotOne) {
  for (const char* text : {"", "ms", "10", "-1s", "10 ms", "10sec", "1e3s", "nans", "infs", "0.1ns",
                           "1s/s", "99999999999h", "0x10s"})
    EXPECT_FALSE(parse_duration(text)) << text;
  for (const char* text :
       {"", "50", "-1MB/s", "50MB/m", "50mb/s", "50MB/s/s", "50 MB/s", "99999999999GB/s", "1bit/s"})
    EXPECT_FALSE(parse_rate(text)) << text;
  EXPECT_EQ(parse_rate("fast").error().to_string(),
            "'fast' is not a rate such as 200Mbit/s or 50MB/s");
}

}  // namespace
}  // namespace martlet
