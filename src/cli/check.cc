// Tells in advance what a checkpoint or a move would refuse. With --pid it needs no agent.
#include "checkpoint/check.h"

#include <fmt/format.h>

#include <limits>
#include <optional>

#include "agent/checkpoint_messages.h"
#include "cli/command.h"
#include "cli/migration_options.h"
#include "cli/output.h"

namespace martlet::cli {
namespace {

struct CheckOptions {
  std::string name;
  int pid = 0;
  std::optional<agent::OutsidePeers> external_unix;
};

Result<agent::CheckReply> check(const Session& session, const CheckOptions& options) {
  if (!options.name.empty()) return session.client().check(options.name);
  checkpoint::GroupSpec spec;
  spec.root = HostPid(options.pid);
  if (options.external_unix) spec.outside_peers = agent::to_engine(*options.external_unix);
  return agent::to_message(
      TRY_IN(checkpoint::check_group(spec), fmt::format("process {}", options.pid)));
}

// 1 if there are blockers, so that scripts can ask.
Result<int> run_check(const Session& session, const CheckOptions& options) {
  if (options.name.empty() == (options.pid == 0))
    return fail(Code::kInvalidArgument, "give either the name of a container or --pid");
  TRY(refuse_declared(options.name, options.external_unix));
  const auto reply = TRY(check(session, options));
  const int exit_code = reply.blockers_size() == 0 ? 0 : 1;
  if (session.json) {
    print_json({{"blockers", std::vector(reply.blockers().begin(), reply.blockers().end())},
                {"processes", reply.processes()},
                {"threads", reply.threads()},
                {"open_files", reply.files()},
                {"frozen_seconds", reply.frozen_seconds()}});
    return exit_code;
  }
  for (const std::string& blocker : reply.blockers()) fmt::print("{}\n", blocker);
  if (exit_code == 0)
    fmt::print(
        "nothing stands in the way: {} processes, {} threads, {} open files; frozen for {}\n",
        reply.processes(), reply.threads(), reply.files(), human_seconds(reply.frozen_seconds()));
  return exit_code;
}

}  // namespace

void add_check_command(CLI::App& app, Session& session) {
  const auto given = std::make_shared<CheckOptions>();
  CLI::App* check =
      add_command(app, session, "check", "Tell what a checkpoint or a move would refuse, all of it",
                  "  martlet check redis\n"
                  "  martlet check --pid 4711 && martlet checkpoint --pid 4711 --dir /tmp/job",
                  [&session, given] { return run_check(session, *given); });
  check->add_option("name", given->name, "container");
  check->add_option("--pid", given->pid, "root of a process tree; needs no agent")
      ->check(CLI::Range(1, std::numeric_limits<pid_t>::max()));
  add_external_unix(*check, [given](auto value) { given->external_unix = value; });
}

}  // namespace martlet::cli
