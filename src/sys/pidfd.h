// Processes as descriptors, and their descriptors as ours.
#pragma once

#include <vector>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"

namespace martlet::sys {

// `flags` are PIDFD_NONBLOCK and PIDFD_THREAD.
Result<Fd> open_pidfd(HostPid pid, int flags = 0);

// Of a process or of one of its threads, which may have a descriptor table of its own. Errors of a
// thread: kUnsupported before Linux 6.9.
Result<Fd> open_task(HostPid tid);

// A duplicate, in this process, of descriptor `number` of the process behind `pidfd`.
Result<Fd> duplicate_descriptor(const Fd& pidfd, int number);

// kcmp(2): a total order over the objects behind, so that equal ones can be found by sorting.
enum class Shared { kMemory, kFiles, kFileSystem, kSignalHandlers, kSemaphoreUndo };
Result<bool> is_shared(HostPid a, HostPid b, Shared what);
// Order of what two tasks have: negative, zero (the same) or positive.
Result<int> compare_resources(HostPid a, HostPid b, Shared what);
// The process, and its threads that do not share its descriptor table; nothing if it has ended.
std::vector<HostPid> list_table_holders(HostPid process);
// Order of two descriptions: negative, zero (the same one) or positive.
Result<int> compare_files(HostPid a, int number_a, HostPid b, int number_b);

}  // namespace martlet::sys
