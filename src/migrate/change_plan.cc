#include "migrate/change_plan.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <unordered_map>

namespace martlet::migrate {

namespace {

using ObjectId = ChangeSet::ObjectId;
using Place = ChangeSet::Place;

constexpr int kMaxDepth = 4096;  // of directories; the kernel's own limit of a path

class Planner {
 public:
  Planner(const ChangeSet& changes, const Fd& root) : changes_(changes), root_(root) {}

  Result<ChangePlan> run() {
    TRY(find_names());
    for (const auto& [path, found] : names_)
      if (found.name.arrived) add_arrival(path, found);
    for (const auto& [path, found] : names_)
      if (!found.name.arrived)
        plan_.add(path, is_written(found) ? Treatment::kContent : Treatment::kRefresh);
    for (ObjectId id = 0; id < changes_.objects().size(); ++id)
      if (changes_.objects()[id].attributes)
        if (auto path = TRY(path_of(id))) plan_.add(*path, Treatment::kRefresh);
    find_nameless();
    std::ranges::sort(plan_.moves, std::ranges::greater{},
                      [](const ChangePlan::Move& move) { return move.from.size(); });
    return std::move(plan_);
  }

 private:
  struct Found {
    ChangeSet::Name name;
    std::optional<ObjectId> object;  // that is there now, if the events know it
  };

  Result<void> find_names() {
    Result<void> outcome;
    changes_.for_each_name([&](const Place& place, ChangeSet::Name name) {
      if (!outcome) return;
      auto directory = path_of(place.directory);
      if (!directory) {
        outcome = std::unexpected(std::move(directory.error()));
        return;
      }
      if (!*directory) return;  // removed, and its own name with it
      std::string path = join_path(**directory, place.name);
      Found found{.name = name, .object = {}};
      if (auto handle = sys::handle_of(root_.get(), path)) found.object = changes_.find(*handle);
      if (found.object) named_.insert(*found.object);
      // An overlay may have called one directory by two handles, before and after a copy-up.
      auto [known, added] = names_.emplace(std::move(path), found);
      if (!added) known->second.name |= name;
    });
    return outcome;
  }

  // Perhaps through another name.
  bool is_written(const Found& found) const {
    return found.name.content || (found.object && changes_.objects()[*found.object].written);
  }

  void add_arrival(const std::string& path, const Found& found) {
    auto from = found.object ? origin_of(*found.object) : std::nullopt;
    if (!from) {
      plan_.add(path, Treatment::kRenew);
      return;
    }
    plan_.add(path, is_written(found) ? Treatment::kPlaceContent : Treatment::kPlace);
    plan_.moves.push_back({.from = std::move(*from), .to = path});
  }

  // Where a directory is now; nothing if it was removed.
  Result<std::optional<std::string>> path_of(ObjectId id) {
    auto [entry, added] = paths_.try_emplace(id);
    if (!added) return entry->second;
    const ChangeSet::Object& object = changes_.objects()[id];
    auto directory = sys::open_handle(root_.get(), object.handle, O_PATH | O_DIRECTORY);
    if (!directory && directory.error().code() == Code::kGone) return std::nullopt;
    if (!directory) return std::unexpected(std::move(directory.error()));
    std::string path = TRY(sys::path_of(*directory));
    path.erase(0, path.find_first_not_of('/'));
    if (is_same_file(*directory, path)) entry->second = std::move(path);
    return entry->second;
  }

  // What is printed for a removed directory leads nowhere, or to something else.
  bool is_same_file(const Fd& file, const std::string& path) const {
    struct stat one, other;
    return ::fstat(file.get(), &one) == 0 &&
           ::fstatat(root_.get(), path.c_str(), &other, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) == 0 &&
           one.st_dev == other.st_dev && one.st_ino == other.st_ino;
  }

