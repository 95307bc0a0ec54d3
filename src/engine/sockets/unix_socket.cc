#include "engine/sockets/unix_socket.h"

#include <sys/socket.h>

#include "engine/sockets/common.h"
#include "engine/sockets/unix_apply.h"
#include "engine/sockets/unix_capture.h"

namespace martlet::engine {
namespace {

class UnixSocketKind final : public FileKind {
 public:
  std::string_view name() const override { return "Unix socket"; }

  bool recognises(const OpenFile& file) const override {
    const auto& type = file.socket;
    return type && type->family == AF_UNIX;
  }

  Result<void> capture(CaptureContext& context, const OpenFile& file,
                       image::File& out) const override {
    return capture_unix(context, file, *out.mutable_unix_socket());
  }

  bool owns(const image::File& file) const override { return file.has_unix_socket(); }

  Result<Fd> create(ApplyContext& context, const image::File& file) const override {
    LocalUnixCaller caller(context.networks());
    return create_unix(context, file, caller);
  }

  Result<void> complete(ApplyContext& context, const image::File& file, int fd) const override {
    return complete_unix(context, file, fd);
  }

  void go_live(ApplyContext& context, const image::File& file, int fd) const override {
    go_live_unix(context, file.unix_socket(), fd);
  }
};

}  // namespace

const FileKind& unix_socket_kind() {
  static const UnixSocketKind kind;
  return kind;
}

}  // namespace martlet::engine
