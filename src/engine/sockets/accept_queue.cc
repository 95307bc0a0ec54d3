#include "engine/sockets/accept_queue.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/sockets/common.h"
#include "engine/sockets/tcp_capture.h"
#include "sys/packet_injector.h"
#include "sys/sock_diag.h"
#include "sys/socket_address.h"
#include "sys/tcp_repair.h"

namespace martlet::engine {
namespace {

using sys::InetEndpoint;
using sys::RepairMode;
using sys::TcpConnectionInfo;
using sys::TcpQueue;
using sys::TcpSegment;

// What it takes to open connections from outside in a network namespace.
class Workbench {
 public:
  static Result<Workbench> open(HostPid root, bool v6) {
    Workbench bench(root);
    TRY(run_in_namespace(root, "net", [&]() -> Result<void> {
      bench.diag_ = TRY(sys::open_sock_diag());
      bench.injector_v4_ = TRY(sys::open_packet_injector(false));
      if (v6) bench.injector_v6_ = TRY(sys::open_packet_injector(true));
      return {};
    }));
    return bench;
  }

  Result<void> inject(const TcpSegment& segment) const {
    return sys::inject_segment((segment.to.v6 ? injector_v6_ : injector_v4_).get(), segment);
  }
  int diag() const { return diag_.get(); }
  Result<Fd> open_socket(bool v6) const {
    Fd fd;
    TRY(run_in_namespace(root_, "net", [&]() -> Result<void> {
      fd = Fd(::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
      return fd.valid() ? Result<void>() : fail_errno("create a socket");
    }));
    return fd;
  }

 private:
  explicit Workbench(HostPid root) : root_(root) {}
  HostPid root_;
  Fd diag_;
  Fd injector_v4_;
  Fd injector_v6_;
};

std::string opening_options(const image::TcpSocket& tcp) {
  std::string options;
  auto put = [&](std::initializer_list<uint32_t> bytes) {
    for (uint32_t byte : bytes) options.push_back(static_cast<char>(byte & 0xff));
  };
  put({TCPOPT_MAXSEG, TCPOLEN_MAXSEG, tcp.mss_clamp() >> 8, tcp.mss_clamp()});
  if (tcp.window_scaling())
    put({TCPOPT_NOP, TCPOPT_WINDOW, TCPOLEN_WINDOW, tcp.send_scale() & 0xf});
  if (tcp.sack()) put({TCPOPT_NOP, TCPOPT_NOP, TCPOPT_SACK_PERMITTED, TCPOLEN_SACK_PERMITTED});
  return options;
}

Result<uint32_t> window_of_peer(const image::TcpSocket& tcp) {
  sys::TcpWindow window{};
  if (tcp.window().size() != sizeof window) return fail(Code::kBadImage, "size of a TCP window");
  std::memcpy(&window, tcp.window().data(), sizeof window);
  return window.snd_wnd;
}

// One connection on its way into the queue.
class Opening {
 public:
  static Result<Opening> of(const Workbench& bench, const image::TcpSocket& tcp) {
    bool may_wait = tcp.state() == TCP_ESTABLISHED || tcp.state() == TCP_CLOSE_WAIT;
    if (!may_wait || !tcp.send_queue().empty())
      return fail(Code::kBadImage, "connection in the queue of a listener");
    Opening opening(bench, tcp);
    opening.local_ = TRY(sys::parse_endpoint(tcp.local()));
    opening.peer_ = TRY(sys::parse_endpoint(tcp.remote()));
    opening.peer_window_ = TRY(window_of_peer(tcp));
    return opening;
  }

  Result<void> run() const {
    TRY(precede());
    TRY(open());
    TRY(deliver());
    if (tcp_.state() != TCP_CLOSE_WAIT) return {};
    TRY(bench_.inject(segment(TcpSegment::kFin | TcpSegment::kAcknowledge, received_end())));
    return await("end", [](const TcpConnectionInfo& now) { return now.state == TCP_CLOSE_WAIT; });
  }

