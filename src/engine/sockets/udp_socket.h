// UDP sockets over IPv4 and IPv6: bound, connected, with the datagrams that wait and their senders.
//
// Nothing keeps datagrams from arriving between capture and the end of the group: they are lost, as
// UDP may lose any, unless the caller holds the network.
#pragma once

#include "engine/files/file_kind.h"

namespace martlet::engine {

const FileKind& udp_socket_kind();

}  // namespace martlet::engine
