#include "engine/ipc/ipc_namespaces.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "engine/ipc/posix_queues.h"
#include "engine/ipc/sysv.h"
#include "engine/tasks/join_namespace.h"
#include "sys/namespaces.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

// Each namespace has its own.
constexpr std::array<std::string_view, 12> kSettings = {
    "kernel/shmmax",        "kernel/shmall",         "kernel/shmmni",
    "kernel/sem",           "kernel/msgmax",         "kernel/msgmnb",
    "kernel/msgmni",        "fs/mqueue/msg_max",     "fs/mqueue/msgsize_max",
    "fs/mqueue/queues_max", "fs/mqueue/msg_default", "fs/mqueue/msgsize_default"};

std::string path_of(std::string_view setting) {
  return fmt::format("/proc/sys/{}", setting);
}

// In the calling thread's namespace. A kernel may lack one of them.
void read_settings(image::IpcNamespace& out) {
  for (std::string_view name : kSettings) {
    auto value = read_file(path_of(name));
    if (!value) continue;
    image::IpcSetting& setting = *out.add_settings();
    setting.set_name(std::string(name));
    setting.set_value(std::move(*value));
  }
}

// With it a segment ends with the task that has made it, unless it is attached: and a restore makes
// them all.
Result<void> refuse_forced_removal() {
  auto forced = read_file(path_of("kernel/shm_rmid_forced"));
  if (!forced || forced->starts_with('0')) return {};
  return fail(Code::kUnsupported, "the setting kernel.shm_rmid_forced of it is not supported");
}

// One of the same id in another namespace may be taken for it: see identify_shared_object().
Result<void> refuse_huge_segments(const image::Ipc& objects) {
  for (const image::SysvSharedMemory& segment : objects.shared_memory())
    if (segment.huge_page_bits() != 0)
      return fail(Code::kUnsupported,
                  fmt::format("System V shared memory {}: huge pages (SHM_HUGETLB) in a namespace "
                              "of its own are not supported",
                              segment.permission().id()));
  return {};
}

Result<void> write_settings(const image::IpcNamespace& image) {
  for (const image::IpcSetting& setting : image.settings()) {
    if (std::ranges::find(kSettings, setting.name()) == kSettings.end())
      return fail(Code::kBadImage, "an unknown setting of an IPC namespace");
    auto now = read_file(path_of(setting.name()));
    if (!now || *now != setting.value())
      TRY_IN(write_file(path_of(setting.name()), setting.value()),
             fmt::format("set {} of an IPC namespace", setting.name()));
  }
  return {};
}

Result<void> capture_one(CaptureContext& context, HostPid process, image::IpcNamespace& out) {
  TRY(run_in_namespace(process, "ipc", [&] {
    read_settings(out);
    return refuse_forced_removal();
  }));
  *out.mutable_objects() = TRY(capture_sysv(context, process, SysvScope::kWholeNamespace));
  TRY(refuse_huge_segments(out.objects()));
  return capture_posix_queues(context, process, *out.mutable_objects());
}

// By the ids of their contents.
using Segments = std::map<uint32_t, ino_t>;

void note_segments(const image::Ipc& objects, ino_t name_space, Segments& out) {
  for (const image::SysvSharedMemory& segment : objects.shared_memory())
    out[segment.object()] = name_space;
}

Result<void> check_attached(CaptureContext& context, const FrozenProcess& process,
                            const image::AddressSpace& space, const Segments& segments) {
  for (const image::Mapping& mapping : space.mappings()) {
    if (mapping.object() == 0) continue;
    const image::SharedMemory& object =
        context.shared_objects().objects().at(mapping.object() - 1).message;
    if (object.kind() != image::SHARED_SYSV) continue;
    auto segment = segments.find(object.id());
    if (segment == segments.end() || segment->second != process.ipc_namespace)
      return fail(Code::kUnsupported,
                  fmt::format("process {} has attached System V shared memory {} of an IPC "
                              "namespace that it does not live in",
                              process.pid.value, object.sysv_id()));
  }
  return {};
}

Result<void> populate(ApplyContext& context, const Fd& name_space,
                      const image::IpcNamespace& image) {
  if (image.objects().namespaces_size() != 0)
    return fail(Code::kBadImage, "an IPC namespace within another");
  return sys::run_inside(name_space, sys::NamespaceKind::kIpc, [&]() -> Result<void> {
    TRY(write_settings(image));
    TRY(create_sysv(context, image.objects()));
    return create_posix_queues_here(context, image.objects());
  });
}

}  // namespace

Result<void> capture_ipc_namespaces(CaptureContext& context,
                                    const std::vector<FrozenProcess>& processes,
                                    std::span<const image::AddressSpace> spaces, image::Ipc& ipc) {
  const ino_t of_root = processes.front().ipc_namespace;
  std::map<ino_t, image::IpcNamespace> found;
  Segments segments;
  note_segments(ipc, of_root, segments);
  for (const FrozenProcess& process : processes) {
    if (process.zombie || process.ipc_namespace == of_root) continue;
    auto [entry, is_new] = found.try_emplace(process.ipc_namespace);
    entry->second.add_processes(process.ns_pid.value);
    if (!is_new) continue;
    TRY(context.judge_in(fmt::format("IPC namespace of process {}", process.pid.value),
                         [&] { return capture_one(context, process.living, entry->second); }));
    note_segments(entry->second.objects(), process.ipc_namespace, segments);
  }
  for (size_t i = 0; i < processes.size(); ++i)
    if (!processes[i].zombie)
      TRY(context.judge(check_attached(context, processes[i], spaces[i], segments)));
  for (auto& [inode, name_space] : found) *ipc.add_namespaces() = std::move(name_space);
  return {};
}

Result<IpcNamespaces> IpcNamespaces::create(ApplyContext& context, Task& first,
                                            DescriptorChannel& channel, const image::Ipc& ipc) {
  IpcNamespaces all;
  if (ipc.namespaces().empty()) return all;
  all.of_root_ = TRY(sys::open_namespace(first.host_pid(), sys::NamespaceKind::kIpc));
  for (const image::IpcNamespace& image : ipc.namespaces()) {
    TRY(first.call("make an IPC namespace", SYS_unshare, {CLONE_NEWIPC}));
    Fd made = TRY(sys::open_namespace(first.host_pid(), sys::NamespaceKind::kIpc));
    TRY(populate(context, made, image));
    for (int32_t pid : image.processes()) all.of_process_[pid] = all.made_.size();
    all.made_.push_back({&image, std::move(made)});
  }
  TRY(all.enter(first, channel));
  return all;
}

Result<void> IpcNamespaces::enter(Task& leader, DescriptorChannel& channel) const {
  if (made_.empty()) return {};
  auto found = of_process_.find(leader.process().value);
  const Fd& wanted = found == of_process_.end() ? of_root_ : made_[found->second].name_space;
  return join_namespace(leader, wanted, CLONE_NEWIPC, "enter an IPC namespace", channel);
}

const image::Ipc* IpcNamespaces::objects_of(int32_t pid) const {
  auto found = of_process_.find(pid);
  return found == of_process_.end() ? nullptr : &made_[found->second].image->objects();
}

Result<void> IpcNamespaces::remove_marked() const {
  for (const Made& made : made_)
    TRY(sys::run_inside(made.name_space, sys::NamespaceKind::kIpc,
                        [&] { return remove_marked_segments(made.image->objects()); }));
  return {};
}

}  // namespace martlet::engine
