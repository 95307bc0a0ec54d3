#include "engine/sockets/udp_socket.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <functional>
#include <tuple>

#include "engine/sockets/common.h"
#include "engine/sockets/multicast.h"
#include "engine/sockets/requeue.h"
#include "sys/packet_injector.h"
#include "sys/socket_address.h"
#include "sys/socket_queue.h"

namespace martlet::engine {
namespace {

constexpr size_t kLargestDatagram = 65507;

// A raw socket of the group's network namespace for IPv6 or IPv4.
using InjectorOf = std::function<Result<int>(bool v6)>;

// Lets queued datagrams tell where they were sent to, for as long as it lives. The option of IPv4
// also works on an IPv6 socket, for datagrams that came over IPv4.
class TellDestination {
 public:
  TellDestination(int fd, int level, int option) : fd_(fd), level_(level), option_(option) {
    auto value = sys::get_int_option(fd, level, option);
    original_ = value.value_or(1);
    if (original_ == 0) std::ignore = sys::set_int_option(fd, level, option, 1);
  }
  ~TellDestination() {
    if (original_ == 0) std::ignore = sys::set_int_option(fd_, level_, option_, 0);
  }
  TellDestination(const TellDestination&) = delete;
  TellDestination& operator=(const TellDestination&) = delete;

