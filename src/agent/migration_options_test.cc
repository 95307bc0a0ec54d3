#include "agent/migration_options.h"

#include <gtest/gtest.h>

namespace martlet::agent {
namespace {

using namespace std::chrono_literals;

std::string refusal(const MigrationOptions& given) {
  const auto options = to_options(given);
  return options ? "" : options.error().to_string();
}

TEST(MigrationOptions, DefaultsAreTheEngines) {
  const auto options = to_options(MigrationOptions());
  ASSERT_TRUE(options);
  const migrate::Options defaults;
  EXPECT_EQ(options->mode, migrate::Mode::kAuto);
  EXPECT_EQ(options->max_pause, defaults.max_pause);
  EXPECT_EQ(options->max_rounds, defaults.max_rounds);
  EXPECT_EQ(options->on_no_convergence, migrate::OnNoConvergence::kThrottle);
  EXPECT_EQ(options->streams, 1u);
}

TEST(MigrationOptions, EveryValueArrives) {
  MigrationOptions given;
  given.set_mode(MODE_HYBRID);
  given.set_stop_rule(STOP_CRITERION_1);
  given.set_on_no_convergence(NO_CONVERGENCE_POSTCOPY);
  given.set_max_pause_ns(Nanoseconds(10ms).count());
  given.set_max_rounds(4);
  given.set_max_time_ns(Nanoseconds(1min).count());
  given.set_bandwidth(25'000'000);
  given.set_streams(16);
  given.set_compression(COMPRESSION_ZSTD);
  given.set_push_after_ns(Nanoseconds(2s).count());
  const auto options = to_options(given);
  ASSERT_TRUE(options) << options.error().to_string();
  EXPECT_EQ(options->mode, migrate::Mode::kHybrid);
  EXPECT_EQ(options->stop_rule, migrate::StopRule::kCriterion1);
  EXPECT_EQ(options->on_no_convergence, migrate::OnNoConvergence::kPostcopy);
  EXPECT_EQ(options->max_pause, Nanoseconds(10ms));
  EXPECT_EQ(options->max_rounds, 4u);
  EXPECT_EQ(options->max_time, Nanoseconds(1min));
  EXPECT_EQ(options->bandwidth, 25'000'000u);
  EXPECT_EQ(options->streams, 16u);
  EXPECT_EQ(options->compression, migrate::Compression::kZstd);
  EXPECT_EQ(options->push_after, Nanoseconds(2s));
  EXPECT_EQ(to_message(*options).SerializeAsString(), given.SerializeAsString());
}

TEST(MigrationOptions, RefusesImpossibleValues) {
  MigrationOptions given;
  given.set_max_rounds(0);
  EXPECT_EQ(refusal(given), "max-rounds must be 1 to 1000");
  given = {};
  given.set_streams(0);
  EXPECT_EQ(refusal(given), "streams must be 1 to 16");
  given.set_streams(17);
  EXPECT_EQ(refusal(given), "streams must be 1 to 16");
  given = {};
  given.set_max_pause_ns(0);
  EXPECT_EQ(refusal(given), "max-pause must be longer than 0");
  given = {};
  given.set_bandwidth(999);
  EXPECT_EQ(refusal(given), "bandwidth must be 0 (no limit) or at least 1kB/s");
  given = {};
  given.set_max_time_ns(1);
  EXPECT_EQ(refusal(given), "max-time cannot be shorter than max-pause");
  given = {};
  given.set_push_after_ns(-1);
  EXPECT_EQ(refusal(given), "a duration cannot be negative");
  given = {};
  given.set_mode(static_cast<MigrationMode>(17));
  EXPECT_EQ(refusal(given), "there is no mode 17");
}

TEST(MigrationOptions, RefusesWhatHasNoEffect) {
  MigrationOptions given;
  given.set_mode(MODE_STOP);
  given.set_max_rounds(3);
  EXPECT_EQ(refusal(given), "mode stop has no rounds, so max-rounds means nothing");
  given.set_mode(MODE_POSTCOPY);
  EXPECT_EQ(refusal(given), "mode postcopy has no rounds, so max-rounds means nothing");
  given = {};
  given.set_mode(MODE_PRECOPY);
  given.set_push_after_ns(0);
  EXPECT_EQ(refusal(given), "mode precopy leaves no memory behind, so push-after means nothing");
  given.set_on_no_convergence(NO_CONVERGENCE_POSTCOPY);
  EXPECT_EQ(refusal(given), "");
}

}  // namespace
}  // namespace martlet::agent
