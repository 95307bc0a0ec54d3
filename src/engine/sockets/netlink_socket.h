// Netlink sockets of the protocols whose state is all in the socket: port, groups, options.
//
// Messages that were not read yet cannot be put back: the kernel alone can send as the kernel.
#pragma once

#include "engine/files/file_kind.h"

namespace martlet::engine {

const FileKind& netlink_socket_kind();

}  // namespace martlet::engine
