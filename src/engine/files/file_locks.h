// File locks and leases: those of an open file description (flock(2), OFD locks of fcntl(2)) and
// those of a process (record locks of fcntl(2)).
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/files/file_kind.h"
#include "image/files.pb.h"
#include "image/tasks.pb.h"

namespace martlet::engine {

// The locks of the description in an fdinfo.
Result<std::vector<image::FileLock>> parse_locks(std::string_view info);

// Takes the lock without waiting. Errors: kAlreadyExists if somebody else has it.
Result<void> take_lock(int fd, const image::FileLock& lock);

// The lease of the description in an fdinfo. Errors: kUnsupported while it is being broken.
Result<image::Lease> parse_lease(std::string_view info);

// Takes the lease for the description behind a descriptor of the task, which becomes its owner.
Result<void> take_lease(Task& task, int number, image::Lease lease);
// The same for a description that no task has. Its owner is this process then.
Result<void> take_lease(int fd, image::Lease lease);

// Adds the locks that the holder's descriptor table has on the file, as far as they can be taken
// again through this descriptor. Taking one twice, through another descriptor of the same file,
// does no harm.
Result<void> capture_process_locks(const OpenFile& file,
                                   google::protobuf::RepeatedPtrField<image::ProcessLock>& out);

// When the task has all its descriptors. No descriptor of a locked file may be closed in it any
// more: the kernel would drop the locks.
Result<void> apply_process_locks(
    Task& task, const google::protobuf::RepeatedPtrField<image::ProcessLock>& locks);

}  // namespace martlet::engine
