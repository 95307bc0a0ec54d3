// The stage machine of both sides, over real TLS and real rsync, with containers that are only
// flags.
#include <gmock/gmock.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "migrate/fake_host.h"
#include "migrate/migration_server.h"
#include "migrate/migration_source.h"
#include "migrate/recovery.h"

namespace martlet::migrate {
namespace {

using ::testing::HasSubstr;

constexpr const char* kName = "redis";

// The only process of a PID namespace of its own.
class LonelyProcess {
 public:
  LonelyProcess()
      : pid_(static_cast<pid_t>(::syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0))) {
    if (pid_ == 0)
      for (;;) ::pause();
  }
  ~LonelyProcess() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  LonelyProcess(const LonelyProcess&) = delete;
  LonelyProcess& operator=(const LonelyProcess&) = delete;
  HostPid pid() const { return HostPid(pid_); }

 private:
  pid_t pid_;
};

class QuietObserver final : public Observer {
 public:
  void on_progress(const Progress&) override {}
  void on_stage_done(const StageReport& stage) override { done.push_back(stage.stage); }
  std::vector<Stage> done;
};

// One host with its agent's parts.
struct TestHost {
  TestHost(TestAuthority& authority, const std::string& name, HostPid init)
      : host(name, init), tls(authority.context_of(name)) {}

  Environment environment() {
    return {.host = host, .tls = tls, .journal = journal, .faults = *faults, .clock = clock};
  }
  void set_fault(const std::string& text) { faults = must(parse_fault(text)); }

  FakeHost host;
  TlsContext tls;
  TemporaryDirectory state;
  Journal journal = must(Journal::open(state.path()));
  std::unique_ptr<FaultPoint> faults = must(parse_fault(""));
  SystemClock clock;
};

class Migration : public ::testing::Test {
 protected:
  Migration() { a_.host.add_container(kName); }

  void start_server() {
    server_ = must(MigrationServer::start(b_.environment(), {.host = "127.0.0.1", .port = "0"}));
    a_.host.peer_port = server_->port();
  }

  Result<MigrationReport> migrate() {
    if (!server_) start_server();
    Environment environment = a_.environment();
    return migrate_container(environment, kName, "host-b", cancellation_, observer_);
  }

  void expect_only_at_source() {
    EXPECT_TRUE(a_.host.copy(kName).running);
    EXPECT_TRUE(a_.host.copy(kName).attached);
    EXPECT_FALSE(b_.host.has(kName));
    EXPECT_FALSE(std::filesystem::exists(b_.host.directory_of(kName)));
    EXPECT_TRUE(must(a_.journal.list()).empty());
    EXPECT_TRUE(must(b_.journal.list()).empty());
  }

  void expect_only_at_destination() {
    EXPECT_TRUE(b_.host.copy(kName).running);
    EXPECT_TRUE(b_.host.copy(kName).attached);
    EXPECT_FALSE(a_.host.has(kName));
    EXPECT_EQ(read_text(b_.host.directory_of(kName) + "/upper/data"), "payload of redis");
    EXPECT_TRUE(must(a_.journal.list()).empty());
  }

  LonelyProcess process_;
  TestAuthority authority_;
  TestHost a_{authority_, "host-a", process_.pid()};
  TestHost b_{authority_, "host-b", process_.pid()};
  Cancellation cancellation_ = must(Cancellation::create());
  QuietObserver observer_;
  std::unique_ptr<MigrationServer> server_;
};

TEST_F(Migration, MovesAContainer) {
  auto report = migrate();
  ASSERT_TRUE(report) << report.error().to_string();
  expect_only_at_destination();
  EXPECT_EQ(report->stages.size(), kStageCount);
  EXPECT_GT(report->stages[static_cast<size_t>(Stage::kTransfer)].bytes, 8u << 20);
  EXPECT_GT(report->pause_seconds, 0);
  EXPECT_LT(report->pause_seconds, report->total_seconds);
  EXPECT_EQ(observer_.done.size(), kStageCount);
  EXPECT_THAT(to_json(*report), HasSubstr("\"pause_seconds\""));
}

TEST_F(Migration, LetsConnectionsBeAcceptedBeforeItFreezes) {
  a_.host.connections_in_setup = 3;
  auto report = migrate();
  ASSERT_TRUE(report) << report.error().to_string();
  expect_only_at_destination();
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
  auto report = migrate_container(environment, kName, "host-b", cancellation_, observer_);
  EXPECT_EQ(report.error().code(), Code::kPeerLost);
  expect_only_at_source();
}

class FailingStep : public Migration, public ::testing::WithParamInterface<const char*> {};

TEST_P(FailingStep, RollsBack) {
  std::string step = GetParam();
  (step.starts_with("source") ? a_ : b_).set_fault(step + ":fail");
  auto report = migrate();
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().to_string(), HasSubstr("fault injected at " + step));
  expect_only_at_source();
}

