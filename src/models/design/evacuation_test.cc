#include "models/design/evacuation.h"

#include <gmock/gmock.h>

#include "models/markov/testing.h"

namespace martlet::models {
namespace {

using testing::HasSubstr;

constexpr std::string_view kHost = R"(
rate = "10Gbit/s"
storage = "shared"
[[services]]
name = "database"
memory = "100GB"
write_rate = "10MB/s"
priority = 10
[[services]]
name = "web"
count = 5
memory = "4GB"
[[services]]
name = "archive"
memory = "400GB"
priority = 2
)";

TEST(Evacuation, MovesTheMostImportantThatFits) {
  const Evacuation evacuation = must(parse_evacuation(kHost));
  const EvacuationPlan all = must(plan_evacuation(evacuation, 3600));
  EXPECT_EQ(all.moved.size(), 7u);
  EXPECT_TRUE(all.left.empty());
  EXPECT_EQ(all.moved.front().service, "database");
  EXPECT_NEAR(all.moved.back().end_seconds, all.seconds_for_all, 1e-9);
  // The archive is worth less than what fits in its place.
  const EvacuationPlan some = must(plan_evacuation(evacuation, all.seconds_for_all - 60));
  EXPECT_EQ(some.left.size(), 1u);
  EXPECT_EQ(some.left.front().service, "archive");
  EXPECT_LE(some.moved.back().end_seconds, all.seconds_for_all - 60);
}

TEST(Evacuation, FitsAsManyAsAnExhaustiveSearch) {
  std::mt19937 random(61);
  for (int trial = 0; trial < 20; ++trial) {
    Evacuation evacuation{.title = "",
                          .bytes_per_second = 1e9,
                          .storage = Storage::kShared,
                          .longest_pause_seconds = 0,
                          .assumptions = {},
                          .services = {}};
    for (int i = 0; i < 8; ++i)
      evacuation.services.push_back({.name = fmt::format("s{}", i),
                                     .memory_bytes = 1e9 * (1 + random() % 50),
                                     .priority = static_cast<int>(1 + random() % 5)});
    const EvacuationPlan everything = must(plan_evacuation(evacuation, 1e6));
    const double deadline = everything.seconds_for_all / 2;
    int best = 0;
    for (unsigned set = 0; set < 256; ++set) {
      double seconds = 0;
      int worth = 0;
      for (size_t i = 0; i < 8; ++i)
        if (set >> i & 1) {
          // Rounded up as the plan does.
          seconds += std::ceil(everything.moved[i].seconds / deadline * 4000) / 4000 * deadline;
          worth += everything.moved[i].priority;
        }
      if (seconds <= deadline * (1 + 1e-12)) best = std::max(best, worth);
    }
    int found = 0;
    for (const EvacuationMove& move : must(plan_evacuation(evacuation, deadline)).moved)
      found += move.priority;
    EXPECT_EQ(found, best);
  }
}

TEST(Evacuation, RefusesWhatMakesNoSense) {
  EXPECT_THAT(parse_evacuation("").error().to_string(), HasSubstr("rate: is missing"));
  EXPECT_THAT(parse_evacuation("rate = '1GB/s'").error().to_string(), HasSubstr("services"));
  EXPECT_FALSE(plan_evacuation(must(parse_evacuation(kHost)), 0));
}

}  // namespace
}  // namespace martlet::models
