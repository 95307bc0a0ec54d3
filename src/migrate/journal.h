// The durable memory of a host about its migrations: one small file for each that is not finished.
//
// What a restarted agent must know to keep "exactly one" is written here before it becomes true:
// see docs/migration.md. Files are replaced atomically and synced. Thread-safe for different
// migrations.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace martlet::migrate {

enum class JournalState {
  kPreparing,   // source: the container is ours
  kCommitting,  // source: the destination may have it; frozen until we know
  kPrepared,    // destination: not ours; whatever was built is to be removed
  kCommitted,   // destination: it is ours
  kLeaving,     // source: it belongs to the destination; what is still here is to be removed
};

struct JournalEntry {
  std::string migration;
  std::string container;
  JournalState state = JournalState::kPreparing;
  std::string peer;  // name of the other host
};

class Journal {
 public:
  // Makes the directory if it is missing.
  static Result<Journal> open(std::string directory);

  Result<void> write(const JournalEntry& entry) const;
  Result<void> erase(const std::string& migration) const;
  // Unreadable files are an error that names them: they may decide who owns a container.
  Result<std::vector<JournalEntry>> list() const;
  // kNotFound if there is none.
  Result<JournalEntry> find(const std::string& migration) const;

 private:
  explicit Journal(std::string directory) : directory_(std::move(directory)) {}
  std::string path_of(const std::string& migration) const;

  std::string directory_;
};

// 32 random hexadecimal digits.
std::string make_migration_id();
bool is_migration_id(const std::string& text);

}  // namespace martlet::migrate
