// Every file that a ChangePlan is about, with what it is at the source now: what is below
// directories that are sent anew, and the further names of files with several.
#pragma once

#include <sys/stat.h>

#include <map>
#include <optional>
#include <string>

#include "base/fd.h"
#include "migrate/change_plan.h"

namespace martlet::migrate {

// A tree at the source.
struct SourceTree {
  std::string name;
  std::string path;
  Fd root;                      // of `path`
  const Fd* watched = nullptr;  // the overlay over it, which events come from; null: none
};

struct ListedFile {
  Treatment treatment = Treatment::kRefresh;
  std::optional<struct stat> status;  // nothing: it does not exist
  std::string link_to;                // it becomes a further name of this one
};

using ChangeList = std::map<std::string, ListedFile, ParentsFirst>;

Result<ChangeList> list_changes(const SourceTree& tree, const ChangePlan& plan);

// The names in a directory; none if it vanished.
Result<std::vector<std::string>> names_in(const Fd& root, const std::string& directory);

}  // namespace martlet::migrate
