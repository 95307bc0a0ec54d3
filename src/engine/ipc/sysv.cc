#include "engine/ipc/sysv.h"

#include <sys/stat.h>

#include "engine/ipc/sysv_kinds.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

std::vector<int> mapped_segments(CaptureContext& context) {
  std::vector<int> ids;
  for (const auto& object : context.shared_objects().objects())
    if (object.message.kind() == image::SHARED_SYSV) ids.push_back(object.message.sysv_id());
  return ids;
}

Result<void> capture_all(CaptureContext& context, image::Ipc& ipc) {
  for (int id : list_segments()) *ipc.add_shared_memory() = TRY(capture_segment(context, id));
  for (int id : list_semaphores()) *ipc.add_semaphores() = TRY(capture_semaphores(id));
  for (int id : list_queues()) *ipc.add_message_queues() = TRY(capture_queue(id));
  return {};
}

Result<bool> is_own_namespace(HostPid process) {
  struct stat here{}, there{};
  std::string path = sys::proc_path(process, "ns/ipc");
  if (::stat("/proc/self/ns/ipc", &here) != 0) return fail_errno("stat /proc/self/ns/ipc");
  if (::stat(path.c_str(), &there) != 0) return fail_errno("stat " + path);
  return here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

using Undo = std::vector<std::function<void()>>;

Result<void> create_all(ApplyContext& context, const image::Ipc& ipc, Undo& undo) {
  for (const image::SysvSharedMemory& segment : ipc.shared_memory())
    if (TRY(create_segment(context, segment)))
      undo.push_back([id = segment.permission().id()] { remove_segment(id); });
  for (const image::SysvSemaphores& set : ipc.semaphores()) {
    TRY(create_semaphores(set));
    undo.push_back([id = set.permission().id()] { remove_semaphores(id); });
  }
  for (const image::SysvMessageQueue& queue : ipc.message_queues()) {
    TRY(create_queue(queue));
    undo.push_back([id = queue.permission().id()] { remove_queue(id); });
  }
  return {};
}

}  // namespace

Result<image::Ipc> capture_sysv(CaptureContext& context, HostPid process, SysvScope scope) {
  image::Ipc ipc;
  std::vector<int> mapped = mapped_segments(context);
  if (scope == SysvScope::kMappedSegments && mapped.empty()) return ipc;
  TRY(run_in_namespace(process, "ipc", [&]() -> Result<void> {
    if (scope == SysvScope::kWholeNamespace) return capture_all(context, ipc);
    for (int id : mapped) *ipc.add_shared_memory() = TRY(capture_segment(context, id));
    return {};
  }));
  return ipc;
}

Result<void> create_sysv(ApplyContext& context, const image::Ipc& ipc) {
  Undo nothing_outlives_the_group;
  return create_all(context, ipc, nothing_outlives_the_group);
}

Result<void> remove_marked_segments(const image::Ipc& ipc) {
  for (const image::SysvSharedMemory& segment : ipc.shared_memory())
    if (segment.removed() && remove_segment(segment.permission().id()) != 0)
      return fail_errno("remove System V shared memory " +
                        std::to_string(segment.permission().id()));
  return {};
}

Result<SysvObjects> SysvObjects::create(ApplyContext& context, const image::Ipc& ipc) {
  bool own = TRY(is_own_namespace(context.root()));
  SysvObjects objects;
  Undo undo;
  auto created =
      run_in_namespace(context.root(), "ipc", [&] { return create_all(context, ipc, undo); });
  if (own) objects.undo_ = std::move(undo);
  TRY(std::move(created));
  return objects;
}

Result<void> SysvObjects::remove_marked(ApplyContext& context, const image::Ipc& ipc) {
  return run_in_namespace(context.root(), "ipc", [&] { return remove_marked_segments(ipc); });
}

SysvObjects::~SysvObjects() {
  for (auto undo = undo_.rbegin(); undo != undo_.rend(); ++undo) (*undo)();
}

}  // namespace martlet::engine
