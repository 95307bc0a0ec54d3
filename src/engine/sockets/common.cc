#include "engine/sockets/common.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "base/log.h"
#include "sys/packet_injector.h"
#include "sys/procfs.h"
#include "sys/sock_diag.h"

namespace martlet::engine {
namespace {

constexpr int kStatusFlags = O_NONBLOCK | O_APPEND | O_NOATIME;

Result<Fd> open_socket(SocketType type) {
  Fd fd(::socket(type.family, type.type | SOCK_CLOEXEC, type.protocol));
  if (!fd.valid()) return fail_errno("create a socket");
  return fd;
}

// What `open` makes in one of the group's network namespaces.
Result<Fd> open_in_network(const Networks& networks, uint32_t network,
                           const std::function<Result<Fd>()>& open) {
  Fd fd;
  TRY(networks.run_inside(network, [&]() -> Result<void> {
    fd = TRY(open());
    return {};
  }));
  return fd;
}

std::string inet_socket_key(uint32_t file) {
  return "new socket of file " + std::to_string(file);
}

// The key of a raw socket in the stash of a context.
std::string injector_key(uint32_t network, bool v6) {
  return fmt::format("packet injector v{} of network {}", v6 ? 6 : 4, network);
}

Result<SocketType> inet_type_of(const image::File& file) {
  uint32_t family = file.has_tcp() ? file.tcp().family() : file.udp().family();
  if (family != AF_INET && family != AF_INET6)
    return fail(Code::kBadImage, "address family of an Internet socket");
  if (file.has_tcp()) return SocketType{static_cast<int>(family), SOCK_STREAM, IPPROTO_TCP};
  int protocol = file.udp().lite() ? IPPROTO_UDPLITE : IPPROTO_UDP;
  return SocketType{static_cast<int>(family), SOCK_DGRAM, protocol};
}

void add_options(const std::vector<sys::SocketOption>& options, image::SocketCommon& out) {
  for (const sys::SocketOption& option : options) {
    image::SocketOption& record = *out.add_options();
    record.set_level(option.level);
    record.set_name(option.name);
    record.set_value(option.value);
    record.set_device(option.device);
  }
}

void capture_options(CaptureContext& context, const OpenFile& file, image::SocketCommon& out) {
  const bool connected = sys::is_connected(file.fd);
  const auto [model, made] = context.socket_model({*file.socket, connected}, [&] {
    return CapturedModel{file.id, sys::SocketModel::of(file.fd, *file.socket, connected)};
  });
  if (made) return add_options(model.options.options(), out);
  out.set_options_like(model.file);
  add_options(model.options.differences(file.fd), out);
}

// Null for what is not a socket.
const image::SocketCommon* common_of(const image::File& file) {
  if (file.has_tcp()) return &file.tcp().common();
  if (file.has_udp()) return &file.udp().common();
  if (file.has_unix_socket()) return &file.unix_socket().common();
  if (file.has_raw_socket()) return &file.raw_socket().common();
  if (file.has_netlink()) return &file.netlink().common();
  return file.has_packet_socket() ? &file.packet_socket().common() : nullptr;
}

// What it has by itself comes after what it has like another, and so counts.
Result<std::vector<sys::SocketOption>> all_options(ApplyContext& context,
                                                   const image::SocketCommon& common) {
  std::vector<sys::SocketOption> options;
  auto add = [&](const image::SocketCommon& of) {
    for (const image::SocketOption& option : of.options())
      options.push_back({option.level(), option.name(), option.value(), option.device()});
  };
  if (common.options_like() != 0) {
    auto model = context.files().find(common.options_like());
    const auto* base = model == context.files().end() ? nullptr : common_of(model->second);
    if (base == nullptr || base->options_like() != 0)
      return fail(Code::kBadImage, "a socket with the options of another that has none of its own");
    add(*base);
  }
  add(common);
  return options;
}

}  // namespace

Result<void> capture_common(CaptureContext& context, const OpenFile& file,
                            image::SocketCommon& out) {
  capture_options(context, file, out);
  out.set_filter(TRY(sys::read_socket_filter(file.fd)));
  out.set_uid(file.status.st_uid);
  out.set_gid(file.status.st_gid);
  return {};
}

Result<void> apply_options(ApplyContext& context, int fd, const image::SocketCommon& common,
                           sys::OptionPhase phase) {
  return sys::write_socket_options(fd, TRY(all_options(context, common)), phase);
}

Result<void> apply_identity(int fd, const image::File& file, const image::SocketCommon& common) {
  if (::fcntl(fd, F_SETFL, static_cast<int>(file.flags()) & kStatusFlags) != 0)
    return fail_errno("set the status flags of a socket");
  if (::fchown(fd, common.uid(), common.gid()) != 0) return fail_errno("set a socket's owner");
  return {};
}

bool has_socket(CaptureContext& context, uint32_t inode) {
  return std::ranges::any_of(context.files(), [&](const OpenFile& file) {
    return S_ISSOCK(file.status.st_mode) && file.status.st_ino == inode;
  });
}

void on_thaw(CaptureContext& context, int fd, std::function<void(int fd)> undo) {
  context.on_thaw([fd, undo = std::move(undo)] { undo(fd); });  // the context keeps it open
}

Result<void> refuse_locked_filter(int fd) {
  if (sys::get_int_option(fd, SOL_SOCKET, SO_LOCK_FILTER).value_or(0) == 0) return {};
  return fail(Code::kUnsupported, "the filter of the socket is locked (SO_LOCK_FILTER)");
}

Result<void> drop_arrivals(CaptureContext& context, const OpenFile& file,
                           const image::SocketCommon& common) {
  TRY(refuse_locked_filter(file.fd));
  on_thaw(context, file.fd, [filter = common.filter()](int fd) {
    log_if_failed(sys::write_socket_filter(fd, filter), "let a socket receive again");
  });
  return sys::write_socket_filter(file.fd, sys::drop_everything_filter());
}

Result<int> group_sock_diag(CaptureContext& context, uint32_t network) {
  const std::string key = fmt::format("sock_diag of network {}", network);
  if (context.stashed(key) < 0)
    context.stash(key, TRY(open_in_network(context.networks(), network, sys::open_sock_diag)));
  return context.stashed(key);
}

Result<Fd> open_group_socket(ApplyContext& context, uint32_t network, SocketType type) {
  return open_in_network(context.networks(), network, [&] { return open_socket(type); });
}

Result<Fd> open_inet_socket(ApplyContext& context, const image::File& file) {
  if (auto ready = context.take_stashed(inet_socket_key(file.id()))) return std::move(*ready);
  TRY(context.networks().run_inside(file.network(), [&]() -> Result<void> {
    for (const auto& [id, record] : context.files()) {
      if (id < file.id() || (!record.has_tcp() && !record.has_udp())) continue;
      if (record.network() != file.network()) continue;
      context.stash(inet_socket_key(id), TRY(open_socket(TRY(inet_type_of(record)))));
    }
    return {};
  }));
  auto opened = context.take_stashed(inet_socket_key(file.id()));
  if (!opened) return fail(Code::kBadImage, "socket without a File record");
  return std::move(*opened);
}

Result<int> group_packet_injector(CaptureContext& context, uint32_t network, bool v6) {
  const std::string key = injector_key(network, v6);
  if (context.stashed(key) < 0)
    context.stash(key, TRY(open_in_network(context.networks(), network,
                                           [&] { return sys::open_packet_injector(v6); })));
  return context.stashed(key);
}

Result<int> group_packet_injector(ApplyContext& context, uint32_t network, bool v6) {
  const std::string key = injector_key(network, v6);
  auto injector = context.take_stashed(key);
  if (!injector)
    injector = TRY(open_in_network(context.networks(), network,
                                   [&] { return sys::open_packet_injector(v6); }));
  int fd = injector->get();
  context.stash(key, std::move(*injector));
  return fd;
}

Result<void> refuse_without_loopback(int fd) {
  ifreq question{};
  std::strcpy(question.ifr_name, "lo");
  if (::ioctl(fd, SIOCGIFFLAGS, &question) != 0) return fail_errno("flags of the loopback device");
  if ((question.ifr_flags & IFF_UP) != 0) return {};
  return fail(Code::kUnsupported,
              "has received what cannot be put back while the loopback device of its network is "
              "down");
}

void log_if_failed(const Result<void>& result, const char* what) {
  if (!result) spdlog::warn("{}: {}", what, result.error().to_string());
}

void let_receive(ApplyContext& context, int fd, const image::SocketCommon& common,
                 const std::string& kind) {
  log_if_failed(sys::write_socket_filter(fd, common.filter()), ("filter of a " + kind).c_str());
  log_if_failed(apply_options(context, fd, common, sys::OptionPhase::kLast), kind.c_str());
}

Result<bool> lives_further_in(const CaptureContext& context, HostPid process) {
  auto root = TRY(sys::read_status(context.root()));
  return TRY(sys::read_status(process)).ns_tids.size() > root.ns_tids.size();
}

}  // namespace martlet::engine
