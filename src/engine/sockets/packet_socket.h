// Packet sockets (AF_PACKET) without rings: device, protocol, memberships, options, filter.
//
// Frames that were not read yet are lost, as any may be on a network.
#pragma once

#include "engine/files/file_kind.h"

namespace martlet::engine {

const FileKind& packet_socket_kind();

}  // namespace martlet::engine
