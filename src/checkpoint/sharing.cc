#include "checkpoint/sharing.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "engine/ipc/sysv_undo.h"
#include "sys/pidfd.h"

namespace martlet::checkpoint {
namespace {

using engine::FrozenProcess;
using sys::Shared;

struct Resource {
  Shared what;
  const char* name;
  void (image::Process::*note)(bool);  // null: sharing it is not supported
};

constexpr Resource kResources[] = {
    {Shared::kMemory, "its memory (vfork, CLONE_VM)", nullptr},
    {Shared::kFiles, "its descriptor table (CLONE_FILES)", &image::Process::set_shares_files},
    {Shared::kFileSystem, "its directories (CLONE_FS)", &image::Process::set_shares_directories}};

// One process for each instance of a resource, found by the order of the kernel.
class Owners {
 public:
  explicit Owners(Shared what) : what_(what) {}

  // Adds the process unless another has the same instance, which is returned then.
  Result<std::optional<HostPid>> add(HostPid pid) {
    size_t first = 0, last = sorted_.size();
    while (first < last) {
      size_t middle = (first + last) / 2;
      int order = TRY(sys::compare_resources(sorted_[middle], pid, what_));
      if (order == 0) return std::optional(sorted_[middle]);
      (order < 0 ? first : last) = order < 0 ? middle + 1 : middle;
    }
    sorted_.insert(sorted_.begin() + static_cast<ptrdiff_t>(first), pid);
    return std::optional<HostPid>();
  }

 private:
  Shared what_;
  std::vector<HostPid> sorted_;
};

Result<void> refuse(HostPid pid, const Resource& resource, std::string_view with) {
  return fail(Code::kUnsupported,
              fmt::format("process {} shares {} with {}", pid.value, resource.name, with));
}

Result<void> describe(const std::vector<FrozenProcess>& processes, const Resource& resource,
                      image::Tree& tree) {
  std::map<HostPid, bool> alive;
  for (const FrozenProcess& process : processes) alive[process.pid] = !process.zombie;
  Owners owners(resource.what);
  for (size_t i = 0; i < processes.size(); ++i) {
    const FrozenProcess& process = processes[i];
    if (process.zombie) continue;
    HostPid parent = process.status.parent;
    auto known = alive.find(parent);
    bool with_parent = known != alive.end() && known->second &&
                       TRY(sys::is_shared(process.pid, parent, resource.what));
    if (with_parent) {
      if (resource.note == nullptr) return refuse(process.pid, resource, "its parent");
      (tree.mutable_processes(static_cast<int>(i))->*resource.note)(true);
    } else if (auto other = TRY(owners.add(process.pid))) {
      return refuse(process.pid, resource,
                    fmt::format("process {}, which is not its parent", other->value));
    }
  }
  return {};
}

Result<void> refuse_divided_process(const FrozenProcess& process) {
  for (size_t i = 1; i < process.threads.size(); ++i)
    for (Shared what : {Shared::kFiles, Shared::kFileSystem})
      if (HostPid tid = process.threads[i].tracee.tid();
          !TRY(sys::is_shared(process.pid, tid, what)))
        return fail(Code::kUnsupported,
                    fmt::format("thread {} of process {} has {} of its own (unshare)", tid.value,
                                process.pid.value,
                                what == Shared::kFiles ? "a descriptor table" : "directories"));
  return {};
}

// A process without undo operations has no list that it could share.
Result<void> refuse_shared_undo(const std::vector<FrozenProcess>& processes) {
  Owners owners(Shared::kSemaphoreUndo);
  for (const FrozenProcess& process : processes) {
    if (process.zombie || !TRY(engine::may_undo_semaphores(process.pid))) continue;
    if (auto other = TRY(owners.add(process.pid)))
      return fail(Code::kUnsupported,
                  fmt::format("process {} shares its undo list of semaphores (CLONE_SYSVSEM) with "
                              "process {}",
                              process.pid.value, other->value));
  }
  return {};
}

}  // namespace

Result<void> describe_sharing(const std::vector<FrozenProcess>& processes, image::Tree& tree) {
  for (const Resource& resource : kResources) TRY(describe(processes, resource, tree));
  for (const FrozenProcess& process : processes) TRY(refuse_divided_process(process));
  return refuse_shared_undo(processes);
}

}  // namespace martlet::checkpoint
