// The open file descriptions of a group, and which task has them under which number.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "engine/context.h"
#include "engine/files/descriptor_channel.h"
#include "engine/files/file_kind.h"
#include "image/files.pb.h"
#include "image/tasks.pb.h"

namespace martlet::engine {

using Descriptors = google::protobuf::RepeatedPtrField<image::Descriptor>;
using ProcessLocks = google::protobuf::RepeatedPtrField<image::ProcessLock>;

// Capturing: finds the description behind every descriptor of every process, equal ones once.
class FileTable {
 public:
  explicit FileTable(CaptureContext& context) : context_(context) {}

  // Lets this process's table of descriptors grow to so many at once, if it may have them. Else it
  // grows by steps, in each of which the kernel waits for all processors if there are threads.
  static void make_room(size_t descriptors);

  // What each descriptor of a process, or of a thread, looks like from outside; any thread may ask.
  static Result<std::vector<OpenFile>> look_at(HostPid holder);

  // Adds the holder's descriptors, and its locks on their files, to the image of its table, and
  // their descriptions to the context. `Table` is image::Process or image::DescriptorTable.
  template <typename Table>
  Result<void> add(HostPid holder, std::vector<OpenFile> descriptors, Table& out) {
    return add(holder, std::move(descriptors), *out.mutable_descriptors(), *out.mutable_locks());
  }

  // Duplicates every description, when all are known. Until then `fd`, and of sockets all but the
  // inode of `status`, are not set.
  Result<void> open_all();

 private:
  Result<void> add(HostPid holder, std::vector<OpenFile> descriptors, Descriptors& out,
                   ProcessLocks& locks);
  Result<uint32_t> identify(OpenFile candidate);

  CaptureContext& context_;
  // Descriptions that may be equal. A file without an inode of its own, such as a timerfd, is
  // similar to all others, so they may be many.
  struct Similar {
    std::vector<uint32_t> ids;  // in the kernel's order
    size_t latest = 0;          // where the one looked for last is among them
  };
  // By device, inode, flags and, for an eventfd, its number.
  std::map<std::tuple<uint64_t, uint64_t, int, uint64_t>, Similar> similar_;
};

// The kind of every description; kUnsupported names the first that has none (null in a check).
// Touches nothing.
Result<std::vector<const FileKind*>> choose_kinds(CaptureContext& context);

// Adds what is in flight between the group's sockets to the context first.
Result<std::vector<image::File>> capture_files(CaptureContext& context,
                                               std::vector<const FileKind*> kinds);

// Restoring. Creates the descriptions of all files in context.files() but Unix sockets, which only
// the group's processes can make (sockets/unix_apply.h), and those that need the group's tasks.
Result<void> create_files(ApplyContext& context);
// Creates those that need them.
Result<void> create_files_of_tasks(ApplyContext& context);

// Gives the task its descriptors; it must have none but the control socket. Its locks on their
// files come after them.
Result<void> install_descriptors(ApplyContext& context, DescriptorChannel& channel, Task& task,
                                 const Descriptors& descriptors);

// A task, and the descriptors in its table.
struct TableHolder {
  Task* task;
  const Descriptors* descriptors;
};

// Second pass over the descriptions, when every task has its descriptors.
Result<void> complete_files(ApplyContext& context, const std::vector<TableHolder>& tables);

void files_go_live(ApplyContext& context);

}  // namespace martlet::engine
