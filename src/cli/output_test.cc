#include "cli/output.h"

#include <gtest/gtest.h>

namespace martlet::cli {
namespace {

TEST(Output, RoundsBytesAndTimesForPeople) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1500), "1.5 kB");
  EXPECT_EQ(human_bytes(999'960), "1.0 MB");
  EXPECT_EQ(human_bytes(5e15), "5000.0 TB");
  EXPECT_EQ(human_seconds(12.345), "12.35 s");
  EXPECT_EQ(human_seconds(0.0123), "12.30 ms");
  EXPECT_EQ(human_seconds(12e-6), "12 us");
  EXPECT_EQ(human_age(-5), "0 s");
  EXPECT_EQ(human_age(119), "119 s");
  EXPECT_EQ(human_age(120), "2 min");
  EXPECT_EQ(human_age(7200), "2 h");
  EXPECT_EQ(human_age(200'000), "2 d");
}

TEST(Output, AlignsTables) {
  EXPECT_EQ(format_table({{"NAME", "N"}, {"a", "10"}, {"long", "5"}}, {1}),
            "NAME   N\na     10\nlong   5\n");
  EXPECT_EQ(format_table({}), "");
}

TEST(Output, ShowsAbsentNumbersAsNull) {
  agent::ContainerInfo container;
  container.mutable_record()->mutable_declaration()->set_name("web");
  container.mutable_record()->set_state(agent::STATE_EXITED);
  const Json json = to_json(container);
  EXPECT_EQ(json["state"], "exited");
  EXPECT_TRUE(json["pid"].is_null());
  EXPECT_TRUE(json["exit_code"].is_null());
  container.mutable_record()->set_exit_code(0);
  EXPECT_EQ(to_json(container)["exit_code"], 0);
}

}  // namespace
}  // namespace martlet::cli
