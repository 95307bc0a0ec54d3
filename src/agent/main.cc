// martletd: the agent of one host.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "agent/agent_config.h"
#include "agent/daemon.h"
#include "agent/host_info.h"
#include "base/log.h"
#include "migrate/fault_point.h"
#include "migrate/page_keeper.h"

namespace {

using martlet::agent::AgentConfig;

// The file first, then the options that were given: they win.
martlet::Result<AgentConfig> read_config(const std::string& file, const CLI::App& app,
                                         const AgentConfig& given) {
  AgentConfig config;
  if (!file.empty()) TRY(martlet::agent::read_config_file(file, config));
  const auto take = [&](const char* option, std::string AgentConfig::* field) {
    if (app.count(option) > 0) config.*field = given.*field;
  };
  take("--name", &AgentConfig::name);
  take("--state-dir", &AgentConfig::state_dir);
  take("--socket", &AgentConfig::socket);
  take("--listen", &AgentConfig::listen);
  take("--advertise", &AgentConfig::advertise);
  take("--bridge", &AgentConfig::bridge);
  take("--uplink", &AgentConfig::uplink);
  take("--cgroup", &AgentConfig::cgroup);
  take("--log-level", &AgentConfig::log_level);
  take("--fault", &AgentConfig::fault);
  TRY(martlet::agent::complete(config));
  return config;
}

int fail(const martlet::Error& error) {
  std::fprintf(stderr, "martletd: %s\n", error.to_string().c_str());
  return 1;
}

int print_fault_steps() {
  using martlet::migrate::Owner;
  using martlet::migrate::PassedBy;
  for (const auto& [name, owner, passed_by] : martlet::migrate::fault_steps())
    std::printf("%s %s %s\n", std::string(name).c_str(),
                owner == Owner::kSource        ? "source"
                : owner == Owner::kDestination ? "destination"
                                               : "undecided",
                passed_by == PassedBy::kEveryMode         ? "always"
                : passed_by == PassedBy::kModeStop        ? "stop"
                : passed_by == PassedBy::kModesWithRounds ? "rounds"
                                                          : "late-memory");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == martlet::migrate::kKeeperArgument)
    return martlet::migrate::keep_pages(martlet::migrate::kKeeperSocket, argv[2]);
  AgentConfig given;
  std::string file;
  CLI::App app{"martletd runs and moves the containers of one host", "martletd"};
  app.set_version_flag("--version", martlet::agent::kVersion);
  app.add_option("--config", file, "TOML file; its keys are the options below with '_' for '-'");
  app.add_option("--name", given.name, "name of this host [its host name]");
  app.add_option("--state-dir", given.state_dir, "records and files of containers")
      ->capture_default_str();
  app.add_option("--socket", given.socket, "Unix socket of the local API")->capture_default_str();
  app.add_option("--listen", given.listen, "ADDRESS:PORT for other agents; port 0: any")
      ->capture_default_str();
  app.add_option("--advertise", given.advertise, "address that other agents use [from --listen]");
  app.add_option("--bridge", given.bridge, "bridge of the containers; made if missing")
      ->capture_default_str();
  app.add_option("--uplink", given.uplink, "device to attach to the bridge");
  app.add_option("--cgroup", given.cgroup, "cgroup of the containers [/martlet-NAME]");
  app.add_option("--log-level", given.log_level, "debug, info, warn or error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->capture_default_str();
  app.add_option("--fault", given.fault,
                 "for tests: STEP:fail, STEP:die, STEP:stop or STEP:wait of a migration")
      ->group("");
  bool list_faults = false;
  app.add_flag("--list-faults", list_faults, "print the steps of --fault and who owns it there")
      ->group("");
  CLI11_PARSE(app, argc, argv);
  if (list_faults) return print_fault_steps();
  if (geteuid() != 0) return fail(martlet::Error(martlet::Code::kPermission, "must run as root"));
  const auto config = read_config(file, app, given);
  if (!config) return fail(config.error());
  martlet::init_logging(config->log_level);
  const auto ended = martlet::agent::run_daemon(*config);
  return ended ? 0 : fail(ended.error());
}