 private:
  Opening(const Workbench& bench, const image::TcpSocket& tcp) : bench_(bench), tcp_(tcp) {}

  uint32_t received_end() const {
    return tcp_.receive_sequence() + static_cast<uint32_t>(tcp_.receive_queue().size());
  }

  TcpSegment segment(uint8_t flags, uint32_t sequence) const {
    TcpSegment segment;
    segment.from = peer_;
    segment.to = local_;
    segment.flags = flags;
    segment.sequence = sequence;
    segment.acknowledged = tcp_.send_sequence();
    segment.window = static_cast<uint16_t>(
        std::min<uint32_t>(peer_window_ >> (tcp_.send_scale() & 0xf), UINT16_MAX));
    return segment;
  }

  // Leaves a socket in TIME_WAIT. Who succeeds it begins kGap behind the last number it has sent.
  Result<void> precede() const {
    constexpr uint32_t kGap = 65535 + 2;
    constexpr uint32_t kBeforePeer = 1000;
    uint32_t last = tcp_.send_sequence() - 1 - kGap;
    uint32_t received = tcp_.receive_sequence() - 1 - kBeforePeer;
    Fd fd = TRY(bench_.open_socket(local_.v6));
    TRY(sys::set_tcp_repair(fd.get(), RepairMode::kOn));
    if (::setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof "lo") != 0)
      return fail_errno("bind a socket to the loopback device");
    TRY(sys::bind_address(fd.get(), sys::to_address(local_)));
    TRY(sys::set_tcp_sequence(fd.get(), TcpQueue::kReceive, received));
    TRY(sys::set_tcp_sequence(fd.get(), TcpQueue::kSend, last - 1));
    TRY(sys::connect_address(fd.get(), sys::to_address(peer_)));
    // In repair mode the end counts as sent, and is not.
    if (::shutdown(fd.get(), SHUT_WR) != 0) return fail_errno("end a TCP stream");
    TRY(sys::set_tcp_repair(fd.get(), RepairMode::kOffWithoutProbe));
    TcpSegment end = segment(TcpSegment::kFin | TcpSegment::kAcknowledge, received);
    end.acknowledged = last;
    TRY(bench_.inject(end));
    return await("predecessor",
                 [](const TcpConnectionInfo& now) { return now.state == TCP_TIME_WAIT; });
  }

  // A peer on this host answers for itself, correctly, and may be quicker.
  Result<void> open() const {
    std::string options = opening_options(tcp_);
    TcpSegment first = segment(TcpSegment::kSynchronize, tcp_.receive_sequence() - 1);
    first.acknowledged = 0;
    first.window = UINT16_MAX;
    first.options = options;
    TRY(bench_.inject(first));
    TRY(await("opening", [](const TcpConnectionInfo& now) {
      return now.state == TCP_SYN_RECV || now.state == TCP_ESTABLISHED;
    }));
    TRY(bench_.inject(segment(TcpSegment::kAcknowledge, tcp_.receive_sequence())));
    TRY(await("handshake",
              [](const TcpConnectionInfo& now) { return now.state == TCP_ESTABLISHED; }));
    return check_scale();
  }

  // The listener's side of the window's scale is this kernel's choice.
  Result<void> check_scale() const {
    auto now = TRY(sys::query_tcp_connection(bench_.diag(), local_, peer_));
    if (!tcp_.window_scaling() || now.receive_scale == tcp_.receive_scale()) return {};
    return std::unexpected(
        Error(Code::kUnsupported,
              fmt::format("connection {} that waits to be accepted has window scale {}, and this "
                          "host gives {}",
                          sys::describe_address(tcp_.remote()), tcp_.receive_scale(),
                          now.receive_scale))
            .with_remedy("give both hosts the same net.ipv4.tcp_rmem and net.core.rmem_max"));
  }

