// Sockets that a capture has silenced and, because its process died, never let speak again.
#pragma once

#include <cstddef>

#include "base/ids.h"

namespace martlet::engine {

// Gives a socket that drops everything the program by which its state is known for ours without
// repair mode, too. Before that mode ends.
void make_filter_recognisable(int fd);

// Ends the TCP repair mode and the filter that drops everything of all sockets of the process; how
// many there were. Any thread. Nobody else may be capturing it. What the kernel does not tell any
// more: SO_REUSEADDR of a connection is set afterwards, and a filter of the program's own is gone.
size_t revive_sockets_of(HostPid pid);

// Of all processes in the PID namespace of `init`.
size_t revive_sockets(HostPid init);

}  // namespace martlet::engine
