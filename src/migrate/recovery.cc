#include "migrate/recovery.h"

#include "base/log.h"
#include "migrate/peer.h"

namespace martlet::migrate {

namespace {

// Null if there is nothing left of it.
template <typename Container>
Result<std::unique_ptr<Container>> unless_gone(Result<std::unique_ptr<Container>> container) {
  if (!container && container.error().code() == Code::kNotFound) return nullptr;
  return container;
}

Result<void> go_on_here(Host& host, const std::string& name) {
  auto container = TRY(unless_gone(host.open_container(name)));
  if (!container || container->init().value == 0) return {};
  TRY(container->release_network());
  return container->thaw();
}

Result<void> remove_from_source(Host& host, const std::string& name) {
  auto container = TRY(unless_gone(host.open_container(name)));
  return container ? container->destroy() : Result<void>{};
}

Result<void> remove_half_built(Host& host, const std::string& name) {
  auto container = TRY(unless_gone(host.reopen_reserved(name)));
  return container ? container->destroy() : Result<void>{};
}

// It may run already; then both are repetitions.
Result<void> run_here(Host& host, const std::string& name) {
  auto container = TRY(unless_gone(host.reopen_reserved(name)));
  if (!container) return {};
  TRY(container->announce());
  return container->run();
}

Result<void> settle(Host& host, const Journal& journal, const JournalEntry& entry) {
  spdlog::info("migration {} of container {} was interrupted: settling it", entry.migration,
               entry.container);
  switch (entry.state) {
    case JournalState::kPreparing: TRY(go_on_here(host, entry.container)); break;
    case JournalState::kLeaving: TRY(remove_from_source(host, entry.container)); break;
    case JournalState::kPrepared: TRY(remove_half_built(host, entry.container)); break;
    case JournalState::kCommitted:
      return run_here(host, entry.container);  // the source may still ask how it ended
    case JournalState::kCommitting: return {};
  }
  return journal.erase(entry.migration);
}

}  // namespace

Result<std::vector<JournalEntry>> recover_migrations(Host& host, const Journal& journal) {
  std::vector<JournalEntry> in_doubt;
  for (const JournalEntry& entry : TRY(journal.list())) {
    if (entry.state == JournalState::kCommitting)
      in_doubt.push_back(entry);
    else
      TRY_IN(settle(host, journal, entry), "migration of container " + entry.container);
  }
  return in_doubt;
}

Result<void> resolve_in_doubt(const Environment& environment, const JournalEntry& entry) {
  Peer peer(environment.tls, environment.host, entry.peer, entry.migration);
  bool moved = peer.resolve(environment.clock) == protocol::Resolution::COMMITTED;
  spdlog::info("container {} {}", entry.container,
               moved ? "moved to " + entry.peer : std::string("goes on here"));
  if (moved) {
    TRY(remove_from_source(environment.host, entry.container));
    (void)peer.forget({});  // otherwise the destination only keeps a small file
  } else {
    TRY(go_on_here(environment.host, entry.container));
  }
  return environment.journal.erase(entry.migration);
}

}  // namespace martlet::migrate
