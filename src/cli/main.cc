// martlet: the command line.
#include <fmt/format.h>

#include "agent/host_info.h"
#include "base/log.h"
#include "cli/command.h"

namespace {

constexpr int kBadUsage = 2;

}  // namespace

int main(int argc, char** argv) {
  martlet::init_logging("warn");
  martlet::cli::Session session;
  CLI::App app{"martlet runs containers and moves them between hosts while they serve", "martlet"};
  app.set_version_flag("--version", martlet::agent::kVersion);
  app.set_help_all_flag("--help-all", "Help of every command");
  app.require_subcommand(0, 1);
  app.add_option("--socket", session.socket, "Unix socket of the agent")
      ->envname("MARTLET_SOCKET")
      ->capture_default_str();
  martlet::cli::add_container_commands(app, session);
  martlet::cli::add_stream_commands(app, session);
  martlet::cli::add_check_command(app, session);
  martlet::cli::add_checkpoint_commands(app, session);
  martlet::cli::add_migrate_command(app, session);
  martlet::cli::add_migration_commands(app, session);
  martlet::cli::add_prediction_commands(app, session);
  martlet::cli::add_cluster_commands(app, session);
  martlet::cli::add_plan_commands(app, session);
  martlet::cli::add_stand_command(app, session);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "martlet: {}; see 'martlet --help'\n", error.what());
    return kBadUsage;
  }
  if (!session.action) {
    fmt::print("{}", app.help());
    return kBadUsage;
  }
  const auto exit_code = session.action();
  return exit_code ? *exit_code : martlet::cli::report_error(session, exit_code.error());
}
