// What the kinds of sockets share: their options, filter and owner, and sockets of the group's
// network namespaces (Networks). Engine's thread only.
#pragma once

#include <functional>
#include <optional>

#include "base/fd.h"
#include "base/result.h"
#include "engine/context.h"
#include "engine/files/file_kind.h"
#include "image/sockets.pb.h"
#include "sys/socket_options.h"

namespace martlet::engine {

using sys::SocketType;

// Its options are told by those of the first like it.
Result<void> capture_common(CaptureContext& context, const OpenFile& file,
                            image::SocketCommon& out);

// Writes the options of one phase.
Result<void> apply_options(ApplyContext& context, int fd, const image::SocketCommon& common,
                           sys::OptionPhase phase);
// The status flags of the description and the owner of the socket.
Result<void> apply_identity(int fd, const image::File& file, const image::SocketCommon& common);

// A filter that must stay as it is cannot make room for one that drops everything.
Result<void> refuse_locked_filter(int fd);

// From here on whatever arrives for the socket is dropped, so that nothing is acknowledged that the
// image does not hold. Undone when the group goes on here.
Result<void> drop_arrivals(CaptureContext& context, const OpenFile& file,
                           const image::SocketCommon& common);

// Registers `undo(fd)` for the thaw, with a descriptor that stays open until then.
void on_thaw(CaptureContext& context, int fd, std::function<void(int fd)> undo);

// Whether a description of the group is the socket with this inode.
bool has_socket(CaptureContext& context, uint32_t inode);

// A sock_diag socket of one of the group's network namespaces.
Result<int> group_sock_diag(CaptureContext& context, uint32_t network);

// A new socket there.
Result<Fd> open_group_socket(ApplyContext& context, uint32_t network, SocketType type);
// The new socket for a TCP or UDP record. Those for all later records of its network are opened
// with the first, because entering the namespace costs more than a socket.
Result<Fd> open_inet_socket(ApplyContext& context, const image::File& file);

// A raw socket there; the context keeps it.
Result<int> group_packet_injector(ApplyContext& context, uint32_t network, bool v6);
Result<int> group_packet_injector(CaptureContext& context, uint32_t network, bool v6);

// What a restore sends to a new socket comes over the loopback device of its network.
Result<void> refuse_without_loopback(int fd);

// Logs an error of a step that must not fail any more.
void log_if_failed(const Result<void>& result, const char* what);

// Puts the socket's own filter, and the options that come last, in the place of a filter that drops
// everything. Logs what fails.
void let_receive(ApplyContext& context, int fd, const image::SocketCommon& common,
                 const std::string& kind);

// Whether the process has numbers in PID namespaces below the root's, too.
Result<bool> lives_further_in(const CaptureContext& context, HostPid process);

}  // namespace martlet::engine
