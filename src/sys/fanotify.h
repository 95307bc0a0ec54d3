// What changes in a file system, reported by the kernel with directories, names and objects.
//
// A group watches whole file systems and is read without blocking by one thread. The events need
// Linux 5.17 (FAN_RENAME, FAN_REPORT_TARGET_FID) and a file system with file handles; an overlay
// has them when it is mounted with index=on,nfs_export=on. Stores through a shared mapping and
// writes with Linux's native AIO raise no event of their own: only the last close of a file that
// was open for writing does (kClosed).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "sys/file_handle.h"

namespace martlet::sys {

// A name in a directory. "." is the directory itself.
struct DirectoryEntry {
  FileHandle directory;
  std::string name;

  bool empty() const { return directory.empty(); }
};

// One event; the kernel merges several of one process about the same thing, and then their order
// is not known.
struct FileEvent {
  enum What : uint32_t {
    kCreated = 1,  // the name appeared; also a further link
    kDeleted = 2,  // the name vanished
    kRenamed =
        4,  // from `old_entry` to `entry`; what stood there is gone. Never merged with others
    kModified = 8,     // content, size included
    kAttributes = 16,  // mode, owner, times, extended attributes, the number of links
    kClosed = 32,      // after having been open for writing
    kOverflow = 64,    // events were lost; nothing else is set
  };
  uint32_t what = 0;
  bool is_directory = false;
  DirectoryEntry entry;      // may be empty for kAttributes of an object whose links changed
  DirectoryEntry old_entry;  // of kRenamed
  FileHandle object;         // may be empty for what is gone
};

class Fanotify {
 public:
  enum class Queue {
    kLimited,    // to fs.fanotify.max_queued_events, then kOverflow
    kUnlimited,  // to the memory of the kernel
  };
  static Result<Fanotify> open(Queue queue);

  // Watches the file system that `path` is on. Errors: kUnsupported if it has no file handles or
  // the kernel does not report what is needed.
  Result<void> watch_file_system(const std::string& path);

  // No further events.
  void stop_watching();

  // Everything that happened until now and was not read yet.
  Result<void> read(const std::function<void(const FileEvent&)>& on_event);

  // Readable when there is an event; for poll(2).
  int fd() const { return fd_.get(); }

 private:
  explicit Fanotify(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

// Decodes what read(2) of a group returned.
Result<void> parse_events(std::span<const std::byte> bytes,
                          const std::function<void(const FileEvent&)>& on_event);

}  // namespace martlet::sys
