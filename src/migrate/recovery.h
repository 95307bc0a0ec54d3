// What an agent does about the migrations that it, or its predecessor, left unfinished.
//
// The journal says how far each came; see docs/handover.md for why each rule is right.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "migrate/environment.h"

namespace martlet::migrate {

// A migration that cannot be finished at once. While this exists nobody else can change the
// container.
struct Unfinished {
  JournalEntry entry;
  // Of one in doubt, or whose memory is still needed elsewhere; null if it is gone.
  std::unique_ptr<SourceContainer> container;
};

// Settles everything that can be settled without asking another host: what was being built here is
// removed, what belongs here runs. Called before anything else is served. Returns the rest: those
// that only the destination knows the outcome of, which stay frozen; those that the destination
// still has to forget; and those that failed here. Memory that is still to come goes on arriving;
// `memory` may be null if no host sends any.
Result<std::vector<Unfinished>> recover_migrations(Host& host, const Journal& journal,
                                                   MemoryArrivals* memory = nullptr);

// Tries until it is done, however long that takes. Blocks; ends early when the agent stops.
void finish_migration(const Environment& environment, Unfinished unfinished);

// What a migration of this container from here left in the journal, to be finished.
std::vector<Unfinished> remains_of(const std::string& container, const Journal& journal);

}  // namespace martlet::migrate
