#include "migrate/recovery.h"

#include <algorithm>

#include "base/log.h"
#include "migrate/late_memory_server.h"
#include "migrate/peer.h"

namespace martlet::migrate {

namespace {

constexpr std::chrono::milliseconds kAnswerTimeout{5000};
constexpr std::chrono::milliseconds kFirstInterval{20};
// Somebody waits for a container in doubt. The rest costs only a small file.
constexpr std::chrono::milliseconds kLastIntervalInDoubt{500};
constexpr std::chrono::milliseconds kLastInterval{30'000};

enum class Attempt { kDone, kAskAgain };

// Null if there is nothing left of it, or another container has its name.
template <typename Container>
Result<std::unique_ptr<Container>> if_same(Result<std::unique_ptr<Container>> found,
                                           const JournalEntry& entry) {
  if (!found && found.error().code() == Code::kNotFound) return nullptr;
  if (found && (*found)->incarnation() != entry.incarnation) return nullptr;
  return found;
}

Result<std::unique_ptr<SourceContainer>> open_leaving(Host& host, const JournalEntry& entry) {
  return if_same(host.open_container(entry.container), entry);
}

Result<void> go_on(SourceContainer& container) {
  if (container.init().value == 0) return {};
  TRY(container.release_network());
  TRY(container.thaw());
  auto unthrottled = container.throttle(100);
  if (!unthrottled && unthrottled.error().code() != Code::kUnsupported) return unthrottled;
  return {};
}

Result<void> go_on_here(Host& host, const JournalEntry& entry) {
  auto container = TRY(open_leaving(host, entry));
  return container ? go_on(*container) : Result<void>{};
}

Result<void> remove_from_source(Host& host, const JournalEntry& entry) {
  auto container = TRY(open_leaving(host, entry));
  return container ? container->destroy() : Result<void>{};
}

Result<void> remove_half_built(Host& host, const JournalEntry& entry) {
  auto container = TRY(if_same(host.reopen_reserved(entry.container), entry));
  return container ? container->destroy() : Result<void>{};
}

// It may run already; then both are repetitions.
Result<void> run_here(Host& host, const JournalEntry& entry) {
  auto container = TRY(if_same(host.reopen_reserved(entry.container), entry));
  if (!container || container->init().value == 0) return {};
  TRY(container->announce());
  return container->run();
}

// It must not run unless missing pages are kept from reading as zeros. If they are not, it has run
// for a moment at most and the source was told nothing: it goes on there.
Result<void> run_with_late_memory(Host& host, const Journal& journal, MemoryArrivals& memory,
                                  JournalEntry entry) {
  if (!memory.is_kept(entry.migration)) {
    TRY(remove_half_built(host, entry));
    return journal.erase(entry.migration);
  }
  TRY(run_here(host, entry));
  entry.state = JournalState::kArriving;
  TRY(journal.write(entry));
  return memory.resume(entry);
}

// What needs no other host.
Result<void> settle(Host& host, const Journal& journal, MemoryArrivals* memory,
                    JournalEntry entry) {
  bool late = memory != nullptr && (entry.late_memory || entry.state == JournalState::kArriving);
  switch (entry.state) {
    case JournalState::kPreparing: TRY(go_on_here(host, entry)); break;
    case JournalState::kPrepared: TRY(remove_half_built(host, entry)); break;
    case JournalState::kCommitted:
      if (!entry.booted && late) return run_with_late_memory(host, journal, *memory, entry);
      if (!entry.booted) {
        TRY(run_here(host, entry));
        entry.state = JournalState::kArrived;
        return journal.write(entry);
      }
      // It ended with the host, and nobody was told of it: the source still has it.
      TRY(remove_half_built(host, entry));
      break;
    case JournalState::kLeaving: return remove_from_source(host, entry);  // then it is forgotten
    case JournalState::kArriving: return late ? memory->resume(entry) : Result<void>{};
    case JournalState::kServing:
    case JournalState::kCommitting:
    case JournalState::kArrived: return {};  // the source may still ask
  }
  return journal.erase(entry.migration);
}

bool needs_the_peer(const JournalEntry& entry) {
  return entry.state == JournalState::kCommitting || entry.state == JournalState::kServing ||
         entry.state == JournalState::kLeaving;
}

// An older entry of a container that is in doubt now must not let it go on.
void erase_overruled(const Journal& journal, std::vector<JournalEntry>& entries) {
  const auto overruled = [&](const JournalEntry& entry) {
    return entry.state == JournalState::kPreparing &&
           std::ranges::any_of(entries, [&](const JournalEntry& other) {
             return needs_the_peer(other) && other.incarnation == entry.incarnation;
           });
  };
  std::erase_if(entries, [&](const JournalEntry& entry) {
    return overruled(entry) && journal.erase(entry.migration);
  });
}

class Finisher {
 public:
  Finisher(const Environment& environment, Unfinished unfinished)
      : environment_(environment),
        entry_(std::move(unfinished.entry)),
        container_(std::move(unfinished.container)),
        peer_(environment.tls, environment.host, entry_.peer, entry_.migration) {}

  Result<Attempt> attempt() {
    if (entry_.state == JournalState::kCommitting) return resolve();
    if (entry_.state == JournalState::kServing) return serve();
    TRY(settle(environment_.host, environment_.journal, environment_.memory, entry_));
    if (entry_.state != JournalState::kLeaving) return Attempt::kDone;
    TRY(peer_.forget(limits()));
    TRY(environment_.journal.erase(entry_.migration));
    return Attempt::kDone;
  }

  std::chrono::milliseconds longest_interval() const {
    return entry_.state == JournalState::kCommitting || entry_.state == JournalState::kServing
               ? kLastIntervalInDoubt
               : kLastInterval;
  }
  // Destroying it would let others change a container that is still in doubt.
  void leave_to_the_next_agent() { (void)container_.release(); }
  const std::string& container() const { return entry_.container; }

 private:
  WaitLimits limits() const {
    return {.timeout = kAnswerTimeout, .cancellation = &environment_.stopping};
  }

  Result<Attempt> resolve() {
    auto outcome = TRY(peer_.query(limits()));
    if (outcome == protocol::Resolution::COMMITTED && entry_.late_memory) {
      entry_.state = JournalState::kServing;
      TRY(environment_.journal.write(entry_));
      return serve();
    }
    if (outcome == protocol::Resolution::COMMITTED) return be_gone();
    if (outcome != protocol::Resolution::ABORTED) return Attempt::kAskAgain;
    if (container_) TRY(go_on(*container_));
    container_.reset();
    TRY(environment_.journal.erase(entry_.migration));
    spdlog::info("container {} goes on here: host {} did not take it", container(), peer_.name());
    return Attempt::kDone;
  }

  // The container runs on the destination, and needs memory of the tasks that stand frozen here.
  Result<Attempt> serve() {
    bool gone = entry_.booted || !container_ || container_->init().value == 0;
    if (gone)
      TRY(report_memory_lost(environment_, entry_.peer, entry_.migration));
    else
      TRY(serve_late_memory(environment_, container_->init(),
                            {.destination = entry_.peer, .migration = entry_.migration}));
    return be_gone();
  }

  Result<Attempt> be_gone() {
    if (container_) TRY(container_->destroy());
    container_.reset();
    spdlog::info("container {} moved to {}", container(), peer_.name());
    entry_.state = JournalState::kLeaving;
    return Attempt::kAskAgain;
  }

  const Environment& environment_;
  JournalEntry entry_;
  std::unique_ptr<SourceContainer> container_;
  Peer peer_;
};

}  // namespace

Result<std::vector<Unfinished>> recover_migrations(Host& host, const Journal& journal,
                                                   MemoryArrivals* memory) {
  std::vector<Unfinished> unfinished;
  auto entries = TRY(journal.list());
  erase_overruled(journal, entries);
  for (const JournalEntry& entry : entries) {
    Unfinished left{.entry = entry, .container = nullptr};
    if (entry.state == JournalState::kCommitting || entry.state == JournalState::kServing)
      left.container = TRY_IN(open_leaving(host, entry), "migration of " + entry.container);
    auto settled = settle(host, journal, memory, entry);
    if (!settled)
      spdlog::error("container {}: its interrupted migration: {}; trying again", entry.container,
                    settled.error().to_string());
    if (!settled || needs_the_peer(entry)) unfinished.push_back(std::move(left));
  }
  return unfinished;
}

void finish_migration(const Environment& environment, Unfinished unfinished) {
  Finisher finisher(environment, std::move(unfinished));
  for (auto interval = kFirstInterval;;
       interval = std::min(2 * interval, finisher.longest_interval())) {
    auto progress = finisher.attempt();
    if (progress && *progress == Attempt::kDone) return;
    if (!progress)
      spdlog::debug("container {}: {}", finisher.container(), progress.error().to_string());
    if (!environment.stopping.sleep(interval)) return finisher.leave_to_the_next_agent();
  }
}

std::vector<Unfinished> remains_of(const std::string& container, const Journal& journal) {
  std::vector<Unfinished> remains;
  auto entries = journal.list();
  if (!entries) return remains;
  for (JournalEntry& entry : *entries)
    if (entry.container == container &&
        (entry.state == JournalState::kLeaving || entry.state == JournalState::kPreparing))
      remains.push_back({.entry = std::move(entry), .container = nullptr});
  return remains;
}

}  // namespace martlet::migrate
