// One kind of open file: how the engine recognises, captures, creates and completes it.
//
// A kind is added by writing a FileKind and naming it in kinds.cc; nothing else changes. Capture
// works on a duplicate of the description (pidfd_getfd), so most state is read locally while the
// group is frozen. Apply creates the description in this process and the engine sends it to every
// task that has it, so sharing through dup, fork and SCM_RIGHTS needs no care here.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "image/files.pb.h"
#include "sys/socket_options.h"

namespace martlet::engine {

class CaptureContext;
class ApplyContext;
class Task;

// One open file description of the frozen group.
struct OpenFile {
  uint32_t id = 0;  // its File record
  int fd = -1;      // a duplicate here, owned by the file table
  HostPid holder;   // one process that has it,
  int number = -1;  // and the descriptor's number there
  struct stat status{};
  std::string link;  // what /proc/PID/fd/NUMBER reads as: a path, "socket:[123]", ...
  std::string info;  // /proc/PID/fdinfo/NUMBER
  int flags = 0;     // F_GETFL
  std::optional<sys::SocketType> socket;  // if it is one
  uint32_t network = 0;                   // that it belongs to; see Networks
};

class FileKind {
 public:
  virtual ~FileKind() = default;

  // For messages: "pipe", "TCP socket".
  virtual std::string_view name() const = 0;

  // Whether this kind handles the file. The first kind that says so gets it.
  virtual bool recognises(const OpenFile& file) const = 0;

  // Refuses a state that passes by itself, such as an event that was not read yet. Asked for every
  // file before anything is touched; no side effects.
  virtual Result<void> check_at_rest(const OpenFile&) const { return {}; }

  // Fills the kind's message. Must leave the description as it was, or register how to put it back
  // with CaptureContext::on_thaw (run when the group goes on here).
  virtual Result<void> capture(CaptureContext& context, const OpenFile& file,
                               image::File& out) const = 0;

  // Whether files of this kind may be captured at the same time, on any threads. Of the context
  // capture() then uses judge() and on_thaw(), and what else it does under alone().
  virtual bool is_captured_in_parallel() const { return false; }

  virtual bool owns(const image::File& file) const = 0;

  // Creates the description. Called in the order of the images' ids. Descriptions that can only be
  // made in pairs (pipes, socket pairs) are made at the first call and fetched at the second
  // through ApplyContext::stash.
  virtual Result<Fd> create(ApplyContext& context, const image::File& file) const = 0;

  // Whether create() needs the group's tasks. It is then called when all of them exist.
  virtual bool needs_tasks(const image::File&) const { return false; }

  // Called when every description exists and every task has its descriptors; `fd` is the
  // description here. For what refers to other descriptions (peers, queued data).
  virtual Result<void> complete(ApplyContext&, const image::File&, int /*fd*/) const { return {}; }

  // Called once for one task that has the description at `number`; for what only a task can do
  // for itself.
  virtual Result<void> complete_in_task(ApplyContext&, const image::File&, Task&,
                                        int /*number*/) const {
    return {};
  }

  // Called instead of it if no task has the description, which is in flight between sockets.
  virtual Result<void> complete_in_flight(ApplyContext&, const image::File&, int /*fd*/) const {
    return {};
  }

  // Called for every file before the first go_live, after which files of the group may send to each
  // other.
  virtual void let_in(ApplyContext&, const image::File&, int /*fd*/) const {}

  // The very last step before the tasks run, after which nothing can fail any more: a TCP socket
  // leaves repair mode here.
  virtual void go_live(ApplyContext&, const image::File&, int /*fd*/) const {}
};

// Every kind, most specific first.
const std::vector<const FileKind*>& file_kinds();

// Why no kind recognises the file, for messages: "terminals are not supported".
std::string unsupported(const OpenFile& file);

}  // namespace martlet::engine
