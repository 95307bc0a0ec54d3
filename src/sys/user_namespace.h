// User namespaces: how they lie in each other, what they map, and making one.
//
// What can only be done inside of one is done by a child process, since no process with threads
// enters a user namespace.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace martlet::sys {

// Of a user or PID namespace: the one that it was made in. kPermission: it is out of sight.
Result<Fd> parent_of_namespace(const Fd& name_space);
// Of a namespace of any other kind: the user namespace whose rights count in it.
Result<Fd> user_namespace_of(const Fd& name_space);
// The user that made a user namespace, as this process numbers users.
Result<uint32_t> owner_of_user_namespace(const Fd& name_space);

// Lines of three numbers each: the first id inside, the same one in the parent, how many.
struct UserMaps {
  std::string users;
  std::string groups;
  bool denies_setgroups = false;
};
Result<UserMaps> read_user_maps(const Fd& name_space);

// A new one that nobody is in, kept alive by the descriptor. `parent` may be empty: this process's.
// Owner and group are numbered as in the parent.
Result<Fd> make_user_namespace(const Fd& parent, uint32_t owner, uint32_t group,
                               const UserMaps& maps);

// A new network namespace that belongs to this user namespace.
Result<Fd> make_network_namespace(const Fd& user_namespace);

}  // namespace martlet::sys
