// What a restarted agent does about the migrations that its predecessor left unfinished.
//
// The journal says how far each came; see docs/migration.md for why each rule is right.
#pragma once

#include <string>
#include <vector>

#include "migrate/environment.h"

namespace martlet::migrate {

// Settles everything that can be settled without asking another host: what was being built here is
// removed, what belongs here runs. Called before a MigrationServer starts. Returns the source's
// migrations that only the destination knows the outcome of; their containers stay frozen until
// resolve_in_doubt().
Result<std::vector<JournalEntry>> recover_migrations(Host& host, const Journal& journal);

// Asks the destination, however long that takes, and obeys. Blocks.
Result<void> resolve_in_doubt(const Environment& environment, const JournalEntry& entry);

}  // namespace martlet::migrate
