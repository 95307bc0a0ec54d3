// How migrations look, to programs and to people.
#pragma once

#include <string>

#include "agent/api.pb.h"
#include "cli/output.h"

namespace martlet::cli {

// The words of the command line: "precopy", "max-pause", "lz4", ...
std::string mode_name(agent::MigrationMode mode);
std::string migration_state_name(agent::MigrationState state);

Json to_json(const agent::MigrationOptions& options);
Json to_json(const agent::Migration& migration);

// One line for each.
std::string migration_table(const agent::ListMigrationsReply& migrations, int64_t now);
// Everything about one.
std::string migration_details(const agent::Migration& migration);

}  // namespace martlet::cli