  Result<void> deliver() const {
    constexpr size_t kPiece = 16384;
    const std::string_view data = tcp_.receive_queue();
    for (size_t at = 0; at < data.size(); at += kPiece) {
      TcpSegment piece =
          segment(TcpSegment::kAcknowledge, tcp_.receive_sequence() + static_cast<uint32_t>(at));
      piece.data = data.substr(at, kPiece);
      size_t wanted = at + piece.data.size();
      TRY(bench_.inject(piece));
      TRY(await("data", [&](const TcpConnectionInfo& now) { return now.receive_queue >= wanted; }));
    }
    return {};
  }

  // An injected segment is normally processed before the call that sends it returns.
  template <typename Reached>
  Result<void> await(const char* what, Reached reached) const {
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    for (;;) {
      auto now = sys::query_tcp_connection(bench_.diag(), local_, peer_);
      if (now && reached(*now)) return {};
      if (!now && now.error().code() != Code::kNotFound) return std::unexpected(now.error());
      if (std::chrono::steady_clock::now() >= deadline)
        return fail(Code::kTimeout, fmt::format("the {} of connection {} to {} was not received",
                                                what, sys::describe_address(tcp_.remote()),
                                                sys::describe_address(tcp_.local())));
      ::sched_yield();
    }
  }

  const Workbench& bench_;
  const image::TcpSocket& tcp_;
  InetEndpoint local_;
  InetEndpoint peer_;
  uint32_t peer_window_ = 0;
};

// A listener that waits for data too would not take a handshake alone.
Result<void> fill(const Workbench& bench, int listener, const image::TcpSocket& tcp) {
  TRY(sys::write_socket_filter(listener, tcp.common().filter()));
  int deferred = TRY(sys::get_int_option(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT));
  if (deferred != 0) TRY(sys::set_int_option(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, 0));
  for (const image::TcpSocket& waiting : tcp.waiting()) {
    Opening opening = TRY(Opening::of(bench, waiting));
    TRY(opening.run());
  }
  if (deferred == 0) return {};
  return sys::set_int_option(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, deferred);
}

// What was taken out of a queue, and the way back.
struct Taken {
  Workbench bench;
  image::TcpSocket listener;
  std::vector<Fd> connections;
};

Result<bool> has_waiting(int listener) {
  pollfd state{listener, POLLIN, 0};
  if (::poll(&state, 1, 0) < 0) return fail_errno("poll a listener");
  return (state.revents & POLLIN) != 0;
}

Result<void> take_next(int listener, Taken& taken) {
  Fd fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!fd.valid()) return fail_errno("take a connection from a listener");
  if (TRY(sys::tcp_information(fd.get())).tcpi_state == TCP_CLOSE) return {};  // the peer reset it
  image::TcpSocket waiting;
  waiting.set_family(taken.listener.family());
  waiting.set_local(TRY(sys::local_address(fd.get())));
  waiting.set_remote(TRY(sys::remote_address(fd.get())));
  taken.connections.push_back(std::move(fd));
  TRY(take_connection(taken.connections.back().get(), waiting));
  *taken.listener.add_waiting() = std::move(waiting);
  return {};
}

}  // namespace

Result<void> capture_accept_queue(CaptureContext& context, const OpenFile& listener,
                                  image::TcpSocket& out) {
  auto bench = TRY(Workbench::open(context.root(), out.family() == AF_INET6));
  auto taken = std::make_shared<Taken>(Taken{std::move(bench), out, {}});
  TRY(on_thaw(context, listener.fd, [taken](int fd) {
    taken->connections.clear();
    log_if_failed(fill(taken->bench, fd, taken->listener), "connections of a listener");
  }));
  while (TRY(has_waiting(listener.fd))) TRY(take_next(listener.fd, *taken));
  *out.mutable_waiting() = taken->listener.waiting();
  return {};
}

Result<void> fill_accept_queue(HostPid root, int listener, const image::TcpSocket& tcp) {
  auto bench = TRY(Workbench::open(root, tcp.family() == AF_INET6));
  return fill(bench, listener, tcp);
}

}  // namespace martlet::engine
