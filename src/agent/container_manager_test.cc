#include "agent/container_manager.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "base/log.h"
#include "base/test_util.h"
#include "cluster/sqlite_store.h"
#include "sys/namespaces.h"
#include "sys/netlink.h"
#include "sys/time_namespace.h"

namespace martlet::agent {
namespace {

using namespace std::chrono_literals;

// A manager with its own state directory and cgroup, on a thread's own network namespace with a
// bridge.
class ContainerManagerTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    init_logging("warn");
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    ASSERT_TRUE(ensure_bridge("br0", ""));
    open();
  }

  void TearDown() override {
    if (!manager_) return;
    for (const Container& container : manager_->list())
      EXPECT_TRUE(manager_->remove(container.name(), ContainerManager::Force::kYes));
    manager_.reset();
    store_.reset();
  }

  void open() {
    manager_.reset();
    store_.reset();
    auto store = cluster::SqliteStore::open(directory_ / "agent.db");
    ASSERT_TRUE(store) << store.error().to_string();
    store_ = std::move(*store);
    const std::string agent = "unit-" + std::to_string(getpid());
    auto manager =
        ContainerManager::open({agent, directory_.path(), "/martlet-" + agent, "br0"}, *store_);
    ASSERT_TRUE(manager) << manager.error().to_string();
    manager_ = std::move(*manager);
  }

  static Declaration declare(const std::string& name, std::vector<std::string> args) {
    Declaration declaration;
    declaration.set_name(name);
    declaration.set_overlay("/");
    for (const std::string& argument : args) declaration.add_args(argument);
    return declaration;
  }

  std::string log_of(const Container& container) { return *read_file(container.paths.log); }

  TemporaryDirectory directory_;
  std::unique_ptr<cluster::SqliteStore> store_;
  std::unique_ptr<ContainerManager> manager_;
};

#define ASSERT_OK(result) ASSERT_TRUE(result) << (result).error().to_string()

TEST_F(ContainerManagerTest, RunsAProgramInItsOwnEnvironment) {
  auto declaration = declare("echo", {"/bin/sh", "-c", "echo $$ $GREETING $(hostname); exit 7"});
  declaration.add_env("GREETING=hello");
  declaration.add_addresses("10.77.0.5/16");
  declaration.add_addresses("fd77::5/64");
  declaration.add_gateways("10.77.0.1");
  ASSERT_OK(manager_->run(declaration));
  const auto exited = manager_->wait_for_exit("echo", 10s);
  ASSERT_OK(exited);
  EXPECT_EQ(exited->record.state(), STATE_EXITED);
  EXPECT_EQ(exited->record.exit_code(), 7);
  EXPECT_EQ(log_of(*exited), "1 hello echo\n");
}

TEST_F(ContainerManagerTest, FindsItsContainersAgain) {
  ASSERT_OK(manager_->run(declare("sleeper", {"sleep", "1000"})));
  const HostPid init = manager_->find("sleeper")->init();
  open();
  const auto found = manager_->find("sleeper");
  ASSERT_OK(found);
  EXPECT_EQ(found->record.state(), STATE_RUNNING);
  EXPECT_EQ(found->init(), init);
  ASSERT_OK(manager_->stop("sleeper", 0s));
  EXPECT_EQ(manager_->find("sleeper")->record.exit_code(), 128 + SIGKILL);
}

TEST_F(ContainerManagerTest, RemovesTheLastContainerWhileAnotherIsCreated) {
  const auto come_and_go = [this](const std::string& name) {
    for (int round = 0; round < 12; ++round) {
      const auto started = manager_->run(declare(name, {"sleep", "1000"}));
      EXPECT_TRUE(started) << started.error().to_string();
      EXPECT_TRUE(manager_->remove(name, ContainerManager::Force::kYes));
    }
  };
  std::jthread other(come_and_go, "one");
  come_and_go("two");
}

TEST_F(ContainerManagerTest, LeavesNothingOfAFailedStart) {
  const auto started = manager_->run(declare("broken", {"/no/such/program"}));
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), Code::kNotFound) << started.error().to_string();
  EXPECT_TRUE(manager_->list().empty());
  EXPECT_TRUE(std::filesystem::is_empty(directory_ / "containers"));
  EXPECT_TRUE(std::filesystem::is_empty(directory_ / "runc"));
}

TEST_F(ContainerManagerTest, TheLastAgentTakesItsCgroupAway) {
  ASSERT_OK(manager_->run(declare("sleeper", {"sleep", "1000"})));
  const auto parent =
      std::filesystem::path(manager_->find("sleeper")->freezer_cgroup).parent_path();
  open();
  EXPECT_TRUE(std::filesystem::exists(parent));
  ASSERT_OK(manager_->remove("sleeper", ContainerManager::Force::kYes));
  manager_.reset();
  EXPECT_FALSE(std::filesystem::exists(parent));
}

