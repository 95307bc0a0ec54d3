// The durable memory of a host about its migrations: one small file for each that is not finished.
//
// What a restarted agent must know to keep "exactly one" is written here before it becomes true:
// see docs/handover.md. A file has room for two states: the next one overwrites the older, synced,
// so that writing it needs no space and at any time one of them is whole. An entry that was erased
// does not come back. Thread-safe for different migrations.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace martlet::migrate {

enum class JournalState {
  kPreparing,   // source: the container is ours
  kCommitting,  // source: the destination may have it; frozen until we know
  kLeaving,     // source: it belongs to the destination; what is still here is to be removed
  kPrepared,    // destination: not ours; whatever was built is to be removed
  kCommitted,   // destination: it is ours, unless this host goes down before it runs
  kArrived,     // destination: it is ours and has run; kept until the source knows
  kServing,     // source: it belongs to the destination, which still needs memory that is here
  kArriving,    // destination: it is ours and has run, and memory is still to come
};

struct JournalEntry {
  std::string migration;
  std::string container;
  // Of the container's record on this host; one of another incarnation is none of this migration's.
  std::string incarnation;
  JournalState state = JournalState::kPreparing;
  std::string peer;          // name of the other host
  bool late_memory = false;  // committing, committed: memory is to come after it runs
  bool booted = false;       // when read: the host was started again since this was written
};

class Journal {
 public:
  // Makes the directory if it is missing. `boot` tells one run of the host's kernel from another;
  // empty: that of /proc.
  static Result<Journal> open(std::string directory, std::string boot = "");

  // Whether the new state is the one on disk is not known after an error; find() tells what a
  // restarted agent would see.
  Result<void> write(const JournalEntry& entry) const;
  Result<void> erase(const std::string& migration) const;
  // Unreadable files are an error that names them: they may decide who owns a container.
  Result<std::vector<JournalEntry>> list() const;
  // kNotFound if there is none.
  Result<JournalEntry> find(const std::string& migration) const;

 private:
  Journal(std::string directory, std::string boot)
      : directory_(std::move(directory)), boot_(std::move(boot)) {}
  std::string path_of(const std::string& migration) const;
  Result<JournalEntry> read(const std::string& path) const;

  std::string directory_;
  std::string boot_;
};

}  // namespace martlet::migrate
