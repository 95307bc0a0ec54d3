#include "engine/sockets/tcp_apply.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "engine/sockets/common.h"
#include "engine/sockets/tcp_state.h"
#include "sys/packet_injector.h"
#include "sys/socket_address.h"
#include "sys/tcp_repair.h"

namespace martlet::engine {
namespace {

using sys::RepairMode;
using sys::TcpQueue;
using sys::TcpSegment;

// An injected segment is normally processed before the call that sends it returns.
constexpr int kInjectionTimeoutMs = 1000;

bool is_bound(const image::TcpSocket& tcp) {
  auto endpoint = sys::parse_endpoint(tcp.local());
  return endpoint && endpoint->port != 0;
}

Result<void> check(const image::TcpSocket& tcp) {
  TRY(sys::parse_endpoint(tcp.local()));
  if (tcp.unsent_bytes() > tcp.send_queue().size())
    return fail(Code::kBadImage, "more unsent bytes than the send queue holds");
  return {};
}

Result<void> restore_listener(int fd, const image::TcpSocket& tcp) {
  TRY(sys::bind_address(fd, tcp.local()));
  TRY(sys::write_socket_filter(fd, sys::drop_everything_filter()));
  int backlog = static_cast<int>(std::min<uint32_t>(tcp.backlog(), INT32_MAX));
  if (::listen(fd, backlog) != 0)
    return fail_errno("listen on " + sys::describe_address(tcp.local()));
  return {};
}

// In repair mode connect() only joins the two addresses.
Result<void> join(int fd, const image::TcpSocket& tcp, const std::string& remote) {
  TRY(sys::set_tcp_repair(fd, RepairMode::kOn));
  TRY(sys::bind_address(fd, tcp.local()));
  TRY(sys::set_tcp_sequence(fd, TcpQueue::kReceive, tcp.receive_sequence()));
  TRY(sys::set_tcp_sequence(fd, TcpQueue::kSend, tcp.send_sequence()));
  return sys::connect_address(fd, remote);
}

Result<void> set_maximum_segment(int fd, uint32_t bytes) {
  return in_context(sys::set_int_option(fd, IPPROTO_TCP, TCP_MAXSEG, static_cast<int>(bytes)),
                    "TCP_MAXSEG");
}

// connect() fixes the size of segments, from a small default because the peer's limit is not known
// yet, and TCP_REPAIR_OPTIONS does not change it. Over IPv4 any change of the IP options computes
// it anew, so the empty options are set once more. Over IPv6 nothing does, so the limit is given
// before as the program's own, which can be at most 32767.
Result<void> join_with_segment_size(int fd, const image::TcpSocket& tcp) {
  constexpr uint32_t kSmallestMss = 88;
  constexpr uint32_t kLargestMss = 32767;
  sys::TcpNegotiated negotiated{
      tcp.mss_clamp(),           tcp.window_scaling(), tcp.send_scale() & 0xf,
      tcp.receive_scale() & 0xf, tcp.sack(),           tcp.timestamps()};
  bool v6 = TRY(sys::parse_endpoint(tcp.local())).v6;
  if (v6) TRY(set_maximum_segment(fd, std::clamp(tcp.mss_clamp(), kSmallestMss, kLargestMss)));
  TRY(join(fd, tcp, tcp.remote()));
  if (v6) TRY(set_maximum_segment(fd, 0));
  TRY(sys::set_tcp_negotiated(fd, negotiated));
  if (tcp.timestamps()) TRY(sys::set_tcp_timestamp(fd, tcp.timestamp()));
  return {};
}

// Sets the empty IP options once more, when the window is known, which bounds the size too.
Result<void> compute_segment_size(int fd, const image::TcpSocket& tcp) {
  if (TRY(sys::parse_endpoint(tcp.local())).v6) return {};
  if (::setsockopt(fd, IPPROTO_IP, IP_OPTIONS, "", 0) != 0) return fail_errno("IP_OPTIONS");
  return {};
}

std::string_view sent_part(const image::TcpSocket& tcp) {
  return std::string_view(tcp.send_queue()).substr(0, tcp.send_queue().size() - tcp.unsent_bytes());
}

std::string_view unsent_part(const image::TcpSocket& tcp) {
  return std::string_view(tcp.send_queue()).substr(tcp.send_queue().size() - tcp.unsent_bytes());
}

Result<void> restore_queues(int fd, const image::TcpSocket& tcp) {
  TRY(sys::enlarge_send_buffer(fd, tcp.send_queue().size()));
  TRY(sys::enlarge_receive_buffer(fd, tcp.receive_queue().size()));
  TRY(sys::fill_tcp_queue(fd, TcpQueue::kReceive, tcp.receive_queue()));
  return sys::fill_tcp_queue(fd, TcpQueue::kSend, sent_part(tcp));
}

Result<void> restore_window(int fd, const image::TcpSocket& tcp) {
  sys::TcpWindow window{};
  if (tcp.window().size() != sizeof window) return fail(Code::kBadImage, "size of a TCP window");
  std::memcpy(&window, tcp.window().data(), sizeof window);
  // The end of the peer's stream is not received yet here: what was announced with it belongs to
  // the position before it.
  uint32_t received = tcp.receive_sequence() + static_cast<uint32_t>(tcp.receive_queue().size());
  auto ahead = static_cast<int32_t>(window.rcv_wup - received);
  if (ahead > 0) {
    window.rcv_wup = received;
    window.rcv_wnd += static_cast<uint32_t>(ahead);
  }
  if (static_cast<int32_t>(window.snd_wl1 - received) > 0) window.snd_wl1 = received;
  return sys::set_tcp_window(fd, window);
}

Result<void> restore_connection(ApplyContext& context, int fd, const image::File& file) {
  const image::TcpSocket& tcp = file.tcp();
  TRY(sys::write_socket_filter(fd, sys::drop_everything_filter()));
  TRY(join_with_segment_size(fd, tcp));
  TRY(restore_queues(fd, tcp));
  TRY(restore_window(fd, tcp));
  TRY(compute_segment_size(fd, tcp));
  if (peer_has_ended(tcp.state()))  // go_live needs it and must not fail
    TRY(group_packet_injector(context, file.network(), TRY(sys::parse_endpoint(tcp.local())).v6));
  return {};
}

// The first segment goes out again in go_live, with the number it had.
Result<void> restore_connecting(int fd, const image::TcpSocket& tcp) {
  TRY(sys::set_tcp_repair(fd, RepairMode::kOn));
  TRY(sys::bind_address(fd, tcp.local()));
  TRY(sys::set_tcp_sequence(fd, TcpQueue::kSend, tcp.send_sequence()));
  return sys::set_tcp_repair(fd, RepairMode::kOffWithoutProbe);
}

Result<bool> has_event(int fd, short event, int timeout_ms) {
  pollfd state{fd, event, 0};
  if (::poll(&state, 1, timeout_ms) < 0) return fail_errno("poll a TCP socket");
  return (state.revents & event) != 0;
}

Result<void> wait_for(int fd, short event) {
  if (TRY(has_event(fd, event, kInjectionTimeoutMs))) return {};
  return fail(Code::kTimeout, "injected segment was not received");
}

// A connection that is over: it is joined to an address of this host, filled, and reset by a
// segment that seems to come from there. A reset is not answered, so nobody hears of it.
Result<void> restore_finished(ApplyContext& context, int fd, const image::File& file) {
  const image::TcpSocket& tcp = file.tcp();
  constexpr uint16_t kAnyPort = 1;
  TcpSegment reset;
  reset.to = TRY(sys::parse_endpoint(tcp.local()));
  reset.from = reset.to;
  reset.from.port = kAnyPort;
  reset.sequence = static_cast<uint32_t>(tcp.receive_queue().size());
  reset.flags = TcpSegment::kReset;
  image::TcpSocket from_zero = tcp;
  from_zero.set_receive_sequence(0);
  from_zero.set_send_sequence(1);
  TRY(join(fd, from_zero, sys::to_address(reset.from)));
  TRY(sys::enlarge_receive_buffer(fd, tcp.receive_queue().size()));
  TRY(sys::fill_tcp_queue(fd, TcpQueue::kReceive, tcp.receive_queue()));
  TRY(sys::set_tcp_repair(fd, RepairMode::kOffWithoutProbe));
  TRY(sys::inject_segment(TRY(group_packet_injector(context, file.network(), reset.to.v6)), reset));
  TRY(wait_for(fd, POLLHUP));
  if (!tcp.failed()) TRY(sys::get_int_option(fd, SOL_SOCKET, SO_ERROR));
  return {};
}

Result<void> restore_state(ApplyContext& context, int fd, const image::File& file) {
  const image::TcpSocket& tcp = file.tcp();
  if (tcp.state() == TCP_LISTEN) return restore_listener(fd, tcp);
  if (tcp.state() == TCP_SYN_SENT) return restore_connecting(fd, tcp);
  if (is_connection(tcp.state())) return restore_connection(context, fd, file);
  if (tcp.state() != TCP_CLOSE) return fail(Code::kBadImage, "state of a TCP socket");
  if (tcp.finished() && is_bound(tcp)) return restore_finished(context, fd, file);
  return is_bound(tcp) ? sys::bind_address(fd, tcp.local()) : Result<void>();
}

// Moves the peer's stream to its end. The window is the one that the peer announced last. A peer on
// this host may have gone live before and ended its stream again itself, with a newer window.
Result<void> inject_end(ApplyContext& context, int fd, const image::File& file) {
  const image::TcpSocket& tcp = file.tcp();
  if (TRY(has_event(fd, POLLRDHUP, 0))) return {};
  sys::TcpWindow window{};
  std::memcpy(&window, tcp.window().data(), std::min(tcp.window().size(), sizeof window));
  TcpSegment end;
  end.from = TRY(sys::parse_endpoint(tcp.remote()));
  end.to = TRY(sys::parse_endpoint(tcp.local()));
  end.sequence = tcp.receive_sequence() + static_cast<uint32_t>(tcp.receive_queue().size());
  end.acknowledged = tcp.send_sequence();
  end.window = static_cast<uint16_t>(
      std::min<uint32_t>(window.snd_wnd >> (tcp.send_scale() & 0xf), UINT16_MAX));
  end.flags = TcpSegment::kFin | TcpSegment::kAcknowledge;
  TRY(sys::inject_segment(TRY(group_packet_injector(context, file.network(), end.to.v6)), end));
  return wait_for(fd, POLLRDHUP);
}

Result<void> send_unsent(int fd, const image::TcpSocket& tcp) {
  std::string_view unsent = unsent_part(tcp);
  while (!unsent.empty()) {
    ssize_t put = ::send(fd, unsent.data(), unsent.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put <= 0) return fail_errno("send what was not sent before the capture");
    unsent.remove_prefix(static_cast<size_t>(put));
  }
  return {};
}

Result<void> end_stream(int fd) {
  if (::shutdown(fd, SHUT_WR) != 0) return fail_errno("end a TCP stream");
  return {};
}

Result<void> speak(ApplyContext& context, int fd, const image::File& file) {
  const image::TcpSocket& tcp = file.tcp();
  TRY(sys::set_tcp_repair(fd, RepairMode::kOff));
  // In TCP_CLOSING this end went first.
  bool peer_first = peer_has_ended(tcp.state()) && tcp.state() != TCP_CLOSING;
  if (peer_first) TRY(inject_end(context, fd, file));
  TRY(send_unsent(fd, tcp));
  if (has_ended(tcp.state())) TRY(end_stream(fd));
  if (tcp.state() == TCP_CLOSING) TRY(inject_end(context, fd, file));
  return {};
}

Result<void> connect_again(int fd, const image::TcpSocket& tcp) {
  int flags = ::fcntl(fd, F_GETFL);
  ::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  auto connected = sys::connect_address(fd, tcp.remote());
  ::fcntl(fd, F_SETFL, flags);
  return connected;
}

// Both ends of the connection are on this host, whether or not in the group.
bool is_local(const image::TcpSocket& tcp) {
  auto local = sys::parse_endpoint(tcp.local());
  auto remote = sys::parse_endpoint(tcp.remote());
  return local && remote && (remote->is_loopback() || remote->has_same_address(*local));
}

}  // namespace

Result<Fd> create_tcp(ApplyContext& context, const image::File& file) {
  const image::TcpSocket& tcp = file.tcp();
  TRY(check(tcp));
  Fd fd = TRY(open_inet_socket(context, file));
  TRY(apply_options(context, fd.get(), tcp.common(), sys::OptionPhase::kBeforeBind));
  // Connections share the port of their listener, and each may come first; the real value follows
  // in go_live.
  TRY(sys::set_int_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1));
  TRY_IN(restore_state(context, fd.get(), file),
         "TCP socket " + sys::describe_address(tcp.local()));
  TRY(apply_identity(fd.get(), file, tcp.common()));
  return fd;
}

Result<void> complete_tcp(const image::TcpSocket& tcp, int fd) {
  if (is_connection(tcp.state()) && is_local(tcp)) return sys::write_socket_filter(fd, "");
  return {};
}

void let_in_tcp(ApplyContext& context, const image::TcpSocket& tcp, int fd) {
  if (context.networks().count() > 1)
    log_if_failed(sys::write_socket_filter(fd, tcp.common().filter()), "filter of a TCP socket");
}

void go_live_tcp(ApplyContext& context, const image::File& file, int fd) {
  const image::TcpSocket& tcp = file.tcp();
  log_if_failed(sys::write_socket_filter(fd, tcp.common().filter()), "filter of a TCP socket");
  if (is_connection(tcp.state())) log_if_failed(speak(context, fd, file), "TCP connection");
  if (tcp.state() == TCP_SYN_SENT) log_if_failed(connect_again(fd, tcp), "TCP connection");
  log_if_failed(apply_options(context, fd, tcp.common(), sys::OptionPhase::kLast), "TCP socket");
}

}  // namespace martlet::engine