TEST_F(ContainerManagerTest, RefusesATakenNameAndAddress) {
  auto declaration = declare("one", {"sleep", "1000"});
  declaration.add_addresses("10.77.0.5/16");
  ASSERT_OK(manager_->run(declaration));
  EXPECT_EQ(manager_->run(declaration).error().code(), Code::kAlreadyExists);
  declaration.set_name("two");
  EXPECT_EQ(manager_->run(declaration).error().code(), Code::kAlreadyExists);
}

TEST_F(ContainerManagerTest, RefusesASecondOperation) {
  ASSERT_OK(manager_->run(declare("sleeper", {"sleep", "1000"})));
  {
    const auto operation = manager_->begin("sleeper", "migration");
    ASSERT_OK(operation);
    const auto stopped = manager_->stop("sleeper", 0s);
    ASSERT_FALSE(stopped);
    EXPECT_NE(stopped.error().to_string().find("migration"), std::string::npos);
  }
  ASSERT_OK(manager_->stop("sleeper", 0s));
}

TEST_F(ContainerManagerTest, PausesAndResumes) {
  ASSERT_OK(manager_->run(declare("sleeper", {"sleep", "1000"})));
  const auto paused = manager_->pause("sleeper");
  ASSERT_OK(paused);
  EXPECT_EQ(paused->record.state(), STATE_PAUSED);
  EXPECT_TRUE(*sys::is_frozen(paused->freezer_cgroup));
  ASSERT_OK(manager_->unpause("sleeper"));
  EXPECT_FALSE(*sys::is_frozen(paused->freezer_cgroup));
}

// What a restore relies on: the stub with its socket, shifted clocks, a link that is held.
TEST_F(ContainerManagerTest, BuildsASandboxForARestore) {
  auto declaration = declare("restored", {"redis-server"});
  declaration.add_addresses("10.77.0.9/16");
  declaration.add_addresses("fd77::9/64");
  const auto operation = manager_->reserve(declaration, 3, "restore");
  ASSERT_OK(operation);
  const std::string program = *read_file(TEST_STUB);
  const auto offsets = sys::offsets_to_show({.monotonic = 5000000s, .boottime = 6000000s});
  ASSERT_OK(offsets);
  const auto control =
      manager_->build_sandbox(*operation, *offsets, std::as_bytes(std::span(program)));
  ASSERT_OK(control);

  pollfd readable{control->get(), POLLIN, 0};
  ASSERT_EQ(poll(&readable, 1, 10000), 1);
  int64_t seconds[2] = {};
  ASSERT_EQ(recv(control->get(), seconds, sizeof seconds, 0), ssize_t{sizeof seconds});
  EXPECT_NEAR(static_cast<double>(seconds[0]), 5000000, 10);
  EXPECT_NEAR(static_cast<double>(seconds[1]), 6000000, 10);

  const Container container = *manager_->find("restored");
  EXPECT_EQ(container.record.state(), STATE_RESTORING);
  EXPECT_EQ(container.record.generation(), 3u);
  auto host = sys::Netlink::open();
  ASSERT_OK(host);
  EXPECT_EQ(*host->master_of(container.host_interface), 0);
  ASSERT_OK(manager_->announce(*operation));
  EXPECT_EQ(*host->master_of(container.host_interface), *host->index_of("br0"));
  ASSERT_OK(manager_->hold_network(*operation));
  EXPECT_EQ(*host->master_of(container.host_interface), 0);
  const auto clocks = sys::read_clocks(container.init());
  ASSERT_OK(clocks);
  EXPECT_GT(clocks->monotonic, 5000000s);
  ASSERT_OK(manager_->adopt(*operation));
  EXPECT_EQ(manager_->find("restored")->record.state(), STATE_RUNNING);
  ASSERT_OK(manager_->destroy(*operation));
  EXPECT_TRUE(manager_->list().empty());
}

TEST_F(ContainerManagerTest, ClearsAwayASandboxOfAnEarlierAgent) {
  auto operation = std::make_unique<Result<Operation>>(
      manager_->reserve(declare("half", {"sleep", "1"}), 1, "restore"));
  ASSERT_OK(*operation);
  const std::string program = *read_file(TEST_STUB);
  ASSERT_OK(manager_->build_sandbox(**operation, {}, std::as_bytes(std::span(program))));
  const std::string cgroup = manager_->find("half")->freezer_cgroup;
  operation.reset();
  open();
  EXPECT_TRUE(manager_->list().empty());
  EXPECT_FALSE(std::filesystem::exists(cgroup));
}

}  // namespace
}  // namespace martlet::agent
