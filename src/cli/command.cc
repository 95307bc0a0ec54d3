#include "cli/command.h"

#include <fmt/format.h>

#include "cli/output.h"

namespace martlet::cli {

CLI::App* add_command(CLI::App& app, Session& session, const std::string& name,
                      const std::string& description, const std::string& examples,
                      std::function<Result<int>()> action) {
  CLI::App* command = app.add_subcommand(name, description);
  command->footer("Examples:\n" + examples);
  command->fallthrough();  // so that --socket may stand behind the command, too
  command->add_flag("--json", session.json, "print JSON");
  command->callback([&session, action = std::move(action)] { session.action = action; });
  return command;
}

int report_error(const Session& session, const Error& error) {
  if (session.json) print_json(to_json(error));
  fmt::print(stderr, "martlet: {}\n", error.to_string());
  return 1;
}

}  // namespace martlet::cli
