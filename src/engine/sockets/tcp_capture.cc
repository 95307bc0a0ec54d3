#include "engine/sockets/tcp_capture.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "engine/sockets/abandoned.h"
#include "engine/sockets/common.h"
#include "engine/sockets/tcp_state.h"
#include "sys/sock_diag.h"
#include "sys/socket_address.h"
#include "sys/tcp_repair.h"

namespace martlet::engine {
namespace {

using sys::TcpQueue;

Result<void> refuse_upper_layers(int fd) {
  char name[16] = "";
  socklen_t length = sizeof name - 1;
  constexpr int kTcpUlp = 31;
  if (::getsockopt(fd, IPPROTO_TCP, kTcpUlp, name, &length) == 0 && length > 0 && name[0] != '\0')
    return fail(Code::kUnsupported,
                std::string("TCP socket with the protocol ") + name + " of the kernel on top");
  return {};
}

Result<void> capture_listener(CaptureContext& context, const OpenFile& file,
                              image::TcpSocket& out) {
  TRY(drop_arrivals(context, file, out.common()));
  sys::TcpInfo info = TRY(sys::tcp_information(file.fd));
  out.set_backlog(info.tcpi_sacked);
  if (info.tcpi_unacked == 0) return {};
  return fail(Code::kUnsupported, "listener " + sys::describe_address(out.local()) + " has " +
                                      std::to_string(info.tcpi_unacked) +
                                      " connections waiting to be accepted");
}

// Puts the connection into repair mode, and then lets nothing reach it any more: by that mode the
// filter is known for ours if this process is killed (see abandoned.cc). While a queue is selected
// in that mode, what is to be sent counts as sent, so the filter goes last.
Result<void> stop(CaptureContext& context, const OpenFile& file,
                  const image::SocketCommon& common) {
  TRY(refuse_locked_filter(file.fd));
  int reuse = TRY(sys::get_int_option(file.fd, SOL_SOCKET, SO_REUSEADDR));
  on_thaw(context, file.fd, [reuse, filter = common.filter()](int fd) {
    make_filter_recognisable(fd);
    log_if_failed(sys::set_tcp_repair(fd, sys::RepairMode::kOffWithoutProbe), "end TCP repair");
    log_if_failed(sys::set_int_option(fd, SOL_SOCKET, SO_REUSEADDR, reuse), "SO_REUSEADDR");
    log_if_failed(sys::write_socket_filter(fd, filter), "let a socket receive again");
  });
  TRY(sys::set_tcp_repair(file.fd, sys::RepairMode::kOn));
  return context.drop_filter().attach(file.fd);
}

Error urgent_data() {
  return Error(Code::kUnsupported, "urgent data waits in the receive queue")
      .with_remedy("try again when the program has read it");
}

// A socket that has nothing to be read has nothing behind a place of urgent data either.
Result<bool> is_drained(int fd, short events) {
  if ((events & POLLIN) != 0) return false;
  return TRY(sys::get_int_option(fd, SOL_SOCKET, SO_RCVLOWAT)) <= 1;
}

// Nothing puts an urgent byte and its place back into a queue. One that was read and has nothing
// behind it is over: the queue ends before it, and so will the copy's.
Result<void> refuse_urgent(CaptureContext& context, int fd) {
  pollfd state{fd, POLLPRI | POLLIN, 0};
  if (::poll(&state, 1, 0) < 0) return fail_errno("poll a TCP socket");
  if ((state.revents & POLLPRI) != 0) return std::unexpected(urgent_data());
  if (TRY(is_drained(fd, state.revents))) return {};
  if (TRY(sys::get_int_option(fd, SOL_SOCKET, SO_OOBINLINE)) != 0) return {};
  // The kernel counts only up to the place, unless urgent data is to be read like other.
  uint32_t before_it = TRY(sys::tcp_unread(fd));
  on_thaw(context, fd, [](int socket) {
    log_if_failed(sys::set_int_option(socket, SOL_SOCKET, SO_OOBINLINE, 0), "SO_OOBINLINE");
  });
  TRY(sys::set_int_option(fd, SOL_SOCKET, SO_OOBINLINE, 1));
  uint32_t all = TRY(sys::tcp_unread(fd));
  TRY(sys::set_int_option(fd, SOL_SOCKET, SO_OOBINLINE, 0));
  return all > before_it + 1 ? std::unexpected(urgent_data()) : Result<void>();
}

// Where the two queues are.
struct Position {
  uint8_t state = 0;
  uint32_t send_end = 0;
  uint32_t receive_end = 0;
  uint32_t unacknowledged = 0;
  uint32_t unsent = 0;
  uint32_t unread = 0;
};

Result<Position> position_of(int fd, const sys::TcpInfo& info) {
  Position position;
  position.state = info.tcpi_state;
  position.send_end = TRY(sys::tcp_sequence(fd, TcpQueue::kSend));
  position.receive_end = TRY(sys::tcp_sequence(fd, TcpQueue::kReceive));
  position.unacknowledged = TRY(sys::tcp_unacknowledged(fd));
  position.unsent = info.unsent_bytes;
  position.unread = TRY(sys::tcp_unread(fd));
  return position;
}

Result<void> read_queues(int fd, const Position& at, image::TcpSocket& out) {
  uint32_t own_end = end_is_unacknowledged(at.state) ? 1 : 0;
  if (at.unacknowledged < own_end) return fail(Code::kSystem, "TCP sequences do not add up");
  out.set_state(at.state);
  out.set_send_queue(TRY(sys::peek_tcp_queue(fd, TcpQueue::kSend, at.unacknowledged - own_end)));
  out.set_receive_queue(TRY(sys::peek_tcp_queue(fd, TcpQueue::kReceive, at.unread)));
  out.set_unsent_bytes(at.unsent - std::min(at.unsent, own_end));
  // An acknowledged end of the stream lies before `send_end` and is sent again by the copy.
  out.set_send_sequence(at.send_end - at.unacknowledged - (at.state == TCP_FIN_WAIT2 ? 1 : 0));
  out.set_receive_sequence(at.receive_end - at.unread - (peer_has_ended(at.state) ? 1 : 0));
  if (out.send_queue().size() != at.unacknowledged - own_end)
    return fail(Code::kSystem, "send queue could not be read as a whole");
  if (out.receive_queue().size() != at.unread) return std::unexpected(urgent_data());
  return {};
}

Result<void> read_agreement(int fd, const sys::TcpInfo& info, image::TcpSocket& out) {
  auto negotiated = TRY(sys::tcp_negotiated(fd, info));
  out.set_mss_clamp(negotiated.mss_clamp);
  out.set_window_scaling(negotiated.window_scaling);
  out.set_send_scale(negotiated.send_scale);
  out.set_receive_scale(negotiated.receive_scale);
  out.set_sack(negotiated.sack);
  out.set_timestamps(negotiated.timestamps);
  if (negotiated.timestamps) out.set_timestamp(TRY(sys::tcp_timestamp(fd)));
  auto window = TRY(sys::tcp_window(fd));
  out.set_window(&window, sizeof window);
  return {};
}

// A segment that passed the filter just before it was attached may still be on its way into the
// socket on another processor, so what is read counts only if none came meanwhile and no timer has
// sent anything or ended the connection.
Result<void> read_connection(int fd, image::TcpSocket& out) {
  constexpr int kAttempts = 16;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const sys::TcpInfo before = TRY(sys::tcp_information(fd));
    if (!is_connection(before.tcpi_state)) return fail(Code::kGone, "connection ended meanwhile");
    auto read = read_queues(fd, TRY(position_of(fd, before)), out);
    if (read) read = read_agreement(fd, before, out);
    const sys::TcpInfo after = TRY(sys::tcp_information(fd));
    if (after.tcpi_state == before.tcpi_state &&
        after.segments_received == before.segments_received &&
        after.unsent_bytes == before.unsent_bytes)
      return read;
  }
  return fail(Code::kTimeout, "packets keep arriving");
}

Result<void> capture_connection(CaptureContext& context, const OpenFile& file,
                                image::TcpSocket& out) {
  out.set_remote(TRY(sys::remote_address(file.fd)));
  TRY(stop(context, file, out.common()));
  TRY(refuse_urgent(context, file.fd));
  TRY(read_connection(file.fd, out));
  return peer_has_ended(out.state()) ? refuse_without_loopback(file.fd) : Result<void>();
}

// A socket that waits for the answer to its first segment has no peer yet as far as getpeername is
// concerned; sock_diag knows it.
Result<std::string> find_wanted_peer(CaptureContext& context, const OpenFile& file, int family) {
  const auto alone = context.alone();  // an answer of sock_diag is for one
  int diag = TRY(group_sock_diag(context, file.network));
  auto sockets = TRY(sys::list_tcp_sockets(diag, family, 1u << TCP_SYN_SENT));
  auto own = std::ranges::find(sockets, static_cast<uint32_t>(file.status.st_ino),
                               &sys::TcpSocketInfo::inode);
  if (own == sockets.end()) return fail(Code::kGone, "connection attempt ended meanwhile");
  return sys::to_address(own->remote);
}

Result<void> capture_connecting(CaptureContext& context, const OpenFile& file,
                                image::TcpSocket& out) {
  TRY(stop(context, file, out.common()));
  out.set_remote(TRY(find_wanted_peer(context, file, file.socket->family)));
  out.set_send_sequence(TRY(sys::tcp_sequence(file.fd, TcpQueue::kSend)) - 1);
  return {};
}

// A connection that is over keeps its descriptor, what was received before, and perhaps an error.
Result<void> capture_closed(CaptureContext& context, int fd, image::TcpSocket& out) {
  pollfd state{fd, POLLIN | POLLRDHUP, 0};
  if (::poll(&state, 1, 0) < 0) return fail_errno("poll a TCP socket");
  out.set_finished((state.revents & POLLRDHUP) != 0);
  out.set_failed((state.revents & POLLERR) != 0);
  if (!out.finished()) return {};
  TRY(refuse_without_loopback(fd));
  TRY(refuse_urgent(context, fd));
  uint32_t unread = TRY(sys::tcp_unread(fd));
  if (unread == 0) return {};
  std::string bytes(unread, '\0');
  ssize_t got = ::recv(fd, bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
  if (got < 0) return fail_errno("peek into a closed TCP socket");
  bytes.resize(static_cast<size_t>(got));
  out.set_receive_queue(std::move(bytes));
  return {};
}

// A peek offset set by the program would hide the front of the receive queue.
Result<void> reset_peek_offset(CaptureContext& context, int fd) {
  auto offset = sys::get_int_option(fd, SOL_SOCKET, SO_PEEK_OFF);
  if (!offset || *offset < 0) return {};
  on_thaw(context, fd, [value = *offset](int socket) {
    log_if_failed(sys::set_int_option(socket, SOL_SOCKET, SO_PEEK_OFF, value), "SO_PEEK_OFF");
  });
  return sys::set_int_option(fd, SOL_SOCKET, SO_PEEK_OFF, -1);
}

}  // namespace

Result<void> capture_tcp(CaptureContext& context, const OpenFile& file, image::TcpSocket& out) {
  TRY(refuse_upper_layers(file.fd));
  TRY(capture_common(context, file, *out.mutable_common()));
  TRY(reset_peek_offset(context, file.fd));
  out.set_family(static_cast<uint32_t>(file.socket->family));
  out.set_local(TRY(sys::local_address(file.fd)));
  out.set_state(TRY(sys::tcp_information(file.fd)).tcpi_state);
  switch (out.state()) {
    case TCP_LISTEN: return capture_listener(context, file, out);
    case TCP_CLOSE: return capture_closed(context, file.fd, out);
    case TCP_SYN_SENT: return capture_connecting(context, file, out);
    default: break;
  }
  if (is_connection(out.state())) return capture_connection(context, file, out);
  return fail(Code::kUnsupported, "TCP socket in state " + std::to_string(out.state()));
}

}  // namespace martlet::engine
