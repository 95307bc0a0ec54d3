// The options of `martlet migrate`: from the command line to the agent's API.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "agent/api.pb.h"
#include "base/result.h"

namespace martlet::cli {

// Only what was given is set in `given`. Values that are not one of their kind are refused while
// parsing; what does not go together, by the agent.
void add_migration_options(CLI::App& command,
                           const std::shared_ptr<agent::MigrationOptions>& given);

// --compress.
void add_compression(CLI::App& command, const std::string& help,
                     std::function<void(agent::Compression)> set);

// --external-unix.
void add_external_unix(CLI::App& command, std::function<void(agent::OutsidePeers)> set);

// What becomes of a container's connections is told by its declaration.
Result<void> refuse_declared(const std::string& container,
                             const std::optional<agent::OutsidePeers>& external_unix);

// One option with a duration ("10ms") or a rate ("200Mbit/s"), which `set` is given in nanoseconds
// or bytes per second.
CLI::Option* add_duration(CLI::App& command, const std::string& name, const std::string& help,
                          std::function<void(int64_t)> set);
CLI::Option* add_rate(CLI::App& command, const std::string& name, const std::string& help,
                      std::function<void(uint64_t)> set);

}  // namespace martlet::cli
