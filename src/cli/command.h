// How commands are put together. Each group of commands has one file with an add_..._commands(),
// which declares options and, when its command was given, leaves the work in Session::action.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "agent/client.h"
#include "base/result.h"

namespace martlet::cli {

// One call of `martlet`: the global options, and what to do.
struct Session {
  std::string socket = "/run/martlet/agent.sock";
  bool json = false;
  std::function<Result<int>()> action;  // returns the exit code

  agent::Client client() const { return agent::Client(socket); }
};

// A subcommand with --json (and --socket) behind it; `examples` is shown by --help. When it was
// given and parsed, `action` is what the session does; it may refer to options held by shared
// pointers.
CLI::App* add_command(CLI::App& app, Session& session, const std::string& name,
                      const std::string& description, const std::string& examples,
                      std::function<Result<int>()> action);

// Tells what failed, as JSON too if it was asked for; returns the exit code.
int report_error(const Session& session, const Error& error);

void add_container_commands(CLI::App& app, Session& session);
void add_check_command(CLI::App& app, Session& session);
void add_checkpoint_commands(CLI::App& app, Session& session);
void add_stream_commands(CLI::App& app, Session& session);
void add_migrate_command(CLI::App& app, Session& session);
void add_migration_commands(CLI::App& app, Session& session);
void add_prediction_commands(CLI::App& app, Session& session);
void add_cluster_commands(CLI::App& app, Session& session);
void add_plan_commands(CLI::App& app, Session& session);
void add_stand_command(CLI::App& app, Session& session);

}  // namespace martlet::cli
