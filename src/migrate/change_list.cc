#include "migrate/change_list.h"

#include <fcntl.h>
#include <fts.h>

#include <algorithm>
#include <memory>
#include <set>
#include <vector>

#include "migrate/file_node.h"

namespace martlet::migrate {

namespace {

class Lister {
 public:
  Lister(const SourceTree& tree, const ChangePlan& plan) : tree_(tree), plan_(plan) {}

  Result<ChangeList> run() {
    for (const auto& [path, treatment] : plan_.treatments)
      if (!plan_.is_covered(path)) TRY(list(path, treatment));
    group_links();
    if (is_search_needed()) TRY(search_names());
    for (const auto& [inode, names] : groups_) link_names(names);
    return std::move(files_);
  }

 private:
  Result<void> list(const std::string& path, Treatment treatment) {
    ListedFile& file = files_[path];
    file.treatment = treatment;
    auto status = status_beneath(tree_.root, path);
    if (!status && status.error().code() == Code::kNotFound) return {};
    file.status = TRY(std::move(status));
    if (!S_ISDIR(file.status->st_mode) || treatment != Treatment::kRenew) return {};
    for (const std::string& name : TRY(names_in(tree_.root, path))) {
      std::string below = join_path(path, name);
      if (!plan_.is_placed(below)) TRY(list(below, Treatment::kRenew));
    }
    return {};
  }

  // Whiteouts share one file too, but only to save room.
  static bool is_linked(const struct stat& status) {
    return status.st_nlink > 1 && !S_ISDIR(status.st_mode) && !is_whiteout(status);
  }

  void group_links() {
    for (const auto& [path, file] : files_)
      if (file.status && is_linked(*file.status)) groups_[file.status->st_ino].push_back(path);
  }

  // An overlay's index links the upper layer's files once more; its own count is without that.
  nlink_t count_names(const std::string& path) const {
    struct stat status;
    if (!tree_.watched ||
        ::fstatat(tree_.watched->get(), path.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
      return 0;
    return status.st_nlink;
  }

  // Whether some file that is sent anew has a name that is not listed.
  bool is_search_needed() {
    for (const auto& [inode, names] : groups_) {
      bool renewed = std::ranges::any_of(names, [this](const std::string& name) {
        return files_[name].treatment == Treatment::kRenew;
      });
      if (renewed && count_names(names.front()) > names.size()) searched_.insert(inode);
    }
    return !searched_.empty() || !plan_.nameless.empty();
  }

  Result<void> search_names() {
    std::string root = tree_.path;
    char* const roots[] = {root.data(), nullptr};
    std::unique_ptr<FTS, decltype(&::fts_close)> walk(
        ::fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, nullptr), &::fts_close);
    if (!walk) return fail_errno("read " + root);
    while (FTSENT* entry = ::fts_read(walk.get())) {
      bool known =
          entry->fts_info == FTS_F || entry->fts_info == FTS_SL || entry->fts_info == FTS_DEFAULT;
      if (!known) continue;
      std::string path = entry->fts_path + root.size() + 1;
      if (!files_.contains(path)) consider(path, *entry->fts_statp);
    }
    return {};
  }

  void consider(const std::string& path, const struct stat& status) {
    bool wanted = is_linked(status) && searched_.contains(status.st_ino);
    // The one name that is left of several is as good as any.
    if (!wanted && tree_.watched && !plan_.nameless.empty()) {
      auto handle = sys::handle_of(tree_.watched->get(), path);
      wanted = handle && std::ranges::find(plan_.nameless, *handle) != plan_.nameless.end();
    }
    if (!wanted) return;
    files_[path] = {.treatment = Treatment::kContent, .status = status, .link_to = {}};
    if (is_linked(status)) groups_[status.st_ino].push_back(path);
  }

  // The copy keeps the file behind one name; those that are sent anew become links to it.
  void link_names(const std::vector<std::string>& names) {
    auto kept = std::ranges::find_if(names, [this](const std::string& name) {
      return files_[name].treatment != Treatment::kRenew;
    });
    const std::string& first = kept == names.end() ? names.front() : *kept;
    for (const std::string& name : names)
      if (files_[name].treatment == Treatment::kRenew && name != first)
        files_[name].link_to = first;
  }

  const SourceTree& tree_;
  const ChangePlan& plan_;
  ChangeList files_;
  std::map<ino_t, std::vector<std::string>> groups_;
  std::set<ino_t> searched_;
};

}  // namespace

Result<std::vector<std::string>> names_in(const Fd& root, const std::string& path) {
  auto directory = open_beneath(root, path, O_RDONLY | O_DIRECTORY);
  if (directory) return read_directory(*directory);
  if (directory.error().code() == Code::kNotFound) return std::vector<std::string>{};
  return std::unexpected(std::move(directory.error()));
}

Result<ChangeList> list_changes(const SourceTree& tree, const ChangePlan& plan) {
  return Lister(tree, plan).run();
}

}  // namespace martlet::migrate
