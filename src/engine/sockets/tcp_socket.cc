#include "engine/sockets/tcp_socket.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "engine/sockets/common.h"
#include "engine/sockets/tcp_apply.h"
#include "engine/sockets/tcp_capture.h"

namespace martlet::engine {
namespace {

class TcpSocketKind final : public FileKind {
 public:
  std::string_view name() const override { return "TCP socket"; }

  bool recognises(const OpenFile& file) const override {
    const auto& type = file.socket;
    return type && (type->family == AF_INET || type->family == AF_INET6) &&
           type->type == SOCK_STREAM && type->protocol == IPPROTO_TCP;
  }

  Result<void> capture(CaptureContext& context, const OpenFile& file,
                       image::File& out) const override {
    return capture_tcp(context, file, *out.mutable_tcp());
  }

  // A server has them by the thousand.
  bool is_captured_in_parallel() const override { return true; }

  bool owns(const image::File& file) const override { return file.has_tcp(); }

  Result<Fd> create(ApplyContext& context, const image::File& file) const override {
    return create_tcp(context, file);
  }

  Result<void> complete(ApplyContext&, const image::File& file, int fd) const override {
    return complete_tcp(file.tcp(), fd);
  }

  void let_in(ApplyContext& context, const image::File& file, int fd) const override {
    let_in_tcp(context, file.tcp(), fd);
  }

  void go_live(ApplyContext& context, const image::File& file, int fd) const override {
    go_live_tcp(context, file, fd);
  }
};

}  // namespace

const FileKind& tcp_socket_kind() {
  static const TcpSocketKind kind;
  return kind;
}

}  // namespace martlet::engine
