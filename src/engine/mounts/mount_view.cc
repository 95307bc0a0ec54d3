#include "engine/mounts/mount_view.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <thread>

#include "engine/files/paths.h"
#include "sys/namespaces.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

// Only a thread that shares its root directory with no other can enter a mount namespace.
Result<void> enter(const MountView& view) {
  if (::unshare(CLONE_FS) != 0) return fail_errno("unshare root directory");
  if (::setns(view.name_space.get(), CLONE_NEWNS) != 0) return fail_errno("enter namespace mnt");
  if (::fchdir(view.root.get()) != 0 || ::chroot(".") != 0)
    return fail_errno("enter root directory");
  return {};
}

bool is_own(const Fd& name_space) {
  struct stat there{};
  struct stat here{};
  return ::fstat(name_space.get(), &there) == 0 && ::stat("/proc/thread-self/ns/mnt", &here) == 0 &&
         there.st_ino == here.st_ino && there.st_dev == here.st_dev;
}

}  // namespace

Result<MountView> MountView::of_process(HostPid process) {
  return MountView{TRY(sys::open_namespace(process, sys::NamespaceKind::kMount)),
                   TRY(open_file(sys::proc_path(process, "root"), O_PATH | O_DIRECTORY))};
}

Result<MountView> MountView::of_namespace(HostPid process) {
  MountView view{TRY(sys::open_namespace(process, sys::NamespaceKind::kMount)), Fd()};
  TRY(sys::run_inside(view.name_space, sys::NamespaceKind::kMount, [&]() -> Result<void> {
    view.root = TRY(open_file("/", O_PATH | O_DIRECTORY));
    return {};
  }));
  return view;
}

Result<void> MountView::run(const std::function<Result<void>()>& work) const {
  if (is_own(name_space)) return work();
  std::optional<Result<void>> outcome;
  std::thread([&] {
    auto entered = enter(*this);
    outcome = entered ? work() : std::move(entered);
  }).join();
  return *std::move(outcome);
}

// The table of a thread inside tells what lies below its root directory.
Result<std::vector<Mount>> MountView::mounts() const {
  Fd proc = TRY(open_file("/proc", O_PATH | O_DIRECTORY));
  std::string table;
  TRY(run([&]() -> Result<void> {
    table = TRY(read_file(proc, "thread-self/mountinfo"));
    return {};
  }));
  return parse_mounts(table);
}

void MountViews::add(MountView view, const std::vector<Mount>& mounts) {
  others_.push_back(std::move(view));
  for (const Mount& mount : mounts) of_mounts_[mount.id] = static_cast<uint32_t>(others_.size());
}

Result<MountView> MountViews::view(uint32_t number) const {
  if (number == 0) return MountView::of_process(root_);
  if (number >= count())
    return fail(Code::kBadImage, "something is in a mount namespace that is not in the image");
  const MountView& view = others_[number - 1];
  return MountView{TRY(view.name_space.duplicate()), TRY(view.root.duplicate())};
}

Result<Fd> MountViews::root_of(uint32_t number) const {
  return std::move(TRY(view(number)).root);
}

Result<Fd> MountViews::open(uint32_t number, const std::string& path, int flags,
                            mode_t mode) const {
  return open_below(TRY(root_of(number)), path, flags, mode);
}

uint32_t MountViews::number_of(const std::string& path) const {
  struct statx status{};
  if (others_.empty() || ::statx(AT_FDCWD, path.c_str(), 0, STATX_MNT_ID, &status) != 0) return 0;
  return number_of(status.stx_mnt_id);
}

uint32_t MountViews::number_of(uint64_t mount) const {
  auto found = of_mounts_.find(mount);
  return found == of_mounts_.end() ? 0 : found->second;
}

}  // namespace martlet::engine