  // Where the copy has an object that moved; nothing if that is not certain.
  std::optional<std::string> origin_of(ObjectId id, int depth = 0) {
    const ChangeSet::Object& object = changes_.objects()[id];
    if (!object.moved_from || object.created || object.moved_in == ChangeSet::Phase::kCopying)
      return std::nullopt;
    auto directory = origin_of_directory(object.moved_from->directory, depth + 1);
    if (!directory) return std::nullopt;
    return join_path(*directory, object.moved_from->name);
  }

  std::optional<std::string> origin_of_directory(ObjectId id, int depth) {
    const ChangeSet::Object& object = changes_.objects()[id];
    if (depth > kMaxDepth || object.created) return std::nullopt;
    if (object.moved_from) return origin_of(id, depth);
    auto path = path_of(id);
    if (path && *path) return origin_of_path(**path, depth);
    if (!object.deleted_from) return std::nullopt;
    auto parent = origin_of_directory(object.deleted_from->directory, depth + 1);
    if (!parent) return std::nullopt;
    return join_path(*parent, object.deleted_from->name);
  }

  // Where the copy has what is here now and did not move itself, but perhaps something above it.
  std::optional<std::string> origin_of_path(const std::string& path, int depth) {
    for (std::string above = path; !above.empty(); above = parent_of(above)) {
      auto found = names_.find(above);
      if (found == names_.end() || !found->second.name.arrived) continue;
      if (!found->second.object) return std::nullopt;
      auto origin = origin_of(*found->second.object, depth + 1);
      if (!origin) return std::nullopt;
      return *origin + path.substr(above.size());
    }
    return path;
  }

  // A file that was changed through a name that it has lost, and that may have another one.
  void find_nameless() {
    for (ObjectId id = 0; id < changes_.objects().size(); ++id) {
      const ChangeSet::Object& object = changes_.objects()[id];
      if (!object.touched || named_.contains(id)) continue;
      auto file = sys::open_handle(root_.get(), object.handle, O_PATH);
      struct stat status;
      if (!file || ::fstat(file->get(), &status) != 0) continue;
      if (status.st_nlink > 0 && !S_ISDIR(status.st_mode)) plan_.nameless.push_back(object.handle);
    }
  }

  const ChangeSet& changes_;
  const Fd& root_;
  ChangePlan plan_;
  std::unordered_map<ObjectId, std::optional<std::string>> paths_;
  std::unordered_map<std::string, Found> names_;
  std::set<ObjectId> named_;
};

}  // namespace

bool ParentsFirst::operator()(const std::string& a, const std::string& b) const {
  return std::ranges::lexicographical_compare(a, b, [](char x, char y) {
    auto rank = [](char c) { return c == '/' ? 0 : static_cast<unsigned char>(c); };
    return rank(x) < rank(y);
  });
}

std::string join_path(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

std::string parent_of(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

void ChangePlan::add(const std::string& path, Treatment treatment) {
  auto [entry, added] = treatments.try_emplace(path, treatment);
  if (!added) entry->second = std::max(entry->second, treatment);
  if (path.empty()) return;
  // An overlay makes a directory in its upper layer, or marks one there, without an event of it.
  for (std::string above = parent_of(path);; above = parent_of(above)) {
    if (!treatments.try_emplace(above, Treatment::kRefresh).second || above.empty()) break;
  }
}

bool ChangePlan::is_covered(const std::string& path) const {
  for (std::string at = path; !at.empty();) {
    if (is_placed(at)) return false;
    at = parent_of(at);
    auto found = treatments.find(at);
    if (found != treatments.end() && found->second == Treatment::kRenew) return true;
  }
  return false;
}

bool ChangePlan::is_placed(const std::string& path) const {
  auto found = treatments.find(path);
  return found != treatments.end() &&
         (found->second == Treatment::kPlace || found->second == Treatment::kPlaceContent);
}

Result<ChangePlan> plan_changes(const ChangeSet& changes, const Fd& root) {
  return Planner(changes, root).run();
}

}  // namespace martlet::migrate
