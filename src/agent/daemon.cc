#include "agent/daemon.h"

#include <fmt/format.h>
#include <grp.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <signal.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "agent/container_manager.h"
#include "agent/local_service.h"
#include "agent/membership.h"
#include "agent/migration_service.h"
#include "agent/peer_server.h"
#include "agent/peer_service.h"
#include "agent/state_lock.h"
#include "base/log.h"
#include "cluster/sqlite_store.h"

namespace martlet::agent {
namespace {

namespace fs = std::filesystem;

Result<void> make_directories(const AgentConfig& config) {
  for (const std::string& path :
       {config.state_dir, fs::path(config.socket).parent_path().string()}) {
    std::error_code error;
    const bool made = fs::create_directories(path, error);
    if (error) return std::unexpected(Error::from_errno(error.value(), "creation of " + path));
    if (made && path == config.state_dir && chmod(path.c_str(), 0700) != 0)
      return fail_errno("chmod of " + path);
  }
  return {};
}

// Root and the group "martlet" may use the API; without that group, root alone.
Result<void> restrict_socket(const std::string& path) {
  const group* const martlet = getgrnam("martlet");
  if (chown(path.c_str(), 0, martlet ? martlet->gr_gid : 0) != 0 || chmod(path.c_str(), 0660) != 0)
    return fail_errno("restricting " + path);
  return {};
}

Result<std::unique_ptr<grpc::Server>> serve_local(const std::string& socket,
                                                  LocalService& service) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const mode_t before = umask(0177);  // nobody else gets in before restrict_socket()
  auto server = builder.BuildAndStart();
  umask(before);
  if (!server)
    return std::unexpected(Error(Code::kSystem, fmt::format("cannot listen at {}", socket))
                               .with_remedy("check the path, and that no other agent uses it"));
  TRY(restrict_socket(socket));
  return server;
}

sigset_t block_stop_signals() {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return stop;
}

}  // namespace

Result<void> run_daemon(const AgentConfig& config) {
  const sigset_t stop = block_stop_signals();
  umask(0022);
  TRY(make_directories(config));
  const Fd lock = TRY(lock_state(config.state_dir));
  const auto store = TRY(cluster::SqliteStore::open(config.state_dir + "/agent.db"));
  TRY_IN(ensure_bridge(config.bridge, config.uplink), "bridge " + config.bridge);
  const auto manager = TRY(ContainerManager::open(
      {config.name, config.state_dir, config.cgroup, config.bridge}, *store));
  const auto membership = TRY(Membership::open(config, *store));
  const auto migrations = TRY(MigrationService::open(config, *manager, *membership));
  PeerService peer_service(config, *membership, *migrations);
  PeerServer peers(config, *membership, {&peer_service});
  std::jthread announcer;
  if (membership->is_member()) {
    TRY(migrations->start());
    TRY(peers.start());
    announcer = std::jthread([&] { membership->announce(); });
  }
  LocalService service(config, *manager, *membership, peers, *migrations);
  const auto server = TRY(serve_local(config.socket, service));

  spdlog::info("agent {} serves at {}", config.name, config.socket);
  sd_notify(0, "READY=1");
  int signal_number = 0;
  sigwait(&stop, &signal_number);
  spdlog::info("agent {} stops; its containers go on", config.name);
  sd_notify(0, "STOPPING=1");
  migrations->stop();
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  peers.stop();
  return {};
}

}  // namespace martlet::agent
