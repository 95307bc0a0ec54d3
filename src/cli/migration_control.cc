// `martlet migration ...`: what runs, what ran, and control of what runs.
#include <fmt/format.h>

#include <ctime>

#include "cli/command.h"
#include "cli/migration_options.h"
#include "cli/migration_output.h"

namespace martlet::cli {
namespace {

Result<int> list(const Session& session) {
  const agent::ListMigrationsReply reply = TRY(session.client().list_migrations());
  if (!session.json) {
    fmt::print("{}", migration_table(reply, time(nullptr)));
    return 0;
  }
  Json all = Json::array();
  for (const agent::Migration& migration : reply.migrations()) all.push_back(to_json(migration));
  print_json(all);
  return 0;
}

Result<int> print(const Session& session, Result<agent::Migration> migration) {
  const agent::Migration shown = TRY(std::move(migration));
  if (session.json)
    print_json(to_json(shown));
  else
    fmt::print("{}", migration_details(shown));
  return 0;
}

void add_list(CLI::App& group, Session& session) {
  add_command(group, session, "ls",
              "Migrations from and to this host: under way, and ended since the agent started",
              "  martlet migration ls", [&session] { return list(session); });
}

void add_show(CLI::App& group, Session& session) {
  const auto name = std::make_shared<std::string>();
  CLI::App* show = add_command(
      group, session, "show", "Everything about one migration",
      "  martlet migration show redis\n  martlet migration show 1f0e3dad --json",
      [&session, name] { return print(session, session.client().show_migration(*name)); });
  show->add_option("name", *name, "container, or the beginning of an id")->required();
}

void add_cancel(CLI::App& group, Session& session) {
  const auto name = std::make_shared<std::string>();
  CLI::App* cancel =
      add_command(group, session, "cancel", "Stop a migration; the container goes on where it was",
                  "  martlet migration cancel redis", [&session, name]() -> Result<int> {
                    TRY(session.client().cancel_migration(*name));
                    if (session.json)
                      print_json({{"name", *name}, {"cancelled", true}});
                    else
                      fmt::print("{}: migration cancelled\n", *name);
                    return 0;
                  });
  cancel->add_option("name", *name, "container")->required();
}

void add_set(CLI::App& group, Session& session) {
  const auto limits = std::make_shared<agent::MigrationLimits>();
  CLI::App* set =
      add_command(group, session, "set", "Change the limits of a migration under way",
                  "  martlet migration set redis --bandwidth 50MB/s\n"
                  "  martlet migration set redis --bandwidth 0 --max-pause 100ms",
                  [&session, limits] {
                    return print(session, session.client().set_migration_limits(*limits));
                  });
  set->add_option_function<std::string>(
         "name", [limits](const std::string& name) { limits->set_name(name); }, "container")
      ->required();
  add_rate(*set, "--bandwidth", "limit such as 200Mbit/s or 50MB/s; 0: none",
           [limits](uint64_t value) { limits->set_bandwidth(value); });
  add_duration(*set, "--max-pause", "the pause to aim at, such as 10ms",
               [limits](int64_t value) { limits->set_max_pause_ns(value); });
}

}  // namespace

void add_migration_commands(CLI::App& app, Session& session) {
  CLI::App* group = app.add_subcommand("migration", "Migrations of this host, and their control");
  group->require_subcommand(1);
  add_list(*group, session);
  add_show(*group, session);
  add_cancel(*group, session);
  add_set(*group, session);
}

}  // namespace martlet::cli
