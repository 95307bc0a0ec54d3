#include "migrate/keeper_frame.h"

#include <sys/socket.h>

#include <array>

#include "sys/descriptor_passing.h"

namespace martlet::migrate {
namespace {

Result<void> send_all(const Fd& socket, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    ssize_t sent = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
      return fail(Code::kPeerLost, "the other process has closed its socket");
    if (sent < 0) return fail_errno("send to the other process");
    bytes = bytes.subspan(static_cast<size_t>(sent));
  }
  return {};
}

}  // namespace

Result<void> send_frame(const Fd& socket, const Frame& frame, std::span<const std::byte> bytes,
                        int descriptor) {
  auto head = std::as_bytes(std::span(&frame, 1));
  if (descriptor >= 0) {
    std::array<int, 1> number = {descriptor};
    TRY(sys::send_descriptors(socket, head, number));
  } else {
    TRY(send_all(socket, head));
  }
  return send_all(socket, bytes);
}

Result<Frame> receive_frame(const Fd& socket, Fd& descriptor) {
  Frame frame{};
  TRY(sys::receive_descriptor(socket, std::as_writable_bytes(std::span(&frame, 1)), descriptor));
  if (frame.length > kMaxFrameBytes && frame.kind != FrameKind::kZeroPages)
    return fail(Code::kBadImage, "a frame is too long");
  return frame;
}

Result<void> receive_bytes(const Fd& socket, std::span<std::byte> bytes) {
  if (TRY(read_full(socket.get(), bytes)) == bytes.size()) return {};
  return fail(Code::kPeerLost, "the other process has closed its socket");
}

}  // namespace martlet::migrate
