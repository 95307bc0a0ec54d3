// Locks that belong to an open file description: flock(2) and OFD locks of fcntl(2).
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/files.pb.h"

namespace martlet::engine {

// The locks in an fdinfo. Errors: kUnsupported for leases and for fcntl locks of a process.
Result<std::vector<image::FileLock>> parse_locks(std::string_view info);

// Takes the lock without waiting. Errors: kAlreadyExists if somebody else has it.
Result<void> take_lock(int fd, const image::FileLock& lock);

}  // namespace martlet::engine
