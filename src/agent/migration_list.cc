#include "agent/migration_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "agent/migration_messages.h"

namespace martlet::agent {

namespace {

MigrationState state_of(const Result<void>& outcome) {
  if (outcome) return MIGRATION_DONE;
  return outcome.error().code() == Code::kCancelled ? MIGRATION_CANCELLED : MIGRATION_FAILED;
}

}  // namespace

void MigrationList::begin(Migration migration) {
  migration.set_state(MIGRATION_RUNNING);
  migration.set_started_at(time(nullptr));
  const std::lock_guard lock(mutex_);
  entries_.push_front({.migration = std::move(migration), .began = clock_.now()});
  forget_oldest();
}

void MigrationList::change(const std::string& id, const std::function<void(Migration&)>& change) {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(
      entries_, id, [](const Entry& entry) -> const std::string& { return entry.migration.id(); });
  if (found != entries_.end()) change(found->migration);
}

void MigrationList::end(const std::string& id, const Result<void>& outcome) {
  const std::lock_guard lock(mutex_);
  for (Entry& entry : entries_) {
    if (entry.migration.id() != id) continue;
    entry.migration = snapshot(entry);
    entry.migration.set_state(state_of(outcome));
    if (!outcome) entry.migration.set_problem(outcome.error().to_string());
  }
}

// Those under way stay, however many they are.
void MigrationList::forget_oldest() {
  size_t ended = 0;
  std::erase_if(entries_, [&](const Entry& entry) {
    return entry.migration.state() != MIGRATION_RUNNING && ++ended > kMaxEnded;
  });
}

// With the time it has taken so far.
Migration MigrationList::snapshot(const Entry& entry) const {
  Migration migration = entry.migration;
  if (migration.state() == MIGRATION_RUNNING)
    migration.set_seconds(in_seconds(clock_.now() - entry.began));
  return migration;
}

std::vector<Migration> MigrationList::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<Migration> migrations;
  for (const Entry& entry : entries_) migrations.push_back(snapshot(entry));
  return migrations;
}

Result<Migration> MigrationList::find(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  for (const Entry& entry : entries_)
    if (entry.migration.container() == name ||
        (!name.empty() && entry.migration.id().starts_with(name)))
      return snapshot(entry);
  return std::unexpected(
      Error(Code::kNotFound, fmt::format("no migration of {} since the agent started", name))
          .with_remedy("'martlet migration ls' lists them"));
}

void MigrationList::on_begin(const std::string& migration, const std::string& container,
                             const std::string& source) {
  Migration arriving;
  arriving.set_id(migration);
  arriving.set_container(container);
  arriving.set_source(source);
  arriving.set_destination(host_);
  begin(std::move(arriving));
}

void MigrationList::on_stage(const std::string& migration, migrate::Stage stage) {
  change(migration, [&](Migration& arriving) {
    *arriving.mutable_progress() = to_message(migrate::Progress{.stage = stage});
  });
}

void MigrationList::on_end(const std::string& migration, const Result<void>& outcome) {
  end(migration, outcome);
}

}  // namespace martlet::agent
