// From what changed at the source to what has to be done to the copy.
//
// The plan is made from states, not by repeating events: whatever happened to a name, the copy gets
// what the source has there now. Events only tell which names to look at, and where the copy still
// has an object that moved, so that it can be moved there as a whole. An object that moved while
// the copy was made, or that the copy never had, is sent anew.
//
// Paths are relative to the root, which is "". They mean the same in the container's overlay, where
// events come from, and in its upper layer, which is what is copied: an overlay keeps what it holds
// of a directory at the directory's own path.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "migrate/change_set.h"

namespace martlet::migrate {

// Parents before what is in them: '/' sorts before every other character.
struct ParentsFirst {
  bool operator()(const std::string& a, const std::string& b) const;
};

// What to do about one path.
enum class Treatment {
  kRefresh,       // attributes; if it vanished, the copy loses it
  kContent,       // the same, and content where it differs
  kPlace,         // it is moved here in the copy; attributes
  kPlaceContent,  // the same, and content where it differs
  kRenew,  // whatever the copy has here goes; everything is sent, directories with all in them
};

struct ChangePlan {
  struct Move {
    std::string from;  // where the copy has it
    std::string to;
  };
  std::vector<Move> moves;  // every `from` is left before anything is placed; innermost first
  std::map<std::string, Treatment, ParentsFirst> treatments;
  // Objects that changed and of which no name is known.
  std::vector<sys::FileHandle> nameless;

  // Treats a path at least as thoroughly as `treatment` says.
  void add(const std::string& path, Treatment treatment);
  // Whether something above `path` is sent anew together with it.
  bool is_covered(const std::string& path) const;
  // Whether it is moved to `path` in the copy.
  bool is_placed(const std::string& path) const;
};

// `root` is the watched file system's root directory.
Result<ChangePlan> plan_changes(const ChangeSet& changes, const Fd& root);

// "a/b" of "a" and "b"; "b" of "" and "b".
std::string join_path(const std::string& directory, const std::string& name);
// "a" of "a/b"; "" of "a".
std::string parent_of(const std::string& path);

}  // namespace martlet::migrate
