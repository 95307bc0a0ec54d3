// The stage machine of both sides, over real TLS and real rsync, with containers that are only
// flags.
#include <gmock/gmock.h>

#include <algorithm>

#include "migrate/cutting_proxy.h"
#include "migrate/migration_fixture.h"
#include "migrate/peer.h"

namespace martlet::migrate {
namespace {

using ::testing::HasSubstr;

TEST_F(Migration, MovesAContainer) {
  auto report = migrate();
  ASSERT_TRUE(report) << report.error().to_string();
  expect_only_at_destination();
  EXPECT_EQ(report->stages.size(), kStageCount);
  EXPECT_GT(report->stages[static_cast<size_t>(Stage::kTransfer)].bytes, 8u << 20);
  EXPECT_GT(report->pause_seconds, 0);
  EXPECT_LT(report->pause_seconds, report->total_seconds);
  EXPECT_EQ(observer_.done.size(), kStageCount - 1);  // without late memory
  EXPECT_THAT(to_json(*report), HasSubstr("\"pause_seconds\""));
}

TEST_F(Migration, LetsConnectionsBeAcceptedBeforeItFreezes) {
  a_.host.connections_in_setup = 3;
  auto report = migrate();
  ASSERT_TRUE(report) << report.error().to_string();
  expect_only_at_destination();
}

TEST_F(Migration, FreezesAgainIfConnectionsCameInBetween) {
  a_.host.connections_while_frozen = 3;
  auto report = migrate();
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(a_.host.connections_while_frozen, 0u);
  EXPECT_FALSE(a_.host.ran_without_network);
  expect_only_at_destination();
}

TEST_F(Migration, NamesTheListenerWhoseConnectionsAreNotAccepted) {
  a_.host.connections_in_setup = 1'000'000;
  auto report = migrate();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), Code::kUnsupported);
  EXPECT_THAT(report.error().to_string(), HasSubstr("to 0.0.0.0:6379"));
  expect_only_at_source();
}

TEST_F(Migration, RefusesATakenName) {
  b_.host.add_container(kName);
  auto report = migrate();
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().to_string(), HasSubstr("the name redis is taken"));
  EXPECT_TRUE(a_.host.copy(kName).running);
  EXPECT_TRUE(b_.host.copy(kName).running);
}

TEST_F(Migration, RefusesAnUnknownContainer) {
  must(must(a_.host.open_container(kName))->destroy());
  EXPECT_EQ(migrate().error().code(), Code::kNotFound);
}

TEST_F(Migration, ACancelRollsBack) {
  a_.set_fault("source.frozen:wait");
  std::jthread canceller([this] { cancellation_.cancel(); });
  EXPECT_EQ(migrate().error().code(), Code::kCancelled);
  expect_only_at_source();
}

TEST_F(Migration, AVanishedDestinationRollsBack) {
  start_server();
  server_.reset();
  Environment environment = a_.environment();
  auto report =
      migrate_container(environment, kName, "host-b", options_, tuning_, cancellation_, observer_);
  EXPECT_EQ(report.error().code(), Code::kPeerLost);
  expect_only_at_source();
}

TEST_F(Migration, MovesAContainerOverManyConnections) {
  options_.streams = kMaxStreams;
  auto report = migrate();
  ASSERT_TRUE(report) << report.error().to_string();
  expect_only_at_destination();
  EXPECT_GT(report->stages[static_cast<size_t>(Stage::kTransfer)].bytes, 8u << 20);
}

// Only a connection for the state carries so much.
TEST_F(Migration, ACutConnectionOfManyRollsBack) {
  options_.streams = 4;
  start_server();
  CuttingProxy proxy(server_->port(), 1 << 20);
  a_.host.peer_port = proxy.port();
  auto report = migrate();
  ASSERT_FALSE(report);
  EXPECT_TRUE(proxy.has_cut());
  EXPECT_EQ(report.error().code(), Code::kPeerLost);
  EXPECT_THAT(report.error().to_string(), HasSubstr(" of 4 for the state: "));
  expect_only_at_source();
}

TEST_F(Migration, AConnectionForTheStateOfAnUnknownMigrationIsClosed) {
  start_server();
  Peer stranger(a_.tls, a_.host, "host-b", random_id());
  auto state = must(stranger.open_state(2, {}));
  Result<void> written;
  const std::vector<std::byte> bytes(1 << 20);
  const std::span<const std::byte> pieces[] = {bytes};
  while (written) written = state->write(pieces);
  EXPECT_EQ(written.error().code(), Code::kPeerLost);
}

class FailingStep : public Migration, public ::testing::WithParamInterface<FaultStep> {
 protected:
  std::string step() const { return std::string(GetParam().name); }
  void expect_one_copy();
};

TEST_P(FailingStep, LeavesOneCopy) {
  expect_one_copy();
}

TEST_P(FailingStep, LeavesOneCopyWithManyConnections) {
  options_.streams = 4;
  expect_one_copy();
}

void FailingStep::expect_one_copy() {
  (step().starts_with("source") ? a_ : b_).set_fault(step() + ":fail");
  auto report = migrate();
  if (GetParam().owner == Owner::kSource) {
    ASSERT_FALSE(report);
    EXPECT_THAT(report.error().to_string(), HasSubstr("fault injected at " + step()));
    expect_only_at_source();
  } else {
    ASSERT_TRUE(report) << report.error().to_string();
    start_next_agent(a_);
    expect_only_at_destination();
  }
}

// Memory is followed in tests/faults/: there is none here.
std::vector<FaultStep> steps_without_rounds() {
  std::vector<FaultStep> steps;
  std::ranges::copy_if(fault_steps(), std::back_inserter(steps), [](const FaultStep& step) {
    return step.passed_by == PassedBy::kEveryMode;
  });
  return steps;
}

INSTANTIATE_TEST_SUITE_P(Steps, FailingStep, ::testing::ValuesIn(steps_without_rounds()),
                         [](const auto& step) {
                           std::string name(step.param.name);
                           std::ranges::replace_if(
                               name, [](char c) { return c == '.' || c == '-'; }, '_');
                           return name;
                         });

TEST(FaultPoint, KnowsItsSteps) {
  EXPECT_TRUE(parse_fault("source.frozen:die"));
  EXPECT_TRUE(parse_fault("destination.committed:stop"));
  EXPECT_FALSE(parse_fault("source.nowhere:die"));
  EXPECT_FALSE(parse_fault("source.frozen:explode"));
  EXPECT_FALSE(parse_fault("source.frozen"));
}

}  // namespace
}  // namespace martlet::migrate
