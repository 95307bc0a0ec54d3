#include "engine/sockets/udp_socket.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <algorithm>
#include <functional>
#include <tuple>

#include "engine/sockets/common.h"
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

Result<void> capture_queue(int fd, image::UdpSocket& out) {
  TellDestination v4(fd, IPPROTO_IP, IP_RECVORIGDSTADDR);
  TellDestination v6(fd, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR);
  for (sys::QueuedMessage& message : TRY(sys::peek_messages(fd))) {
    image::Datagram& datagram = *out.add_queue();
    datagram.set_data(std::move(message.data));
    datagram.set_sender(std::move(message.sender));
    datagram.set_destination(std::move(message.destination));
  }
  return {};
}

// The address that the datagram was sent to, if it was one of this host's own; else any of them
// that the socket receives from: a group or broadcast address cannot be the target of an injection.
Result<sys::InetEndpoint> target_of(const image::Datagram& datagram, const image::UdpSocket& udp) {
  sys::InetEndpoint local = TRY(sys::parse_endpoint(udp.local()));
  auto destination = sys::parse_endpoint(datagram.destination());
  sys::InetEndpoint target = destination.value_or(local);
  bool v6 = TRY(sys::parse_endpoint(datagram.sender())).v6;
  bool group = target.v6 ? target.address[0] == 0xff : target.address[0] >= 224;
  target.port = local.port;
  if (target.v6 == v6 && !group && !target.is_wildcard()) return target;
  if (local.v6 == v6 && !local.is_wildcard()) {
    local.port = target.port;
    return local;
  }
  sys::InetEndpoint loopback;
  loopback.v6 = v6;
  loopback.address = {127, 0, 0, 1};
  if (v6) loopback.address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  loopback.port = target.port;
  return loopback;
}

Result<void> inject(const image::UdpSocket& udp, const InjectorOf& injector_of) {
  for (const image::Datagram& datagram : udp.queue()) {
    if (datagram.data().size() > kLargestDatagram)
      return fail(Code::kBadImage, "size of a UDP datagram");
    sys::InetEndpoint sender = TRY(sys::parse_endpoint(datagram.sender()));
    int injector = TRY(injector_of(sender.v6));
    TRY(sys::inject_datagram(injector, sender, TRY(target_of(datagram, udp)), datagram.data()));
  }
  return {};
}

// See requeue.h. A connected socket takes in again only what its peer has sent.
Result<void> renew_queue_on_thaw(CaptureContext& context, const OpenFile& file,
                                 const image::UdpSocket& udp) {
  auto is_empty = [](const image::Datagram& datagram) { return datagram.data().empty(); };
  if (std::ranges::none_of(udp.queue(), is_empty)) return {};
  for (const image::Datagram& datagram : udp.queue()) {
    if (!udp.remote().empty() && datagram.sender() != udp.remote()) return {};
    TRY(group_packet_injector(context, TRY(sys::parse_endpoint(datagram.sender())).v6));
  }
  auto injector_of = [&context](bool v6) { return group_packet_injector(context, v6); };
  on_thaw(context, file.fd, [injector_of, udp](int fd) {
    auto drained = drain_queue(fd, udp.queue_size());
    log_if_failed(drained ? inject(udp, injector_of) : drained, "queue of a UDP socket");
  });
  return {};
}

Result<void> capture_udp(CaptureContext& context, const OpenFile& file, image::UdpSocket& out) {
  TRY(capture_common(file, *out.mutable_common()));
  auto corked = sys::get_int_option(file.fd, IPPROTO_UDP, UDP_CORK);
  if (corked && *corked != 0) return fail(Code::kUnsupported, "UDP socket is corked (UDP_CORK)");
  out.set_family(static_cast<uint32_t>(TRY(sys::get_int_option(file.fd, SOL_SOCKET, SO_DOMAIN))));
  out.set_local(TRY(sys::local_address(file.fd)));
  out.set_remote(TRY(sys::remote_address(file.fd)));
  TRY(capture_queue(file.fd, out));
  return renew_queue_on_thaw(context, file, out);
}

Result<void> fill_queue(ApplyContext& context, const image::UdpSocket& udp, int fd) {
  size_t bytes = 0;
  for (const image::Datagram& datagram : udp.queue()) bytes += datagram.data().size();
  if (!udp.queue().empty()) TRY(sys::enlarge_receive_buffer(fd, bytes));
  return inject(udp, [&](bool v6) { return group_packet_injector(context, v6); });
}

Result<Fd> create_udp(ApplyContext& context, const image::File& file) {
  const image::UdpSocket& udp = file.udp();
  sys::InetEndpoint local = TRY(sys::parse_endpoint(udp.local()));
  Fd fd = TRY(open_inet_socket(context, file));
  TRY(apply_options(fd.get(), udp.common(), sys::OptionPhase::kBeforeBind));
  TRY(apply_options(fd.get(), udp.common(), sys::OptionPhase::kLast));
  if (local.port != 0) TRY(sys::bind_address(fd.get(), udp.local()));
  TRY(apply_identity(fd.get(), file, udp.common()));
  return fd;
}

class UdpSocketKind final : public FileKind {
 public:
  std::string_view name() const override { return "UDP socket"; }

  bool recognises(const OpenFile& file) const override {
    if (!S_ISSOCK(file.status.st_mode)) return false;
    auto type = socket_type(file.fd);
    return type && (type->family == AF_INET || type->family == AF_INET6) &&
           type->type == SOCK_DGRAM && type->protocol == IPPROTO_UDP;
  }

  Result<void> capture(CaptureContext& context, const OpenFile& file,
                       image::File& out) const override {
    return capture_udp(context, file, *out.mutable_udp());
  }

  bool owns(const image::File& file) const override { return file.has_udp(); }

  Result<Fd> create(ApplyContext& context, const image::File& file) const override {
    return create_udp(context, file);
  }

  // A connected socket takes nothing from others, though they may have sent something before.
  Result<void> complete(ApplyContext& context, const image::File& file, int fd) const override {
    TRY(fill_queue(context, file.udp(), fd));
    if (!file.udp().remote().empty()) TRY(sys::connect_address(fd, file.udp().remote()));
    return {};
  }

  void go_live(ApplyContext&, const image::File& file, int fd) const override {
    const image::SocketCommon& common = file.udp().common();
    log_if_failed(sys::write_socket_filter(fd, common.filter()), "filter of a UDP socket");
    log_if_failed(apply_options(fd, common, sys::OptionPhase::kLast), "UDP socket");
  }
};

}  // namespace

const FileKind& udp_socket_kind() {
  static const UdpSocketKind kind;
  return kind;
}

}  // namespace martlet::engine
