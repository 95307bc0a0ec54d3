#include <fmt/format.h>
#include <sys/sem.h>

#include <limits>

#include "engine/ipc/sysv_kinds.h"
#include "engine/ipc/sysv_permission.h"

namespace martlet::engine {
namespace {

// semctl's last argument, which the C library leaves to its callers to declare.
union SemctlArgument {
  int value;
  semid_ds* status;
  unsigned short* values;
  seminfo* info;
};

std::string describe_set(int id) {
  return fmt::format("System V semaphores {}", id);
}

}  // namespace

std::vector<int> list_semaphores() {
  std::vector<int> ids;
  seminfo info{};
  int last = ::semctl(0, 0, SEM_INFO, SemctlArgument{.info = &info});
  for (int index = 0; index <= last; ++index) {
    semid_ds status{};
    int id = ::semctl(index, 0, SEM_STAT, SemctlArgument{.status = &status});
    if (id >= 0) ids.push_back(id);
  }
  return ids;
}

Result<image::SysvSemaphores> capture_semaphores(int id) {
  semid_ds status{};
  if (::semctl(id, 0, IPC_STAT, SemctlArgument{.status = &status}) != 0)
    return fail_errno("read " + describe_set(id));
  image::SysvSemaphores set;
  fill_permission(id, status.sem_perm, *set.mutable_permission());
  std::vector<unsigned short> values(status.sem_nsems);
  if (::semctl(id, 0, GETALL, SemctlArgument{.values = values.data()}) != 0)
    return fail_errno("read the values of " + describe_set(id));
  set.mutable_values()->Assign(values.begin(), values.end());
  return set;
}

Result<void> create_semaphores(const image::SysvSemaphores& set) {
  const image::IpcPermission& permission = set.permission();
  std::vector<unsigned short> values;
  for (uint32_t value : set.values()) {
    if (value > std::numeric_limits<unsigned short>::max())
      return fail(Code::kBadImage, describe_set(permission.id()) + ": value is out of range");
    values.push_back(static_cast<unsigned short>(value));
  }
  TRY(make_with_id("sem", permission, remove_semaphores, [&](key_t key, int flags) {
    return ::semget(key, static_cast<int>(values.size()), flags);
  }));
  if (::semctl(permission.id(), 0, SETALL, SemctlArgument{.values = values.data()}) != 0)
    return fail_errno("set the values of " + describe_set(permission.id()));
  semid_ds status{};
  set_owner(permission, status.sem_perm);
  if (::semctl(permission.id(), 0, IPC_SET, SemctlArgument{.status = &status}) != 0)
    return fail_errno("set the owner of " + describe_set(permission.id()));
  return {};
}

int remove_semaphores(int id) {
  return ::semctl(id, 0, IPC_RMID);
}

}  // namespace martlet::engine
