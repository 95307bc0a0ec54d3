#include "engine/ipc/sysv_permission.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/fd.h"

namespace martlet::engine {
namespace {

constexpr uid_t kUnchanged = static_cast<uid_t>(-1);

// Lets this thread alone act under other effective ids. The C library's calls would change all
// threads.
class EffectiveIds {
 public:
  EffectiveIds(uid_t uid, gid_t gid) : uid_(::geteuid()), gid_(::getegid()) { set(uid, gid); }
  ~EffectiveIds() {
    ::syscall(SYS_setresuid, kUnchanged, uid_, kUnchanged);
    ::syscall(SYS_setresgid, kUnchanged, gid_, kUnchanged);
  }
  bool valid() const { return valid_; }
  EffectiveIds(const EffectiveIds&) = delete;
  EffectiveIds& operator=(const EffectiveIds&) = delete;

 private:
  void set(uid_t uid, gid_t gid) {
    valid_ = ::syscall(SYS_setresgid, kUnchanged, gid, kUnchanged) == 0 &&
             ::syscall(SYS_setresuid, kUnchanged, uid, kUnchanged) == 0 && keep_right_to_lock();
  }

  // Huge pages are for those who have it and for a group (vm.hugetlb_shm_group) that may be another
  // one here.
  static bool keep_right_to_lock() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
    if (::syscall(SYS_capget, &header, sets.data()) != 0) return false;
    sets[0].effective |= sets[0].permitted & (1u << CAP_IPC_LOCK);
    return ::syscall(SYS_capset, &header, sets.data()) == 0;
  }

  uid_t uid_;
  gid_t gid_;
  bool valid_ = false;
};

}  // namespace

void fill_permission(int id, const ipc_perm& from, image::IpcPermission& out) {
  out.set_id(id);
  out.set_key(from.__key);
  out.set_uid(from.uid);
  out.set_gid(from.gid);
  out.set_creator_uid(from.cuid);
  out.set_creator_gid(from.cgid);
  out.set_mode(from.mode & kPermissionBits);
}

void set_owner(const image::IpcPermission& from, ipc_perm& out) {
  out.uid = from.uid();
  out.gid = from.gid();
  out.mode = static_cast<decltype(out.mode)>(from.mode() & kPermissionBits);
}

Result<void> make_with_id(std::string_view name, const image::IpcPermission& permission,
                          int (*remove)(int id), const std::function<int(key_t, int)>& make) {
  std::string what = fmt::format("System V {} {}", name, permission.id());
  TRY_IN(
      write_file(fmt::format("/proc/sys/kernel/{}_next_id", name), std::to_string(permission.id())),
      what);
  int id = -1;
  {
    EffectiveIds creator(permission.creator_uid(), permission.creator_gid());
    if (!creator.valid()) return fail_errno(what + ": act as its creator");
    int flags = static_cast<int>(permission.mode() & kPermissionBits) | IPC_CREAT | IPC_EXCL;
    id = make(permission.key(), flags);
  }
  if (id < 0 && errno == EEXIST) return fail(Code::kAlreadyExists, what + ": its key is taken");
  if (id < 0) return fail_errno("create " + what);
  if (id == permission.id()) return {};
  remove(id);
  return fail(Code::kAlreadyExists, what + ": its id is taken");
}

}  // namespace martlet::engine
