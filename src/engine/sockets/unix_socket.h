// Unix sockets: streams, datagrams and packets; pairs, names in the file system and abstract ones,
// listeners, accepted connections, closed and half-closed ends, queued data.
//
// Both ends of a connection must belong to the group. Connections that wait to be accepted are
// refused.
#pragma once

#include "engine/files/file_kind.h"

namespace martlet::engine {

const FileKind& unix_socket_kind();

}  // namespace martlet::engine