INSTANTIATE_TEST_SUITE_P(Steps, FailingStep,
                         ::testing::Values("source.preflight", "source.first-copy",
                                           "source.sandbox", "source.frozen", "source.second-copy",
                                           "source.captured", "source.restored",
                                           "destination.accepted", "destination.sandbox",
                                           "destination.restoring", "destination.restored"));

// The source has asked for the commit and must find out how it ended.
TEST_F(Migration, AFailureBeforeTheCommitIsResolvedAsAborted) {
  b_.set_fault("destination.committing:fail");
  ASSERT_FALSE(migrate());
  expect_only_at_source();
}

TEST_F(Migration, ALostAnswerAfterTheCommitIsResolvedAsCommitted) {
  b_.set_fault("destination.running:fail");
  auto report = migrate();
  ASSERT_TRUE(report) << report.error().to_string();
  expect_only_at_destination();
}

class Recovery : public Migration {
 protected:
  JournalEntry entry(JournalState state, TestHost& peer) {
    JournalEntry made{.migration = make_migration_id(),
                      .container = kName,
                      .state = state,
                      .peer = peer.host.name()};
    return made;
  }
};

TEST_F(Recovery, APreparingSourceGoesOn) {
  auto container = must(a_.host.open_container(kName));
  must(container->hold_network());
  JournalEntry preparing = entry(JournalState::kPreparing, b_);
  must(a_.journal.write(preparing));
  Environment environment = a_.environment();
  EXPECT_TRUE(must(recover_migrations(environment.host, environment.journal)).empty());
  expect_only_at_source();
}

TEST_F(Recovery, APreparedDestinationIsRemoved) {
  must(b_.host.reserve(kName));
  must(b_.journal.write(entry(JournalState::kPrepared, a_)));
  Environment environment = b_.environment();
  EXPECT_TRUE(must(recover_migrations(environment.host, environment.journal)).empty());
  expect_only_at_source();
}

TEST_F(Recovery, ACommittedDestinationRuns) {
  must(b_.host.reserve(kName));
  must(b_.journal.write(entry(JournalState::kCommitted, a_)));
  Environment environment = b_.environment();
  must(recover_migrations(environment.host, environment.journal));
  EXPECT_TRUE(b_.host.copy(kName).running);
  EXPECT_TRUE(b_.host.copy(kName).attached);
}

// The source stopped between asking for the commit and the answer.
class InDoubt : public Recovery {
 protected:
  JournalEntry doubt() {
    start_server();
    must(must(a_.host.open_container(kName))->hold_network());
    JournalEntry made = entry(JournalState::kCommitting, b_);
    must(a_.journal.write(made));
    return made;
  }
  void resolve() {
    Environment environment = a_.environment();
    auto in_doubt = must(recover_migrations(environment.host, environment.journal));
    ASSERT_EQ(in_doubt.size(), 1u);
    EXPECT_FALSE(a_.host.copy(kName).attached);
    must(resolve_in_doubt(environment, in_doubt[0]));
  }
};

TEST_F(InDoubt, GoesOnIfTheDestinationNeverCommitted) {
  doubt();
  resolve();
  expect_only_at_source();
}

TEST_F(InDoubt, IsRemovedIfTheDestinationCommitted) {
  JournalEntry made = doubt();
  made.state = JournalState::kCommitted;
  made.peer = "host-a";
  must(b_.journal.write(made));
  resolve();
  EXPECT_FALSE(a_.host.has(kName));
  EXPECT_TRUE(must(a_.journal.list()).empty());
}

}  // namespace
}  // namespace martlet::migrate
