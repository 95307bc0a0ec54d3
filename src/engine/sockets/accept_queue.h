// Connections that wait in the queue of a listener: taken out, and put in again with the sequence
// numbers that they had.
//
// Nothing puts a made-up socket into such a queue, so each connection is opened to the listener
// once more, by segments that seem to come from its peer. The peer's first sequence number is thus
// free to choose. The listener's is chosen by the kernel, but for one case: a connection that
// succeeds one in TIME_WAIT continues behind its numbers. So a socket between the same addresses is
// left in TIME_WAIT with the right numbers first. It belongs to the loopback device and its
// segments reach nobody; the answer to the opening segment may reach the peer, for which it is an
// old duplicate.
//
// TCP timestamps begin at a number that cannot be chosen, and the peer might take it for an old
// one, so a connection goes on without them. Peers that insist on them (RFC 7323 lets them) drop
// what it sends. A connection that its peer has reset is not put in again.
//
// A capture that is killed in between takes the waiting connections with it. Engine's thread only.
#pragma once

#include "engine/context.h"
#include "engine/files/file_kind.h"
#include "image/sockets.pb.h"

namespace martlet::engine {

// Takes all that waits out of the queue, silently, into `out`; it is put back at the thaw. The
// listener must receive nothing.
Result<void> capture_accept_queue(CaptureContext& context, const OpenFile& listener,
                                  image::TcpSocket& out);

// Puts `tcp`'s waiting connections into the queue of its listener, which receives from now on.
Result<void> fill_accept_queue(HostPid root, int listener, const image::TcpSocket& tcp);

}  // namespace martlet::engine
