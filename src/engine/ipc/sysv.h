// System V shared memory, semaphores and message queues, with their ids.
//
// A container has its IPC namespaces to itself, so all of them is captured. A plain process tree
// shares the host's: then only the segments that it has mapped are, since nothing tells what else
// it uses. Contents of segments are SharedMemory objects of the image.
//
// Not restored, because no interface sets them: times and the processes that operated last. What
// processes undo when they end is a property of theirs: see sysv_undo.h.
#pragma once

#include <functional>
#include <vector>

#include "base/result.h"
#include "engine/context.h"
#include "image/ipc.pb.h"

namespace martlet::engine {

enum class SysvScope { kWholeNamespace, kMappedSegments };

// What is in the namespace of a process. Registers each segment among the context's shared objects,
// so it must come after the mappings were read and before the shared objects are put into the sink.
Result<image::Ipc> capture_sysv(CaptureContext& context, HostPid process, SysvScope scope);

// In the calling thread's namespace, which ends with the group: like SysvObjects.
Result<void> create_sysv(ApplyContext& context, const image::Ipc& ipc);
Result<void> remove_marked_segments(const image::Ipc& ipc);

// The objects that a restore made in the group's IPC namespace. Destroyed before keep(), it removes
// them again if the namespace is the caller's own (another one goes away with the sandbox).
class SysvObjects {
 public:
  // Makes the objects and hands the segments to the context's shared objects, to be filled. A
  // segment of the same id and key that is already there is used; its content is replaced unless
  // somebody has it attached. Errors: kAlreadyExists if an id or key is taken.
  static Result<SysvObjects> create(ApplyContext& context, const image::Ipc& ipc);

  // When every task has attached: segments that were removed while attached are removed again.
  Result<void> remove_marked(ApplyContext& context, const image::Ipc& ipc);

  void keep() { undo_.clear(); }

  SysvObjects() = default;
  SysvObjects(SysvObjects&& other) noexcept : undo_(std::exchange(other.undo_, {})) {}
  SysvObjects& operator=(SysvObjects&& other) noexcept {
    std::swap(undo_, other.undo_);
    return *this;
  }
  ~SysvObjects();

 private:
  std::vector<std::function<void()>> undo_;
};

}  // namespace martlet::engine
