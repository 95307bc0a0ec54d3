#include "engine/mounts/mount_namespaces.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "sys/procfs.h"

namespace martlet::engine {
namespace {

std::unexpected<Error> refuse(const FrozenProcess& process, std::string_view what) {
  return fail(Code::kUnsupported,
              fmt::format("process {}, beside processes in mount namespaces of their own, {}",
                          process.pid.value, what));
}

// They change namespace one by one, which only a task can do that shares its directories with no
// other.
Result<void> check_sharing(const FrozenProcess& process, const image::Process& described,
                           const image::Process& root, bool is_apart) {
  const bool shares =
      described.shares_directories() &&
      (described.parent() == root.pid() || (is_apart && !described.leaves_directories()));
  if (shares) return refuse(process, "shares its working directory with another");
  const bool is_removed_of_thread = std::ranges::any_of(
      described.threads(),
      [](const image::Thread& thread) { return thread.own_directories().removed_working() != 0; });
  if (is_apart && (described.removed_working_directory() != 0 || is_removed_of_thread))
    return refuse(process, "has a working directory that was removed");
  return {};
}

Result<void> check_directories(const MountViews& views, const FrozenProcess& process,
                               const image::Process& described, uint32_t number) {
  for (const FrozenThread& thread : process.threads)
    for (const char* name : {"root", "cwd"}) {
      if (described.removed_working_directory() != 0 && std::string_view(name) == "cwd") continue;
      if (views.number_of(sys::proc_path(thread.tracee.tid(), name)) != number)
        return refuse(process,
                      fmt::format("has its {} directory in another one than it lives in", name));
    }
  return {};
}

// What is mounted when the files are opened already.
Result<void> check_late_mounts(CaptureContext& context, const image::Mounts& mounts,
                               uint32_t number) {
  for (const image::OwnMount& late : mounts.late()) {
    Fd point = TRY(context.mounts().open(number, late.point(), O_PATH));
    struct stat status{};
    if (::fstat(point.get(), &status) != 0) return fail_errno("stat " + late.point());
    for (const OpenFile& file : context.files())
      if (file.status.st_dev == status.st_dev)
        return fail(Code::kUnsupported,
                    fmt::format("{} of the proc of a nested PID namespace is open", file.link));
  }
  return {};
}

}  // namespace

Result<void> check_mount_namespaces(CaptureContext& context,
                                    const std::vector<FrozenProcess>& processes,
                                    const image::Mounts& mounts, const image::Tree& tree) {
  if (mounts.namespaces().empty()) return {};
  std::map<int32_t, uint32_t> numbers;
  for (int i = 0; i < mounts.namespaces_size(); ++i)
    TRY(context.judge(
        check_late_mounts(context, mounts.namespaces(i).changes(), static_cast<uint32_t>(i + 1))));
  for (int i = 0; i < mounts.namespaces_size(); ++i)
    for (int32_t pid : mounts.namespaces(i).processes())
      numbers[pid] = static_cast<uint32_t>(i + 1);
  for (size_t i = 0; i < processes.size(); ++i) {
    const FrozenProcess& process = processes[i];
    if (process.zombie) continue;
    const image::Process& described = tree.processes(static_cast<int>(i));
    const uint32_t number = numbers[process.ns_pid.value];
    TRY(context.judge(check_sharing(process, described, tree.processes(0), number != 0)));
    TRY(context.judge(check_directories(context.mounts(), process, described, number)));
  }
  return {};
}

Result<void> refuse_mount_namespaces(CaptureContext& context,
                                     const std::vector<FrozenProcess>& processes) {
  for (const FrozenProcess& process : processes)
    if (!process.zombie && process.mount_namespace != processes.front().mount_namespace)
      TRY(context.judge(
          fail(Code::kUnsupported, fmt::format("task {} has a mount namespace of its own, which a "
                                               "process tree cannot have",
                                               process.pid.value))));
  return {};
}

}  // namespace martlet::engine
