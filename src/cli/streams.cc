// Commands that pass on what a container or a command in it writes.
#include <unistd.h>

#include "base/fd.h"
#include "cli/command.h"
#include "cli/output.h"

namespace martlet::cli {
namespace {

void pass_on(int fd, const std::string& data) {
  (void)write_full(fd, std::as_bytes(std::span(data)));
}

void add_logs(CLI::App& app, Session& session) {
  const auto request = std::make_shared<agent::LogsRequest>();
  const auto name = std::make_shared<std::string>();
  const auto follow = std::make_shared<bool>(false);
  CLI::App* logs = add_command(
      app, session, "logs", "Print what a container wrote to its standard output and error",
      "  martlet logs redis\n  martlet logs -f redis",
      [&session, request, name, follow]() -> Result<int> {
        request->set_name(*name);
        request->set_follow(*follow);
        std::string whole;
        TRY(session.client().logs(*request, [&](const agent::LogChunk& chunk) {
          if (session.json)
            whole += chunk.data();
          else
            pass_on(STDOUT_FILENO, chunk.data());
        }));
        if (session.json) print_json({{"name", *name}, {"log", whole}});
        return 0;
      });
  logs->add_option("name", *name, "container")->required();
  logs->add_flag("--follow,-f", *follow, "go on until the container ends");
}

struct ExecOptions {
  std::string name, working_directory;
  std::vector<std::string> args, env;
  bool input = false;
};

agent::ExecRequest request_of(const ExecOptions& options) {
  agent::ExecRequest request;
  request.set_name(options.name);
  request.set_working_directory(options.working_directory);
  for (const std::string& value : options.args) request.add_args(value);
  for (const std::string& value : options.env) request.add_env(value);
  if (options.input) request.set_input_process(::getpid());
  return request;
}

Result<int> run_exec(const Session& session, const ExecOptions& options) {
  int exit_code = 0;
  std::string output;
  std::string errors;
  TRY(session.client().exec(request_of(options), [&](const agent::ExecEvent& event) {
    if (event.has_exit_code()) exit_code = event.exit_code();
    if (session.json) {
      output += event.output();
      errors += event.error_output();
    } else {
      pass_on(STDOUT_FILENO, event.output());
      pass_on(STDERR_FILENO, event.error_output());
    }
  }));
  if (session.json)
    print_json({{"exit_code", exit_code}, {"output", output}, {"error_output", errors}});
  return exit_code;
}

void add_exec(CLI::App& app, Session& session) {
  const auto options = std::make_shared<ExecOptions>();
  CLI::App* exec = add_command(app, session, "exec",
                               "Run a command in a container; its exit code becomes martlet's",
                               "  martlet exec redis -- redis-cli info memory\n"
                               "  martlet exec --env LANG=C web -- ls -l /etc\n"
                               "  martlet exec -i redis -- redis-cli --pipe < commands",
                               [&session, options] { return run_exec(session, *options); });
  exec->add_flag("--interactive,-i", options->input, "let it read standard input");
  exec->add_option("--env", options->env, "environment variable, KEY=VALUE")
      ->allow_extra_args(false);
  exec->add_option("--workdir", options->working_directory, "directory the command starts in");
  exec->add_option("name", options->name, "container")->required();
  exec->add_option("command", options->args, "command and arguments, after --")->required();
}

}  // namespace

void add_stream_commands(CLI::App& app, Session& session) {
  add_logs(app, session);
  add_exec(app, session);
}

}  // namespace martlet::cli
