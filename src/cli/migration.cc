// Commands that move a container to another host.
#include <fmt/format.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/output.h"

namespace martlet::cli {
namespace {

// Shows a migration while it runs: one line a stage, the current one redrawn on a terminal.
class ProgressView {
 public:
  explicit ProgressView(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) == 1) {}

  void show(const agent::MigrationProgress& progress) {
    if (quiet_ || !terminal_) return;
    const agent::MigrationStage& stage = progress.stage();
    std::string line = heading(stage) + human_bytes(static_cast<double>(stage.bytes()));
    if (progress.expected_bytes() > 0)
      line += " of " + human_bytes(static_cast<double>(progress.expected_bytes()));
    if (progress.bytes_per_second() > 0)
      line += fmt::format(", {}/s", human_bytes(progress.bytes_per_second()));
    fmt::print(stderr, "\r\033[K{}", line);
    std::fflush(stderr);
  }

  void show_done(const agent::MigrationStage& stage) {
    if (quiet_) return;
    std::string line = heading(stage) + human_seconds(stage.seconds());
    if (stage.bytes() > 0) line += ", " + human_bytes(static_cast<double>(stage.bytes()));
    fmt::print(stderr, "{}{}\n", terminal_ ? "\r\033[K" : "", line);
  }

 private:
  static std::string heading(const agent::MigrationStage& stage) {
    return fmt::format("stage {} {}: ", stage.number(), stage.name());
  }
  bool quiet_;
  bool terminal_;
};

void print_summary(const agent::MigrationSummary& summary) {
  std::vector<std::vector<std::string>> rows{{"STAGE", "", "TIME", "BYTES", "RATE"}};
  for (const agent::MigrationStage& stage : summary.stages()) {
    const double bytes = static_cast<double>(stage.bytes());
    const bool sent = stage.bytes() > 0;
    rows.push_back(
        {std::to_string(stage.number()), stage.name(), human_seconds(stage.seconds()),
         sent ? human_bytes(bytes) : "-",
         sent && stage.seconds() > 0 ? human_bytes(bytes / stage.seconds()) + "/s" : "-"});
  }
  fmt::print("{}", format_table(rows, {2, 3, 4}));
  fmt::print("{} moved from {} to {}: pause {}, total {}, {} sent\n", summary.container(),
             summary.source(), summary.destination(), human_seconds(summary.pause_seconds()),
             human_seconds(summary.total_seconds()),
             human_bytes(static_cast<double>(summary.bytes())));
}

Result<int> run_migration(const Session& session, const agent::MigrateRequest& request) {
  ProgressView view(session.json);
  agent::MigrationSummary summary;
  TRY(session.client().migrate(request, [&](const agent::MigrationEvent& event) {
    if (event.has_progress()) view.show(event.progress());
    if (event.has_stage_done()) view.show_done(event.stage_done());
    if (event.has_summary()) summary = event.summary();
  }));
  if (session.json)
    print_json(to_json(summary));
  else
    print_summary(summary);
  return 0;
}

}  // namespace

void add_migration_commands(CLI::App& app, Session& session) {
  const auto name = std::make_shared<std::string>();
  const auto host = std::make_shared<std::string>();
  CLI::App* migrate = add_command(app, session, "migrate", "Move a container to another host",
                                  "  martlet migrate redis host-b\n"
                                  "  martlet migrate redis host-b --json",
                                  [&session, name, host] {
                                    agent::MigrateRequest request;
                                    request.set_name(*name);
                                    request.set_host(*host);
                                    return run_migration(session, request);
                                  });
  migrate->add_option("name", *name, "container")->required();
  migrate->add_option("host", *host, "destination, as 'martlet hosts' names it")->required();

  CLI::App* cancel =
      add_command(app, session, "cancel", "Stop a migration; the container goes on where it was",
                  "  martlet cancel redis", [&session, name]() -> Result<int> {
                    TRY(session.client().cancel_migration(*name));
                    if (session.json)
                      print_json({{"name", *name}, {"cancelled", true}});
                    else
                      fmt::print("{}: migration cancelled\n", *name);
                    return 0;
                  });
  cancel->add_option("name", *name, "container")->required();
}

}  // namespace martlet::cli
