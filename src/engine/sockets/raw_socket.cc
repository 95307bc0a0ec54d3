#include "engine/sockets/raw_socket.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>

#include "engine/sockets/common.h"
#include "engine/sockets/multicast.h"
#include "sys/socket_address.h"
#include "sys/socket_queue.h"

namespace martlet::engine {
namespace {

bool is_ping(const SocketType& type) {
  return type.type == SOCK_DGRAM &&
         (type.protocol == IPPROTO_ICMP || type.protocol == IPPROTO_ICMPV6);
}

bool is_carried(const SocketType& type) {
  bool internet = type.family == AF_INET || type.family == AF_INET6;
  return internet && (type.type == SOCK_RAW || is_ping(type));
}

// "0100007F:0001", in words of the machine; an IPv6 address has four.
Result<std::string> parse_address(const std::string& text) {
  constexpr size_t kDigits = 8;  // of a word
  size_t colon = text.find(':');
  if (colon != kDigits && colon != 4 * kDigits)
    return fail(Code::kSystem, "address " + text + " in /proc");
  sys::InetEndpoint endpoint;
  endpoint.v6 = colon != kDigits;
  for (size_t word = 0; word < colon / kDigits; ++word) {
    auto value = static_cast<uint32_t>(
        std::strtoul(text.substr(word * kDigits, kDigits).c_str(), nullptr, 16));
    std::memcpy(endpoint.address.data() + word * sizeof value, &value, sizeof value);
  }
  endpoint.port = static_cast<uint16_t>(std::strtoul(text.c_str() + colon + 1, nullptr, 16));
  return sys::to_address(endpoint);
}

// getpeername knows only a peer with a port, which need not be given here. Empty: not connected.
Result<std::string> find_remote(CaptureContext& context, const OpenFile& file) {
  constexpr unsigned kEstablished = 1;
  const SocketType& type = *file.socket;
  std::string table = type.type == SOCK_RAW ? "net/raw" : "net/icmp";
  if (type.family == AF_INET6) table += '6';
  std::istringstream lines(*TRY(context.network_table(file.network, table)));
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    char remote[64] = "";
    unsigned state = 0;
    unsigned long number = 0;
    int fields = std::sscanf(line.c_str(), "%*s %*s %63s %x %*s %*s %*s %*s %*s %lu", remote,
                             &state, &number);
    if (fields != 3 || number != file.status.st_ino) continue;
    return state == kEstablished ? parse_address(remote) : std::string();
  }
  return std::string();  // a ping socket without an identifier is in no table
}

// The kernel does not tell what a socket has collected and not sent, only that it takes memory.
Result<void> refuse_unsent(int fd) {
  if (TRY(sys::queue_memory(fd)).sent == 0) return {};
  return std::unexpected(
      Error(Code::kUnsupported, "raw socket has packets that were not sent yet (MSG_MORE)")
          .with_remedy("try again when it has sent them"));
}

Result<void> capture_raw(CaptureContext& context, const OpenFile& file, image::RawSocket& out) {
  SocketType type = *file.socket;
  TRY(refuse_unsent(file.fd));
  out.set_family(static_cast<uint32_t>(type.family));
  out.set_type(static_cast<uint32_t>(type.type));
  out.set_protocol(static_cast<uint32_t>(type.protocol));
  out.set_local(TRY(sys::local_address(file.fd)));
  out.set_remote(TRY(find_remote(context, file)));
  TRY(capture_common(context, file, *out.mutable_common()));
  return capture_memberships(context, file, *out.mutable_common());
}

Result<SocketType> checked_type(const image::RawSocket& raw) {
  SocketType type{static_cast<int>(raw.family()), static_cast<int>(raw.type()),
                  static_cast<int>(raw.protocol())};
  if (!is_carried(type)) return fail(Code::kBadImage, "raw socket");
  return type;
}

// What a restore sends to itself is not for the socket, so nothing arrives before go_live.
Result<Fd> create_raw(ApplyContext& context, const image::File& file) {
  const image::RawSocket& raw = file.raw_socket();
  SocketType type = TRY(checked_type(raw));
  auto local = TRY(sys::parse_endpoint(raw.local()));
  Fd fd = TRY(open_group_socket(context, file.network(), type));
  TRY(sys::write_socket_filter(fd.get(), sys::drop_everything_filter()));
  TRY(apply_options(context, fd.get(), raw.common(), sys::OptionPhase::kBeforeBind));
  if (!local.is_wildcard() || (is_ping(type) && local.port != 0))
    TRY(sys::bind_address(fd.get(), raw.local()));
  TRY(apply_memberships(fd.get(), raw.common()));
  TRY(apply_identity(fd.get(), file, raw.common()));
  if (!raw.remote().empty()) TRY(sys::connect_address(fd.get(), raw.remote()));
  return fd;
}

class RawSocketKind final : public FileKind {
 public:
  std::string_view name() const override { return "raw socket"; }

  bool recognises(const OpenFile& file) const override {
    const auto& type = file.socket;
    return type && is_carried(*type);
  }

  Result<void> capture(CaptureContext& context, const OpenFile& file,
                       image::File& out) const override {
    return capture_raw(context, file, *out.mutable_raw_socket());
  }

  bool owns(const image::File& file) const override { return file.has_raw_socket(); }

  Result<Fd> create(ApplyContext& context, const image::File& file) const override {
    return create_raw(context, file);
  }

  void go_live(ApplyContext& context, const image::File& file, int fd) const override {
    let_receive(context, fd, file.raw_socket().common(), "raw socket");
  }
};

}  // namespace

const FileKind& raw_socket_kind() {
  static const RawSocketKind kind;
  return kind;
}

}  // namespace martlet::engine
