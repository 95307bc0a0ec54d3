// Two hosts of one process, for tests of the stage machine: real TLS and real rsync between them,
// and containers that are only flags.
#pragma once

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

inline constexpr const char* kName = "redis";

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
    return {.host = host,
            .tls = tls,
            .journal = journal,
            .faults = *faults,
            .clock = clock,
            .stopping = stopping};
  }
  void set_fault(const std::string& text) { faults = must(parse_fault(text)); }

  FakeHost host;
  TlsContext tls;
  TemporaryDirectory state;
  Journal journal = must(Journal::open(state.path()));
  std::unique_ptr<FaultPoint> faults = must(parse_fault(""));
  SystemClock clock;
  Cancellation stopping = must(Cancellation::create());
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
    return migrate_container(environment, kName, "host-b", options_, tuning_, cancellation_,
                             observer_);
  }

  // What an agent does first, and what it then does in the background until that is done.
  void start_next_agent(TestHost& host) {
    Environment environment = host.environment();
    for (Unfinished& left : must(recover_migrations(environment.host, environment.journal)))
      finish_migration(environment, std::move(left));
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
    EXPECT_TRUE(must(b_.journal.list()).empty());
  }

  LonelyProcess process_;
  TestAuthority authority_;
  TestHost a_{authority_, "host-a", process_.pid()};
  TestHost b_{authority_, "host-b", process_.pid()};
  Options options_{.mode = Mode::kStop};  // the hosts of these tests have no memory to follow
  Tuning tuning_{options_};
  Cancellation cancellation_ = must(Cancellation::create());
  QuietObserver observer_;
  std::unique_ptr<MigrationServer> server_;
};

}  // namespace martlet::migrate
