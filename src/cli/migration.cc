// Commands that move a container to another host.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/migration_options.h"
#include "cli/migration_output.h"
#include "cli/output.h"
#include "cli/prediction_output.h"
#include "cli/progress_view.h"

namespace martlet::cli {
namespace {

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
  if (summary.has_predicted())
    fmt::print("foretold: pause {}, total {}\n", human_seconds(summary.predicted().pause()),
               human_seconds(summary.predicted().total()));
  if (!summary.reason().empty()) fmt::print("{}\n", summary.reason());
}

Result<int> run_migration(const Session& session, const agent::MigrateRequest& request) {
  agent::MigrationSummary summary;
  {
    ProgressView view(stderr,
                      session.json ? ProgressView::Style::kQuiet : ProgressView::style_of(stderr));
    // A client that is killed leaves the migration to the agent; Ctrl-C takes it back.
    const InterruptHandler on_interrupt([&] {
      fmt::print(stderr, "cancelling; a second Ctrl-C leaves the migration to the agent\n");
      if (auto cancelled = session.client().cancel_migration(request.name()); !cancelled)
        fmt::print(stderr, "{}\n", cancelled.error().to_string());
    });
    TRY(session.client().migrate(request, [&](const agent::MigrationEvent& event) {
      if (event.has_progress()) view.show(event.progress());
      if (event.has_stage_done()) view.show_done(event.stage_done());
      if (event.has_summary()) summary = event.summary();
    }));
  }
  if (session.json)
    print_json(to_json(summary));
  else
    print_summary(summary);
  return 0;
}

Result<int> run_dry(const Session& session, const agent::MigrateRequest& request) {
  const agent::MigrationPlan plan = TRY(session.client().check_migration(request));
  if (session.json) {
    print_json({{"container", request.name()},
                {"destination", request.host()},
                {"options", to_json(plan.options())},
                {"memory_bytes", plan.memory_bytes()},
                {"file_bytes", plan.file_bytes()}});
    return 0;
  }
  fmt::print("{} can move to {}; nothing was changed\n", request.name(), request.host());
  fmt::print("{}", format_table({{"mode", mode_name(plan.options().mode())},
                                 {"memory", human_bytes(static_cast<double>(plan.memory_bytes()))},
                                 {"files", human_bytes(static_cast<double>(plan.file_bytes()))}}));
  return 0;
}

}  // namespace

void add_migrate_command(CLI::App& app, Session& session) {
  const auto request = std::make_shared<agent::MigrateRequest>();
  const auto dry = std::make_shared<bool>(false);
  CLI::App* migrate =
      add_command(app, session, "migrate", "Move a container to another host",
                  "  martlet migrate redis host-b\n"
                  "  martlet migrate redis host-b --dry-run\n"
                  "  martlet migrate redis host-b --mode precopy --max-pause 10ms\n"
                  "  martlet migrate redis host-b --bandwidth 200Mbit/s --compress lz4 --json",
                  [&session, request, dry] {
                    return *dry ? run_dry(session, *request) : run_migration(session, *request);
                  });
  add_migration_options(*migrate, {request, request->mutable_options()});
  migrate->add_flag("--dry-run", *dry, "only check both hosts, and say what would move");
  migrate
      ->add_option_function<std::string>(
          "name", [request](const std::string& given) { request->set_name(given); }, "container")
      ->required();
  migrate
      ->add_option_function<std::string>(
          "host", [request](const std::string& given) { request->set_host(given); },
          "destination, as 'martlet hosts' names it")
      ->required();
}

}  // namespace martlet::cli
