// Raw sockets and ping sockets (ICMP) over IPv4 and IPv6, with their filters.
//
// Packets that were not read yet are lost, as any may be on a network.
#pragma once

#include "engine/files/file_kind.h"

namespace martlet::engine {

const FileKind& raw_socket_kind();

}  // namespace martlet::engine
