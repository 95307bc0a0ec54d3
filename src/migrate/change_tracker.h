// Records what changes in a container's file system while copies of it are made.
//
// A thread of its own reads the kernel's events (sys/fanotify.h) into a ChangeSet of bounded size.
// The owner alternates: take() gives what changed until now, a copy of exactly that is made, and
// settle() says that the copy is complete. Whatever changes in between is in the next set, marked
// as having happened while the copy was made. All public functions are called by one thread.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "migrate/change_set.h"
#include "sys/fanotify.h"

namespace martlet::migrate {

// Beyond this many names and objects (some 150 bytes each) comparing all files is the better way.
inline constexpr size_t kMaxChanges = 1u << 20;

class ChangeTracker {
 public:
  // Watches the file system that is mounted at `root` for `process`; it need not stay mounted.
  // Returns with the first copy taken for being under way. Errors: kUnsupported if its changes
  // cannot be watched.
  static Result<std::unique_ptr<ChangeTracker>> start(HostPid process, const std::string& root,
                                                      size_t max_changes = kMaxChanges);
  ~ChangeTracker();
  ChangeTracker(const ChangeTracker&) = delete;
  ChangeTracker& operator=(const ChangeTracker&) = delete;

  // Everything since the last call, whatever happened until now included. Once a set is lost, so is
  // every later one.
  ChangeSet take();
  // The copy of what was taken is complete.
  void settle();

  // The root directory of the watched file system, without what is mounted below it.
  const Fd& root() const { return root_; }

 private:
  ChangeTracker(sys::Fanotify events, Fd root, Fd stop, size_t max_changes);
  void run();
  void drain();

  sys::Fanotify events_;
  const Fd root_;
  const Fd stop_;
  const size_t max_changes_;

  std::mutex mutex_;  // guards what follows
  ChangeSet changes_;
  ChangeSet::Phase phase_ = ChangeSet::Phase::kCopying;

  std::thread thread_;
};

}  // namespace martlet::migrate
