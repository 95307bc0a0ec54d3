// Running a piece of code inside namespaces of another process.
#pragma once

#include <sys/types.h>

#include <functional>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"

namespace martlet::sys {

enum class NamespaceKind { kNetwork, kMount, kIpc, kUts };

// The namespace of a process, kept alive by the descriptor.
Result<Fd> open_namespace(HostPid process, NamespaceKind kind);

// By which the kernel tells namespaces of one kind apart.
Result<ino_t> number_of_namespace(const Fd& name_space);

// An empty one that nobody is in, kept alive by the descriptor. Not for kMount.
Result<Fd> new_namespace(NamespaceKind kind);

// The network namespace that a socket was made in.
Result<Fd> network_of_socket(int socket);
// By which such namespaces are told apart, without opening them.
Result<uint64_t> network_number_of_socket(int socket);

// Runs `work` on a fresh thread that has entered the namespace, and waits for it. The calling
// thread stays where it is.
Result<void> run_inside(const Fd& name_space, NamespaceKind kind,
                        const std::function<Result<void>()>& work);

}  // namespace martlet::sys
