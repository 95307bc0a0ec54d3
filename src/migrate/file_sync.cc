#include "migrate/file_sync.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <iterator>

#include "base/log.h"
#include "migrate/file_node.h"
#include "migrate/file_scan.h"
#include "migrate/writable_files.h"

namespace martlet::migrate {

namespace {

constexpr int kFirstCopyAttempts = 3;
// When catching up ends: so little is left to the last copy, or no pass is shorter than the one
// before.
constexpr int kMaxCatchUps = 5;
constexpr size_t kFewNames = 64;
constexpr uint64_t kFewBytes = 256u << 10;

// Equal for the same file seen from two agents of one machine, and only then.
std::string identity_of(const std::string& path) {
  struct stat status;
  auto boot = read_file("/proc/sys/kernel/random/boot_id");
  if (::stat(path.c_str(), &status) != 0 || !boot) return "";
  return fmt::format("{} {}:{}", boot->substr(0, boot->find('\n')), status.st_dev, status.st_ino);
}

bool is_regular(const Fd& root, const std::string& path) {
  auto status = status_beneath(root, path);
  return status && S_ISREG(status->st_mode);
}

// Errors that comparing everything would only repeat.
bool is_final(const Error& error) {
  Code code = error.code();
  return code == Code::kPeerLost || code == Code::kCancelled || code == Code::kTimeout ||
         code == Code::kNoSpace;
}

}  // namespace

protocol::TreeTarget describe_target(const FileTree& tree) {
  protocol::TreeTarget target;
  target.set_name(tree.name);
  target.set_identity(identity_of(tree.path));
  if (tree.kind == FileTree::Kind::kFile)
    target.set_file_name(std::filesystem::path(tree.path).filename().string());
  return target;
}

FileSender::FileSender(std::vector<FileTree> trees, std::vector<protocol::TreeTarget> targets,
                       Connect connect)
    : trees_(std::move(trees)),
      targets_(std::move(targets)),
      connect_(std::move(connect)),
      doubt_("changes are not tracked") {}

FileSender::~FileSender() = default;

void FileSender::track(const std::string& tree, Result<std::unique_ptr<ChangeTracker>> tracker) {
  if (!tracker) {
    doubt_ = tracker.error().to_string();
    return;
  }
  tracked_tree_ = tree;
  tracker_ = std::move(*tracker);
}

Result<void> FileSender::give_up_tracking(Error error) {
  if (is_final(error)) return std::unexpected(std::move(error));
  doubt_ = error.to_string();
  spdlog::warn("files: everything will be compared: {}", doubt_);
  tracker_.reset();
  sender_.reset();
  return {};
}

const protocol::TreeTarget* FileSender::target_of(const FileTree& tree) const {
  auto found = std::ranges::find(targets_, tree.name, &protocol::TreeTarget::name);
  return found == targets_.end() ? nullptr : &*found;
}

Result<void> FileSender::leave_out_shared_trees() {
  for (const FileTree& tree : trees_)
    if (!target_of(tree))
      return fail(Code::kInvalidArgument, "the destination knows no tree " + tree.name);
  std::erase_if(trees_, [&](const FileTree& tree) {
    const std::string& there = target_of(tree)->identity();
    return !there.empty() && there == identity_of(tree.path);
  });
  return {};
}

Result<uint64_t> FileSender::first_copy(const OnSent& on_sent) {
  TRY(leave_out_shared_trees());
  first_copy_began_ = pass_began_ = file_time_now();
  uint64_t sent = 0;
  auto add_up = [&](uint64_t bytes) {
    if (on_sent) on_sent(sent + bytes);
  };
  for (const FileTree& tree : trees_)
    sent += TRY_IN(copy_running(tree, add_up), "files of " + tree.name);
  if (tracker_) tracker_->settle();
  return sent;
}

// rsync reports files that change under its hands in more ways than can be told from real errors;
// those that stay are there the next time too.
Result<uint64_t> FileSender::copy_running(const FileTree& tree, const OnSent& on_sent) {
  for (int attempt = 1;; ++attempt) {
    auto sent = run_rsync(tree, CopyPass::kRunning, nullptr, on_sent);
    if (sent || attempt == kFirstCopyAttempts || is_final(sent.error())) return sent;
    spdlog::warn("files of {}: once more: {}", tree.name, sent.error().to_string());
  }
}

Result<uint64_t> FileSender::catch_up(const std::vector<HostPid>& processes) {
  uint64_t sent = 0;
  uint64_t before = UINT64_MAX;
  for (int round = 1; round <= kMaxCatchUps && tracker_; ++round) {
    auto pass = send_changes(ChangeSender::Source::kRunning, processes);
    if (!pass) {
      TRY(give_up_tracking(std::move(pass.error())));
      break;
    }
    sent += pass->bytes;
    if (pass->names <= kFewNames && pass->bytes <= kFewBytes) break;
    if (pass->bytes > before / 2) break;
    before = pass->bytes;
  }
  TRY(change_sender());  // the pause does not wait for its handshake
  return sent;
}

Result<uint64_t> FileSender::last_copy(const std::vector<HostPid>& processes) {
  if (tracker_) {
    auto pass = send_changes(ChangeSender::Source::kFrozen, processes);
    if (pass) {
      note_ = fmt::format("{} names that changed", pass->names);
      // The kernel takes milliseconds to let go of what it watched; the pause does not wait for it.
      dismissed_ = std::async(std::launch::async,
                              [tracker = std::move(tracker_)]() mutable { tracker.reset(); });
      sender_.reset();
      return pass->bytes;
    }
    TRY(give_up_tracking(std::move(pass.error())));
  }
  note_ = "everything was compared: " + doubt_;
  uint64_t sent = 0;
  for (const FileTree& tree : trees_)
    sent += TRY_IN(compare_everything(tree, processes), "files of " + tree.name);
  // rsync tells the destination nothing that it could go by.
  if (sent > 0) TRY(TRY(change_sender())->finish());
  sender_.reset();
  return sent;
}

Result<FileSender::Pass> FileSender::send_changes(ChangeSender::Source source,
                                                  const std::vector<HostPid>& processes) {
  Nanoseconds since = std::exchange(pass_began_, file_time_now());
  Pass pass;
  uint64_t before = sender_ ? sender_->bytes_sent() : 0;
  for (const FileTree& tree : trees_) {
    auto sent = tree.name == tracked_tree_ ? send_tracked(tree, source, processes, since)
                                           : send_single_file(tree, source, since);
    pass.names += TRY_IN(std::move(sent), "files of " + tree.name);
  }
  if (sender_) pass.bytes = sender_->bytes_sent() - before;
  return pass;
}

Result<size_t> FileSender::send_tracked(const FileTree& tree, ChangeSender::Source source,
                                        const std::vector<HostPid>& processes, Nanoseconds since) {
  ChangeSet changes = tracker_->take();
  if (!changes.lost().empty()) return fail(Code::kUnsupported, changes.lost());
  SourceTree from{.name = tree.name,
                  .path = tree.path,
                  .root = TRY(open_file(tree.path, O_RDONLY | O_DIRECTORY)),
                  .watched = &tracker_->root()};
  ChangePlan plan = TRY(plan_changes(changes, *from.watched));
  WritableFiles writable;
  find_mapped_files(processes, *from.watched, writable);
  find_open_files(processes, *from.watched, since, writable);
  for (const std::string& path : writable.paths)
    if (is_regular(from.root, path)) plan.add(path, Treatment::kContent);
  std::ranges::move(writable.nameless, std::back_inserter(plan.nameless));
  if (!plan.treatments.empty() || !plan.nameless.empty())
    TRY(TRY(change_sender())->send(from, plan, source));
  if (source == ChangeSender::Source::kRunning) tracker_->settle();
  return plan.treatments.size();
}

// Of a tree that is one file, the file itself tells whether it changed.
Result<size_t> FileSender::send_single_file(const FileTree& tree, ChangeSender::Source source,
                                            Nanoseconds since) {
  if (tree.kind != FileTree::Kind::kFile)
    return fail(Code::kUnsupported, "changes of " + tree.name + " are not tracked");
  if (!TRY(scan_tree(tree.path, since)).changed) return 0;
  std::filesystem::path path(tree.path);
  std::string directory = path.parent_path();
  SourceTree from{.name = tree.name,
                  .path = directory,
                  .root = TRY(open_file(directory, O_RDONLY | O_DIRECTORY))};
  ChangePlan plan;
  plan.treatments.emplace(path.filename(), Treatment::kContent);
  TRY(TRY(change_sender())->send(from, plan, source));
  return 1;
}

Result<ChangeSender*> FileSender::change_sender() {
  if (!sender_) sender_ = std::make_unique<ChangeSender>(TRY(connect_(protocol::Channel::CHANGES)));
  return sender_.get();
}

Result<uint64_t> FileSender::compare_everything(const FileTree& tree,
                                                const std::vector<HostPid>& processes) {
  const TreeScan scan = TRY(scan_tree(tree.path, first_copy_began_, mapped_inodes(processes)));
  if (!scan.changed && scan.changed_files.empty()) return 0;
  uint64_t sent = TRY(run_rsync(tree, CopyPass::kFrozen, nullptr, {}));
  // rsync takes a file for unchanged by its size and time; these may have changed within one tick.
  if (!scan.changed_files.empty())
    sent += TRY(run_rsync(tree, CopyPass::kFrozen, &scan.changed_files, {}));
  return sent;
}

Result<uint64_t> FileSender::run_rsync(const FileTree& tree, CopyPass pass,
                                       const std::vector<std::string>* only,
                                       const OnSent& on_sent) {
  auto connection = TRY(connect_(protocol::Channel::FILES));
  return send_with_rsync(std::move(connection), tree, *target_of(tree), pass, only, on_sent);
}

}  // namespace martlet::migrate
