#include "migrate/change_tracker.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>

#include "sys/namespaces.h"

namespace martlet::migrate {

namespace {

// Events are read in batches, because the kernel merges those of one file while they wait.
constexpr int kBatchMilliseconds = 5;

// A mount of its own, which shows the file system without what is mounted over it, and stays when
// the container ends. Only from within a mount namespace its mounts can be cloned.
Result<Fd> open_bare(HostPid process, const std::string& root) {
  Fd opened;
  auto clone = [&]() -> Result<void> {
    Fd tree(::open_tree(AT_FDCWD, root.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    if (!tree.valid()) return fail_errno("open_tree of " + root);
    opened.reset(::openat(tree.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!opened.valid()) return fail_errno("open " + root);
    return {};
  };
  Fd mounts = TRY(sys::open_namespace(process, sys::NamespaceKind::kMount));
  TRY(sys::run_inside(mounts, sys::NamespaceKind::kMount, clone));
  return opened;
}

}  // namespace

Result<std::unique_ptr<ChangeTracker>> ChangeTracker::start(HostPid process,
                                                            const std::string& root,
                                                            size_t max_changes) {
  auto events = TRY(sys::Fanotify::open(sys::Fanotify::Queue::kUnlimited));
  Fd bare = TRY(open_bare(process, root));
  TRY(events.watch_file_system("/proc/self/fd/" + std::to_string(bare.get())));
  Fd stop(::eventfd(0, EFD_CLOEXEC));
  if (!stop.valid()) return fail_errno("eventfd");
  return std::unique_ptr<ChangeTracker>(
      new ChangeTracker(std::move(events), std::move(bare), std::move(stop), max_changes));
}

ChangeTracker::ChangeTracker(sys::Fanotify events, Fd root, Fd stop, size_t max_changes)
    : events_(std::move(events)),
      root_(std::move(root)),
      stop_(std::move(stop)),
      max_changes_(max_changes),
      thread_([this] { run(); }) {}

ChangeTracker::~ChangeTracker() {
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
}

void ChangeTracker::run() {
  for (;;) {
    pollfd stop = {.fd = stop_.get(), .events = POLLIN, .revents = 0};
    pollfd either[2] = {stop, {.fd = events_.fd(), .events = POLLIN, .revents = 0}};
    ::poll(either, 2, -1);
    if (either[0].revents != 0 || ::poll(&stop, 1, kBatchMilliseconds) > 0) return;
    std::lock_guard lock(mutex_);
    drain();
    if (!changes_.lost().empty()) return;
  }
}

void ChangeTracker::drain() {
  if (!changes_.lost().empty()) return;
  auto drained = events_.read([this](const sys::FileEvent& event) {
    if (changes_.size() < max_changes_)
      changes_.add(event, phase_);
    else
      changes_.lose("more changed than is kept track of");
  });
  if (!drained) changes_.lose(drained.error().to_string());
  if (!changes_.lost().empty()) events_.stop_watching();
}

ChangeSet ChangeTracker::take() {
  std::lock_guard lock(mutex_);
  drain();
  ChangeSet taken = std::exchange(changes_, {});
  if (!taken.lost().empty()) changes_.lose(taken.lost());
  phase_ = ChangeSet::Phase::kCopying;
  return taken;
}

void ChangeTracker::settle() {
  std::lock_guard lock(mutex_);
  drain();
  phase_ = ChangeSet::Phase::kSettled;
}

}  // namespace martlet::migrate
