// Commands that start, show, stop and remove containers.
#include <fmt/format.h>

#include <ctime>

#include "agent/declaration_check.h"
#include "cli/command.h"
#include "cli/migration_options.h"
#include "cli/output.h"

namespace martlet::cli {
namespace {

std::string joined(const auto& strings, std::string_view separator) {
  return fmt::format("{}", fmt::join(strings, separator));
}

// What most commands print about the container they changed.
Result<int> report(const Session& session, const Result<agent::ContainerInfo>& container,
                   std::string_view done) {
  if (!container) return std::unexpected(container.error());
  if (session.json)
    print_json(to_json(*container));
  else
    fmt::print("{} {}\n", container->record().declaration().name(), done);
  return 0;
}

struct RunOptions {
  agent::Declaration declaration;
  std::string name, bundle, rootfs, overlay, memory, mac, working_directory;
  double cpus = 0;
  std::vector<std::string> addresses, gateways, env, volumes, args;
};

std::string absolute(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal();
}

void set_root(agent::Declaration& declaration, const RunOptions& options) {
  if (!options.overlay.empty()) declaration.set_overlay(absolute(options.overlay));
  if (!options.rootfs.empty()) declaration.set_rootfs(absolute(options.rootfs));
  if (!options.bundle.empty()) declaration.mutable_bundle()->set_path(absolute(options.bundle));
}

Result<agent::Declaration> declaration_of(const RunOptions& options) {
  agent::Declaration declaration = options.declaration;
  declaration.set_name(options.name);
  set_root(declaration, options);
  declaration.set_mac(options.mac);
  declaration.set_cpus(options.cpus);
  declaration.set_working_directory(options.working_directory);
  for (const std::string& value : options.addresses) declaration.add_addresses(value);
  for (const std::string& value : options.gateways) declaration.add_gateways(value);
  for (const std::string& value : options.env) declaration.add_env(value);
  for (const std::string& value : options.args) declaration.add_args(value);
  if (!options.memory.empty())
    declaration.set_memory_bytes(TRY_IN(agent::parse_size(options.memory), "--memory"));
  for (const std::string& value : options.volumes)
    *declaration.add_volumes() = TRY_IN(agent::parse_volume(value), "--volume");
  return declaration;
}

void add_run(CLI::App& app, Session& session) {
  const auto options = std::make_shared<RunOptions>();
  CLI::App* run = add_command(
      app, session, "run", "Start a container",
      "  martlet run --name redis --overlay / --ip 10.1.0.5/16 -- redis-server --port 6379\n"
      "  martlet run --name web --bundle /srv/web --memory 512M --cpus 2",
      [&session, options]() -> Result<int> {
        const agent::Declaration declaration = TRY(declaration_of(*options));
        return report(session, session.client().run(declaration), "started");
      });
  run->add_option("--name", options->name, "its name on every host")->required();
  CLI::Option_group* root = run->add_option_group("root", "Root file system");
  root->add_option("--overlay", options->overlay,
                   "directory as a read-only layer under a private writable one; '/': the host's");
  root->add_option("--rootfs", options->rootfs, "directory that is the container's own");
  root->add_option("--bundle", options->bundle, "OCI bundle: a directory with a config.json");
  root->require_option(1);
  const auto add_list = [run](const char* name, std::vector<std::string>& values,
                              const char* description) {
    run->add_option(name, values, description)->allow_extra_args(false);
  };
  add_list("--ip", options->addresses, "address with prefix length; again for more");
  add_list("--gateway", options->gateways, "default route; at most one of IPv4 and of IPv6");
  run->add_option("--mac", options->mac, "MAC address [chosen once]");
  run->add_option("--memory", options->memory, "most memory it may use, such as 512M");
  run->add_option("--cpus", options->cpus, "most CPU time it may use, in CPUs");
  run->add_option("--workdir", options->working_directory, "directory the command starts in");
  add_list("--env", options->env, "environment variable, KEY=VALUE");
  add_list("--volume", options->volumes, "directory or file of the host, SRC:DST[:ro]");
  add_external_unix(*run, [options](auto value) { options->declaration.set_external_unix(value); });
  run->add_option("command", options->args, "command and arguments, after --");
}

Result<int> print_list(const Session& session) {
  const agent::ListReply reply = TRY(session.client().list());
  if (session.json) {
    Json all = Json::array();
    for (const agent::ContainerInfo& container : reply.containers())
      all.push_back(to_json(container));
    print_json(all);
    return 0;
  }
  std::vector<std::vector<std::string>> rows{{"NAME", "STATE", "PID", "ADDRESS", "AGE", "COMMAND"}};
  for (const agent::ContainerInfo& container : reply.containers()) {
    const agent::ContainerRecord& record = container.record();
    const agent::Declaration& declaration = record.declaration();
    std::string state = state_name(record.state());
    if (record.has_exit_code()) state += fmt::format(" ({})", record.exit_code());
    if (!container.busy_with().empty()) state += ", " + container.busy_with();
    if (!container.arriving().empty()) state += ", " + container.arriving();
    if (!record.lost().empty()) state += ", lost";
    std::string command = joined(declaration.args(), " ");
    if (command.size() > 60) command = command.substr(0, 57) + "...";
    rows.push_back({declaration.name(), state,
                    record.init_pid() ? std::to_string(record.init_pid()) : "-",
                    declaration.addresses().empty() ? "-" : joined(declaration.addresses(), ","),
                    human_age(time(nullptr) - record.created_at()), command});
  }
  fmt::print("{}", format_table(rows));
  return 0;
}

bool says_nothing(const Json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  if (value.is_number()) return value.get<double>() == 0;
  return value.empty();  // null, [], {}
}

void print_container(const agent::ContainerInfo& container) {
  const Json json = to_json(container);
  std::vector<std::vector<std::string>> rows;
  for (const auto& [key, value] : json.items()) {
    if (says_nothing(value)) continue;
    rows.push_back({key, value.is_string() ? value.get<std::string>() : value.dump()});
  }
  fmt::print("{}", format_table(rows));
}

// A command with nothing but the name of a container.
CLI::App* add_named(CLI::App& app, Session& session, const std::string& command,
                    const std::string& description, const std::string& examples,
                    std::function<Result<int>(const std::string&)> action) {
  const auto name = std::make_shared<std::string>();
  CLI::App* added = add_command(app, session, command, description, examples,
                                [name, action = std::move(action)] { return action(*name); });
  added->add_option("name", *name, "container")->required();
  return added;
}

void add_stop(CLI::App& app, Session& session) {
  const auto timeout = std::make_shared<double>(10);
  CLI::App* stop =
      add_named(app, session, "stop", "End a container: SIGTERM, then SIGKILL",
                "  martlet stop redis\n  martlet stop redis --timeout 60",
                [&session, timeout](const std::string& name) {
                  return report(session, session.client().stop(name, *timeout), "stopped");
                });
  stop->add_option("--timeout", *timeout, "seconds between the two signals")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

void add_remove(CLI::App& app, Session& session) {
  const auto force = std::make_shared<bool>(false);
  CLI::App* remove = add_named(app, session, "rm", "Remove a container with its files",
                               "  martlet rm redis\n  martlet rm --force redis",
                               [&session, force](const std::string& name) -> Result<int> {
                                 agent::RemoveRequest request;
                                 request.set_name(name);
                                 request.set_force(*force);
                                 TRY(session.client().remove(request));
                                 if (session.json)
                                   print_json({{"name", name}, {"removed", true}});
                                 else
                                   fmt::print("{} removed\n", name);
                                 return 0;
                               });
  remove->add_flag("--force,-f", *force, "also when it runs");
}

}  // namespace

void add_container_commands(CLI::App& app, Session& session) {
  add_run(app, session);
  add_command(app, session, "ps", "List the containers of this host",
              "  martlet ps\n  martlet ps --json", [&session] { return print_list(session); });
  add_named(app, session, "inspect", "Show everything about a container",
            "  martlet inspect redis\n  martlet inspect redis --json",
            [&session](const std::string& name) -> Result<int> {
              const agent::ContainerInfo container = TRY(session.client().inspect(name));
              if (session.json)
                print_json(to_json(container));
              else
                print_container(container);
              return 0;
            });
  add_stop(app, session);
  add_remove(app, session);
  add_named(app, session, "pause", "Freeze all processes of a container", "  martlet pause redis",
            [&session](const std::string& name) {
              return report(session, session.client().pause(name), "paused");
            });
  add_named(app, session, "unpause", "Let a paused container go on", "  martlet unpause redis",
            [&session](const std::string& name) {
              return report(session, session.client().unpause(name), "goes on");
            });
}

}  // namespace martlet::cli
