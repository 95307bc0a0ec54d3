// The apply half of TCP sockets. Untrusted input: the kernel checks every value it is given, and
// sizes are checked here.
#pragma once

#include "engine/context.h"
#include "image/sockets.pb.h"

namespace martlet::engine {

// The socket as it was, silent: a connection is in repair mode and receives nothing.
Result<Fd> create_tcp(ApplyContext& context, const image::File& file);

// Lets the two ends of a connection inside the host hear each other, so that neither has to go live
// first.
Result<void> complete_tcp(const image::TcpSocket& tcp, int fd);

// In a group with several networks, where connections between them may have both ends here, lets
// all hear each other before the first goes live.
void let_in_tcp(ApplyContext& context, const image::TcpSocket& tcp, int fd);

// Lets the connection speak: sends what was never sent, and ends of streams again.
void go_live_tcp(ApplyContext& context, const image::File& file, int fd);

}  // namespace martlet::engine
