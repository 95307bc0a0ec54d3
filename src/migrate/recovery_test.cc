// What a restarted agent makes of a journal, and what must succeed in the end.
#include "migrate/recovery.h"

#include <gmock/gmock.h>

#include "migrate/migration_fixture.h"

namespace martlet::migrate {
namespace {

using ::testing::HasSubstr;

class Recovery : public Migration {
 protected:
  // An entry about the copy that `host` has.
  JournalEntry note(TestHost& host, JournalState state) {
    JournalEntry made{.migration = random_id(),
                      .container = kName,
                      .incarnation = host.host.copy(kName).incarnation,
                      .state = state,
                      .peer = &host == &a_ ? "host-b" : "host-a"};
    must(host.journal.write(made));
    return made;
  }
  std::vector<Unfinished> recover(TestHost& host) {
    return must(recover_migrations(host.host, host.journal));
  }
  void reserve_at_destination() { must(b_.host.reserve(kName, random_id())); }
  // As another start of the host's kernel finds it.
  void reboot(TestHost& host) { host.journal = must(Journal::open(host.state.path(), "later")); }
};

TEST_F(Recovery, APreparingSourceGoesOn) {
  must(must(a_.host.open_container(kName))->hold_network());
  note(a_, JournalState::kPreparing);
  EXPECT_TRUE(recover(a_).empty());
  expect_only_at_source();
}

TEST_F(Recovery, APreparedDestinationIsRemoved) {
  reserve_at_destination();
  note(b_, JournalState::kPrepared);
  EXPECT_TRUE(recover(b_).empty());
  expect_only_at_source();
}

TEST_F(Recovery, ACommittedDestinationRunsAndRemembersThatItDid) {
  reserve_at_destination();
  JournalEntry made = note(b_, JournalState::kCommitted);
  EXPECT_TRUE(recover(b_).empty());
  EXPECT_TRUE(b_.host.copy(kName).running);
  EXPECT_TRUE(b_.host.copy(kName).attached);
  EXPECT_EQ(must(b_.journal.find(made.migration)).state, JournalState::kArrived);
}

// Its tasks went with the host, and no source was told that it could remove its own.
TEST_F(Recovery, ACommitIsTakenBackByARestartOfTheHost) {
  reserve_at_destination();
  note(b_, JournalState::kCommitted);
  reboot(b_);
  recover(b_);
  expect_only_at_source();
}

// An entry stays when the source could not be asked to forget; the container has left since and is
// in doubt, or another one has taken its name.
TEST_F(Recovery, AnOldArrivalTouchesNothing) {
  JournalEntry arrived = note(a_, JournalState::kArrived);
  note(a_, JournalState::kCommitting);
  must(must(a_.host.open_container(kName))->hold_network());
  EXPECT_EQ(recover(a_).size(), 1u);
  EXPECT_FALSE(a_.host.copy(kName).attached);
  EXPECT_EQ(must(a_.journal.find(arrived.migration)).state, JournalState::kArrived);
}

class OtherIncarnation : public Recovery, public ::testing::WithParamInterface<JournalState> {};

TEST_P(OtherIncarnation, IsNotTouched) {
  JournalEntry made = note(a_, GetParam());
  a_.host.add_container(kName);
  std::string incarnation = a_.host.copy(kName).incarnation;
  must(must(a_.host.open_container(kName))->hold_network());
  recover(a_);
  EXPECT_EQ(a_.host.copy(kName).incarnation, incarnation);
  EXPECT_FALSE(a_.host.copy(kName).attached);
}

INSTANTIATE_TEST_SUITE_P(States, OtherIncarnation,
                         ::testing::Values(JournalState::kPreparing, JournalState::kCommitting,
                                           JournalState::kLeaving, JournalState::kPrepared,
                                           JournalState::kCommitted));

TEST_F(Recovery, AnOlderAttemptDoesNotFreeAContainerInDoubt) {
  JournalEntry older = note(a_, JournalState::kPreparing);
  note(a_, JournalState::kCommitting);
  must(must(a_.host.open_container(kName))->hold_network());
  auto left = recover(a_);
  ASSERT_EQ(left.size(), 1u);
  EXPECT_NE(left[0].container, nullptr) << "others could change a container in doubt";
  EXPECT_FALSE(a_.host.copy(kName).attached);
  EXPECT_EQ(a_.journal.find(older.migration).error().code(), Code::kNotFound);
}

TEST_F(Recovery, WhatFailsIsTriedAgain) {
  start_server();
  must(must(a_.host.open_container(kName))->hold_network());
  note(a_, JournalState::kPreparing);
  a_.host.failing_attachments = 2;
  start_next_agent(a_);
  expect_only_at_source();
}

// The source stopped between asking for the commit and the answer.
class InDoubt : public Recovery {
 protected:
  InDoubt() {
    start_server();
    must(must(a_.host.open_container(kName))->hold_network());
    made_ = note(a_, JournalState::kCommitting);
  }
  void note_at_destination(JournalState state) {
    must(b_.host.reserve(kName, made_.migration));
    made_.state = state;
    made_.peer = "host-a";
    made_.incarnation = made_.migration;
    must(b_.journal.write(made_));
  }
  JournalEntry made_;
};

TEST_F(InDoubt, GoesOnIfTheDestinationNeverCommitted) {
  start_next_agent(a_);
  expect_only_at_source();
}

TEST_F(InDoubt, IsRemovedIfItArrived) {
  note_at_destination(JournalState::kCommitted);
  recover(b_);
  start_next_agent(a_);
  EXPECT_FALSE(a_.host.has(kName));
  EXPECT_TRUE(b_.host.copy(kName).running);
  EXPECT_TRUE(must(a_.journal.list()).empty());
  EXPECT_TRUE(must(b_.journal.list()).empty());
}

TEST_F(InDoubt, StaysFrozenWhileTheDestinationMayStillGiveItBack) {
  note_at_destination(JournalState::kCommitted);
  auto left = recover(a_);
  ASSERT_EQ(left.size(), 1u);
  std::jthread stopping([this] { a_.stopping.cancel(); });
  Environment environment = a_.environment();
  finish_migration(environment, std::move(left[0]));
  EXPECT_FALSE(a_.host.copy(kName).attached);
  EXPECT_EQ(must(a_.journal.list()).size(), 1u);
}

// What must succeed in the end is repeated until it does.
class Insisting : public Migration {};

TEST_F(Insisting, ACommittedContainerIsMadeToRun) {
  b_.host.failing_runs = 1;
  auto report = migrate();
  ASSERT_TRUE(report) << report.error().to_string();
  expect_only_at_destination();
}

TEST_F(Insisting, WhatWasBuiltIsRemoved) {
  b_.host.failing_removals = 1;
  b_.set_fault("destination.committing:fail");
  ASSERT_FALSE(migrate());
  expect_only_at_source();
}

TEST_F(Insisting, ASourceThatCannotBeAttachedRunsAndIsAttachedLater) {
  a_.host.failing_attachments = 1;
  a_.set_fault("source.frozen:fail");
  ASSERT_FALSE(migrate());
  EXPECT_TRUE(a_.host.copy(kName).running);
  start_next_agent(a_);
  expect_only_at_source();
}

// The agent is asked to stop while the destination does not tell.
TEST_F(Insisting, AStoppingSourceLeavesADoubtAsItIs) {
  b_.set_fault("destination.commit:wait");
  a_.set_fault("source.asked:fail");
  std::jthread stopping([this] { a_.stopping.cancel(); });
  auto report = migrate();
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().to_string(), HasSubstr("stays frozen"));
  EXPECT_FALSE(a_.host.copy(kName).running);
  EXPECT_EQ(must(a_.journal.list())[0].state, JournalState::kCommitting);
}

TEST_F(Insisting, OnlyAnArrivalIsForgotten) {
  start_server();
  JournalEntry made{.migration = random_id(),
                    .container = kName,
                    .incarnation = "",
                    .state = JournalState::kPrepared,
                    .peer = "host-a"};
  must(b_.journal.write(made));
  Peer peer(a_.tls, a_.host, "host-b", made.migration);
  EXPECT_FALSE(peer.forget({}));
  EXPECT_TRUE(b_.journal.find(made.migration));
}

}  // namespace
}  // namespace martlet::migrate