 private:
  int fd_;
  int level_;
  int option_;
  int original_;
};

// A datagram that the kernel has joined from several is taken apart again, at the same places.
void add_datagrams(sys::QueuedMessage& message, image::UdpSocket& out) {
  size_t segment = message.segment_bytes == 0 ? message.data.size() : message.segment_bytes;
  size_t at = 0;
  do {
    image::Datagram& datagram = *out.add_queue();
    datagram.set_data(message.data.substr(at, segment));
    datagram.set_sender(message.sender);
    datagram.set_destination(message.destination);
    at += segment;
  } while (at < message.data.size());
}

Result<void> capture_queue(int fd, image::UdpSocket& out) {
  TellDestination v4(fd, IPPROTO_IP, IP_RECVORIGDSTADDR);
  TellDestination v6(fd, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR);
  for (sys::QueuedMessage& message : TRY(sys::peek_messages(fd))) add_datagrams(message, out);
  return {};
}

bool is_group(const sys::InetEndpoint& endpoint) {
  return endpoint.v6 ? endpoint.address[0] == 0xff : endpoint.address[0] >= 224;
}

sys::InetEndpoint loopback(bool v6, uint16_t port) {
  sys::InetEndpoint endpoint;
  endpoint.v6 = v6;
  endpoint.address = {127, 0, 0, 1};
  if (v6) endpoint.address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  endpoint.port = port;
  return endpoint;
}

// The address that the datagram was sent to, if it was one of this host's own; else any of them
// that a socket at `local` receives from: a group address cannot be the target of an injection.
Result<sys::InetEndpoint> target_of(const image::Datagram& datagram,
                                    const sys::InetEndpoint& local) {
  auto destination = sys::parse_endpoint(datagram.destination());
  sys::InetEndpoint target = destination.value_or(local);
  bool v6 = TRY(sys::parse_endpoint(datagram.sender())).v6;
  target.port = local.port;
  if (target.v6 == v6 && !is_group(target) && !target.is_wildcard()) return target;
  if (local.v6 == v6 && !local.is_wildcard()) return local;
  return loopback(v6, local.port);
}

sys::DatagramProtocol protocol_of(const image::UdpSocket& udp) {
  return udp.lite() ? sys::DatagramProtocol::kUdpLite : sys::DatagramProtocol::kUdp;
}

Result<void> inject(const image::UdpSocket& udp, const image::Datagram& datagram,
                    const sys::InetEndpoint& target, const InjectorOf& injector_of) {
  if (datagram.data().size() > kLargestDatagram)
    return fail(Code::kBadImage, "size of a UDP datagram");
  sys::InetEndpoint sender = TRY(sys::parse_endpoint(datagram.sender()));
  int injector = TRY(injector_of(sender.v6));
  return sys::inject_datagram(injector, protocol_of(udp), sender, target, datagram.data());
}

Result<void> inject_all(const image::UdpSocket& udp, const InjectorOf& injector_of) {
  sys::InetEndpoint local = TRY(sys::parse_endpoint(udp.local()));
  for (const image::Datagram& datagram : udp.queue())
    TRY(inject(udp, datagram, TRY(target_of(datagram, local)), injector_of));
  return {};
}

// What comes for such a socket may go to another one.
bool may_share_port(int fd, const sys::InetEndpoint& local) {
  return is_group(local) || sys::get_int_option(fd, SOL_SOCKET, SO_REUSEADDR).value_or(0) != 0 ||
         sys::get_int_option(fd, SOL_SOCKET, SO_REUSEPORT).value_or(0) != 0;
}

// See requeue.h. A connected socket takes in again only what its peer has sent.
Result<void> renew_queue_on_thaw(CaptureContext& context, const OpenFile& file,
                                 const image::UdpSocket& udp) {
  const uint32_t network = file.network;
  auto is_empty = [](const image::Datagram& datagram) { return datagram.data().empty(); };
  if (std::ranges::none_of(udp.queue(), is_empty)) return {};
  if (may_share_port(file.fd, TRY(sys::parse_endpoint(udp.local())))) return {};
  for (const image::Datagram& datagram : udp.queue()) {
    if (!udp.remote().empty() && datagram.sender() != udp.remote()) return {};
    TRY(group_packet_injector(context, network, TRY(sys::parse_endpoint(datagram.sender())).v6));
  }
  auto injector_of = [&context, network](bool v6) {
    return group_packet_injector(context, network, v6);
  };
  on_thaw(context, file.fd, [injector_of, udp](int fd) {
    auto drained = drain_queue(fd, udp.queue_size());
    log_if_failed(drained ? inject_all(udp, injector_of) : drained, "queue of a UDP socket");
  });
  return {};
}

Result<void> capture_udp(CaptureContext& context, const OpenFile& file, image::UdpSocket& out) {
  SocketType type = *file.socket;
  out.set_local(TRY(sys::local_address(file.fd)));
  // The call that looks would give a port to a socket without one, which has sent nothing.
  bool has_port = TRY(sys::parse_endpoint(out.local())).port != 0;
  if (has_port && sys::collects_datagram(file.fd, type.family))
    return fail(Code::kUnsupported,
                "UDP socket collects a datagram that is not sent yet (UDP_CORK, MSG_MORE)");
  TRY(capture_common(context, file, *out.mutable_common()));
  TRY(capture_memberships(context, file, *out.mutable_common()));
  out.set_lite(type.protocol == IPPROTO_UDPLITE);
  out.set_family(static_cast<uint32_t>(type.family));
  out.set_remote(TRY(sys::remote_address(file.fd)));
  TRY(capture_queue(file.fd, out));
  if (!out.queue().empty()) TRY(refuse_without_loopback(file.fd));
  return renew_queue_on_thaw(context, file, out);
}

// A port that no other socket shares, for any address of this host. Because it was chosen by the
// kernel, leave_port gives it back.
Result<sys::InetEndpoint> take_any_port(int fd, bool v6) {
  if (v6) TRY(sys::set_int_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0));
  sys::InetEndpoint anywhere;
  anywhere.v6 = v6;
  TRY(sys::bind_address(fd, sys::to_address(anywhere)));
  return sys::parse_endpoint(TRY(sys::local_address(fd)));
}

Result<void> leave_port(int fd) {
  sockaddr nobody{};
  nobody.sa_family = AF_UNSPEC;
  if (::connect(fd, &nobody, sizeof nobody) != 0) return fail_errno("give back a port");
  return {};
}

// A broadcast address, too, cannot be the target of an injection.
Result<void> inject_anyhow(const image::UdpSocket& udp, const image::Datagram& datagram,
                           const sys::InetEndpoint& local, const InjectorOf& injector_of) {
  sys::InetEndpoint target = TRY(target_of(datagram, local));
  if (inject(udp, datagram, target, injector_of)) return {};
  return inject(udp, datagram, loopback(target.v6, target.port), injector_of);
}

// It is normally there before the call that sends it returns.
Result<void> await_arrival(int fd, uint32_t memory_before) {
  constexpr int kTimeoutMs = 1000;
  for (int waited = 0; waited < kTimeoutMs; ++waited) {
    if (TRY(sys::queue_memory(fd)).received > memory_before) return {};
    ::poll(nullptr, 0, 1);
  }
  return fail(Code::kTimeout, "a datagram could not be put into the queue of a UDP socket");
}

// Each datagram reaches the new socket and no other, whatever shares its address later.
Result<void> fill_queue(ApplyContext& context, const image::File& file, int fd) {
  const image::UdpSocket& udp = file.udp();
  constexpr size_t kOverhead = 1024;
  if (udp.queue().empty()) return {};
  size_t bytes = 0;
  for (const image::Datagram& datagram : udp.queue()) bytes += datagram.data().size() + kOverhead;
  TRY(sys::enlarge_receive_buffer(fd, bytes));
  auto injector_of = [&](bool v6) { return group_packet_injector(context, file.network(), v6); };
  sys::InetEndpoint local = TRY(take_any_port(fd, udp.family() == AF_INET6));
  for (const image::Datagram& datagram : udp.queue()) {
    uint32_t memory = TRY(sys::queue_memory(fd)).received;
    TRY(inject_anyhow(udp, datagram, local, injector_of));
    TRY(await_arrival(fd, memory));
  }
  return leave_port(fd);
}

Result<Fd> create_udp(ApplyContext& context, const image::File& file) {
  const image::UdpSocket& udp = file.udp();
  sys::InetEndpoint local = TRY(sys::parse_endpoint(udp.local()));
  Fd fd = TRY(open_inet_socket(context, file));
  TRY(fill_queue(context, file, fd.get()));
  TRY(apply_options(context, fd.get(), udp.common(), sys::OptionPhase::kBeforeBind));
  TRY(sys::write_socket_filter(fd.get(), udp.common().filter()));
  TRY(apply_options(context, fd.get(), udp.common(), sys::OptionPhase::kLast));
  if (local.port != 0) TRY(sys::bind_address(fd.get(), udp.local()));
  TRY(apply_memberships(fd.get(), udp.common()));
  TRY(apply_identity(fd.get(), file, udp.common()));
  return fd;
}

class UdpSocketKind final : public FileKind {
 public:
  std::string_view name() const override { return "UDP socket"; }

  bool recognises(const OpenFile& file) const override {
    const auto& type = file.socket;
    return type && (type->family == AF_INET || type->family == AF_INET6) &&
           type->type == SOCK_DGRAM &&
           (type->protocol == IPPROTO_UDP || type->protocol == IPPROTO_UDPLITE);
  }

  Result<void> capture(CaptureContext& context, const OpenFile& file,
                       image::File& out) const override {
    return capture_udp(context, file, *out.mutable_udp());
  }

  bool owns(const image::File& file) const override { return file.has_udp(); }

  Result<Fd> create(ApplyContext& context, const image::File& file) const override {
    return create_udp(context, file);
  }

  // A peer that is a socket of the group has its address by now.
  Result<void> complete(ApplyContext&, const image::File& file, int fd) const override {
    if (file.udp().remote().empty()) return {};
    return sys::connect_address(fd, file.udp().remote());
  }
};

}  // namespace

const FileKind& udp_socket_kind() {
  static const UdpSocketKind kind;
  return kind;
}

}  // namespace martlet::engine
