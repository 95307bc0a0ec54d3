#include "migrate/recovery.h"

#include "base/log.h"
#include "migrate/peer.h"

namespace martlet::migrate {

namespace {

Result<void> go_on_here(const Environment& environment, const std::string& name) {
  auto container = environment.host.open_container(name);
  if (!container && container.error().code() == Code::kNotFound) return {};
  if (!container) return std::unexpected(std::move(container.error()));
  TRY((*container)->release_network());
  return (*container)->thaw();
}

Result<void> remove_from_source(const Environment& environment, const std::string& name) {
  auto container = environment.host.open_container(name);
  if (!container && container.error().code() == Code::kNotFound) return {};
  if (!container) return std::unexpected(std::move(container.error()));
  return (*container)->destroy();
}

// The destination's half-built container, or the one that it owns.
Result<void> settle_on_destination(const Environment& environment, const JournalEntry& entry) {
  auto container = environment.host.reopen_reserved(entry.container);
  if (!container && container.error().code() == Code::kNotFound) return {};
  if (!container) return std::unexpected(std::move(container.error()));
  if (entry.state == JournalState::kPrepared) return (*container)->destroy();
  TRY((*container)->announce());
  return (*container)->run();
}

bool is_source(const JournalEntry& entry) {
  return !entry.peer_host.empty();
}

Result<void> settle(const Environment& environment, const JournalEntry& entry) {
  spdlog::info("migration {} of container {} was interrupted: settling it", entry.migration,
               entry.container);
  if (!is_source(entry)) {
    TRY(settle_on_destination(environment, entry));
    // The source may still ask how a committed migration ended.
    return entry.state == JournalState::kPrepared ? environment.journal.erase(entry.migration)
                                                  : Result<void>{};
  }
  if (entry.state == JournalState::kPreparing)
    TRY(go_on_here(environment, entry.container));
  else
    TRY(remove_from_source(environment, entry.container));
  return environment.journal.erase(entry.migration);
}

}  // namespace

Result<std::vector<JournalEntry>> recover_migrations(const Environment& environment) {
  std::vector<JournalEntry> in_doubt;
  for (const JournalEntry& entry : TRY(environment.journal.list())) {
    if (entry.state == JournalState::kCommitting)
      in_doubt.push_back(entry);
    else
      TRY_IN(settle(environment, entry), "migration of container " + entry.container);
  }
  return in_doubt;
}

Result<void> resolve_in_doubt(const Environment& environment, const JournalEntry& entry) {
  Destination destination{.name = entry.peer,
                          .endpoint = {.host = entry.peer_host, .port = entry.peer_port}};
  Peer peer(environment.tls, destination, entry.migration);
  bool moved = peer.resolve(environment.clock) == protocol::Resolution::COMMITTED;
  spdlog::info("container {} {}", entry.container,
               moved ? "moved to " + entry.peer : std::string("goes on here"));
  if (moved) {
    TRY(remove_from_source(environment, entry.container));
    (void)peer.forget({});  // otherwise the destination only keeps a small file
  } else {
    TRY(go_on_here(environment, entry.container));
  }
  return environment.journal.erase(entry.migration);
}

}  // namespace martlet::migrate
