// TCP sockets over IPv4 and IPv6: closed, bound, listening, connecting and connected, also when one
// or both directions have ended.
//
// A connection is captured in repair mode and stays in it until the group goes on, so that killing
// the group instead tells the peer nothing. It is rebuilt in repair mode too and speaks again in
// go_live. What arrives in between is dropped by a socket filter and sent again by the peer; a
// migration holds the packets instead, so that there is nothing to drop.
#pragma once

#include "engine/files/file_kind.h"

namespace martlet::engine {

const FileKind& tcp_socket_kind();

}  // namespace martlet::engine
