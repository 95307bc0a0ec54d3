// What the three kinds of System V objects have in common: ids, keys, owners.
#pragma once

#include <sys/ipc.h>

#include <functional>
#include <string_view>

#include "base/result.h"
#include "image/ipc.pb.h"

namespace martlet::engine {

inline constexpr uint32_t kPermissionBits = 0777;

void fill_permission(int id, const ipc_perm& from, image::IpcPermission& out);

// What IPC_SET takes from the permission.
void set_owner(const image::IpcPermission& from, ipc_perm& out);

// Lets `make(key, flags)` (one of the ...get calls) create an object with the id, key and creator
// of the permission, in the calling thread's IPC namespace. `name` is "shm", "sem" or "msg".
// Errors: kAlreadyExists if the id or the key is taken.
Result<void> make_with_id(std::string_view name, const image::IpcPermission& permission,
                          int (*remove)(int id), const std::function<int(key_t, int)>& make);

}  // namespace martlet::engine
