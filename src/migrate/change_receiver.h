// The destination's half of copying what changed: applies the operations of file_changes.proto to
// the trees of one container, and nowhere else. One thread uses it, that of the connection.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "migrate/host.h"
#include "migrate/message_channel.h"

namespace martlet::migrate {

// Serves the connection until the source closes it. `on_finish` is called when everything that the
// source asked for is done, before it is told so.
Result<void> receive_changes(MessageChannel& channel, const std::vector<FileTree>& trees,
                             const std::function<Result<void>()>& on_finish);

// One tree and what is being done to it.
class TreeEditor {
 public:
  static Result<TreeEditor> open(const FileTree& tree);
  TreeEditor(TreeEditor&&) = default;
  TreeEditor& operator=(TreeEditor&&) = delete;
  ~TreeEditor();

  Result<void> stash(const protocol::FileChange::Stash& request);
  Result<void> place(const protocol::FileChange::Place& request);
  Result<void> remove(const protocol::FileChange::Remove& request);
  Result<void> put(const protocol::FileChange::Put& request);
  Result<void> data(const protocol::FileChange::Data& request);
  Result<void> hole(const protocol::FileChange::Hole& request);
  Result<void> link(const protocol::FileChange::Link& request);
  Result<std::string> compare(const protocol::FileChange::Compare& request);
  // Returns what is missing.
  Result<std::vector<std::string>> finish();

  // The file that was put last gets its attributes and is closed.
  Result<void> close_file();

 private:
  struct Entry {
    const Fd* directory;
    std::string name;
  };
  struct OpenFile {
    Fd fd;
    std::string path;
    protocol::FileAttributes attributes;
    uint64_t size;
  };

  TreeEditor(const FileTree& tree, Fd root) : tree_(tree), root_(std::move(root)) {}
  // Nothing if the directory does not exist.
  Result<std::optional<Entry>> find(const std::string& path);
  void forget_directory() { directory_path_.reset(); }
  Result<bool> keep_or_remove(const Entry& entry, const protocol::FileChange::Put& request);
  Result<void> put_content(const Entry& entry, const protocol::FileChange::Put& request);
  Result<void> open_stash();
  Result<void> remove_stash();

  FileTree tree_;
  Fd root_;  // of a tree that is one file, its directory
  Fd stash_;
  std::optional<std::string> directory_path_;  // that of directory_
  Fd directory_;
  std::optional<OpenFile> file_;
  std::set<std::string> missing_;
};

}  // namespace martlet::migrate
