// Copying a container's files to another host: once while it runs, then what changed meanwhile.
//
// The first copy is rsync's. If the changes of a tree are tracked, what follows handles exactly
// what changed, over a connection of its own that stays open (change_sender.h); otherwise rsync
// compares everything once the container is frozen. docs/file-sync.md tells the whole story.
#pragma once

#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "migrate/change_sender.h"
#include "migrate/change_tracker.h"
#include "migrate/host.h"
#include "migrate/rsync_copy.h"

namespace martlet::migrate {

// The source's half, for all trees of one container. One thread uses it.
class FileSender {
 public:
  using Connect =
      std::function<Result<std::unique_ptr<TlsConnection>>(protocol::Channel::Kind kind)>;

  // `targets` are the destination's trees. A tree that both hosts share is left alone.
  FileSender(std::vector<FileTree> trees, std::vector<protocol::TreeTarget> targets,
             Connect connect);
  ~FileSender();

  // Before the first copy: what changes in the tree of this name is known to `tracker`, or why it
  // is not.
  void track(const std::string& tree, Result<std::unique_ptr<ChangeTracker>> tracker);

  // Each returns the bytes sent. The first copy comes first.
  Result<uint64_t> first_copy(const OnSent& on_sent = {});
  // What changed since, while the container still runs, again and again until that is little. Does
  // nothing for trees that are not tracked. `processes` are those that may write.
  Result<uint64_t> catch_up(const std::vector<HostPid>& processes);
  // What changed since, while nothing changes. Afterwards both sides are equal.
  Result<uint64_t> last_copy(const std::vector<HostPid>& processes);

  // How the last copy found what to do, for reports.
  const std::string& note() const { return note_; }

 private:
  struct Pass {
    uint64_t bytes = 0;
    size_t names = 0;  // that were looked at
  };

  // Those that the hosts share.
  Result<void> leave_out_shared_trees();
  const protocol::TreeTarget* target_of(const FileTree& tree) const;
  Result<Pass> send_changes(ChangeSender::Source source, const std::vector<HostPid>& processes);
  Result<size_t> send_tracked(const FileTree& tree, ChangeSender::Source source,
                              const std::vector<HostPid>& processes, Nanoseconds since);
  Result<size_t> send_single_file(const FileTree& tree, ChangeSender::Source source,
                                  Nanoseconds since);
  Result<ChangeSender*> change_sender();
  Result<uint64_t> compare_everything(const FileTree& tree, const std::vector<HostPid>& processes);
  Result<uint64_t> copy_running(const FileTree& tree, const OnSent& on_sent);
  Result<uint64_t> run_rsync(const FileTree& tree, CopyPass pass,
                             const std::vector<std::string>* only, const OnSent& on_sent);
  Result<void> give_up_tracking(Error error);

  std::vector<FileTree> trees_;
  std::vector<protocol::TreeTarget> targets_;
  Connect connect_;
  std::string tracked_tree_;
  std::unique_ptr<ChangeTracker> tracker_;
  std::future<void> dismissed_;  // the end of the tracker
  std::unique_ptr<ChangeSender> sender_;
  std::string doubt_;  // why there is no tracker
  std::string note_;
  Nanoseconds first_copy_began_{};
  Nanoseconds pass_began_{};
};

// How the destination describes a tree to the source.
protocol::TreeTarget describe_target(const FileTree& tree);

}  // namespace martlet::migrate
