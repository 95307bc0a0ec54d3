// Commands that foretell moves, and compare what was foretold with what was measured.
#include <fmt/format.h>

#include <chrono>

#include "base/fd.h"
#include "cli/command.h"
#include "cli/migration_options.h"
#include "cli/move_page.h"
#include "cli/output.h"
#include "cli/prediction_output.h"

namespace martlet::cli {
namespace {

constexpr uint32_t kShown = 30;  // moves

Result<int> predict(const Session& session, const agent::PredictRequest& request) {
  const agent::PredictReply reply = TRY(session.client().predict(request));
  if (session.json) {
    Json hosts = Json::array();
    for (const agent::HostPrediction& host : reply.hosts()) hosts.push_back(to_json(host));
    print_json({{"container", request.name()}, {"hosts", hosts}});
    return 0;
  }
  if (reply.hosts_size() == 0) fmt::print("there is no other host\n");
  for (const agent::HostPrediction& host : reply.hosts())
    fmt::print("{}", describe(request.name(), host));
  return 0;
}

Result<int> show_history(const Session& session, const agent::HistoryRequest& request) {
  const agent::HistoryReply reply = TRY(session.client().migration_history(request));
  if (session.json) {
    Json moves = Json::array();
    for (const agent::MoveRecord& move : reply.moves()) moves.push_back(to_json(move));
    print_json(moves);
    return 0;
  }
  fmt::print("{}", history_table(reply));
  return 0;
}

Result<int> write_page(const Session& session, const std::string& name, const std::string& path) {
  agent::HistoryRequest request;
  request.set_name(name);
  request.set_limit(1);
  const agent::HistoryReply reply = TRY(session.client().migration_history(request));
  if (reply.moves_size() == 0)
    return std::unexpected(
        Error(Code::kNotFound, fmt::format("no move of {} began on this host", name))
            .with_remedy("ask the host that it was moved from; see 'martlet migration history'"));
  TRY(replace_file(path, move_page(reply.moves(0)), 0644));
  if (session.json)
    print_json({{"container", name}, {"file", path}});
  else
    fmt::print("{}\n", path);
  return 0;
}

void add_predict(CLI::App& app, Session& session) {
  const auto request = std::make_shared<agent::PredictRequest>();
  CLI::App* command =
      add_command(app, session, "predict", "Foretell what a move would take, in every mode",
                  "  martlet predict redis\n"
                  "  martlet predict redis host-b --max-pause 10ms --json",
                  [&session, request] { return predict(session, *request); });
  add_migration_options(*command, {request, request->mutable_options()});
  command
      ->add_option_function<std::string>(
          "name", [request](const std::string& given) { request->set_name(given); }, "container")
      ->required();
  command->add_option_function<std::string>(
      "host", [request](const std::string& given) { request->set_host(given); },
      "destination [every other host]");
}

void add_history(CLI::App& group, Session& session) {
  const auto request = std::make_shared<agent::HistoryRequest>();
  request->set_limit(kShown);
  CLI::App* command =
      add_command(group, session, "history", "Moves from this host: foretold beside measured",
                  "  martlet migration history\n"
                  "  martlet migration history redis --limit 100 --json",
                  [&session, request] { return show_history(session, *request); });
  command->add_option_function<std::string>(
      "name", [request](const std::string& given) { request->set_name(given); }, "container [all]");
  command->add_option_function<uint32_t>(
      "--limit", [request](uint32_t given) { request->set_limit(given); },
      fmt::format("the newest moves; 0: all [{}]", kShown));
}

void add_report(CLI::App& group, Session& session) {
  const auto name = std::make_shared<std::string>();
  const auto path = std::make_shared<std::string>();
  CLI::App* command =
      add_command(group, session, "report", "Draw the last move of a container as a time line",
                  "  martlet migration report redis --html redis.html",
                  [&session, name, path] { return write_page(session, *name, *path); });
  command->add_option("name", *name, "container")->required();
  command->add_option("--html", *path, "the file to write")->required();
}

}  // namespace

void add_prediction_commands(CLI::App& app, Session& session) {
  add_predict(app, session);
  CLI::App* group = app.get_subcommand("migration");  // of add_migration_commands()
  add_history(*group, session);
  add_report(*group, session);
}

}  // namespace martlet::cli
