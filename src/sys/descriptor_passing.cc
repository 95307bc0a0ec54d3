#include "sys/descriptor_passing.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/check.h"

namespace martlet::sys {

Result<void> send_descriptors(const Fd& socket, std::span<const std::byte> payload,
                              std::span<const int> descriptors) {
  CHECK(!payload.empty() && !descriptors.empty() && descriptors.size() <= kMaxPassedDescriptors);
  iovec vector{const_cast<std::byte*>(payload.data()), payload.size()};
  std::vector<std::byte> control(CMSG_SPACE(descriptors.size_bytes()));
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
  std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  ssize_t sent = ::sendmsg(socket.get(), &message, MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(payload.size())) return fail_errno("send descriptors");
  return {};
}

Result<void> receive_descriptor(const Fd& socket, std::span<std::byte> payload, Fd& descriptor) {
  iovec vector{payload.data(), payload.size()};
  std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got = ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC);
  if (got < 0 && errno != ECONNRESET) return fail_errno("receive descriptor");
  if (got <= 0) return fail(Code::kPeerLost, "the other process has closed its socket");
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    int number = -1;
    std::memcpy(&number, CMSG_DATA(header), sizeof number);
    descriptor.reset(number);
  }
  auto rest = payload.subspan(static_cast<size_t>(got));
  if (TRY(read_full(socket.get(), rest)) != rest.size())
    return fail(Code::kPeerLost, "the other process has closed its socket");
  return {};
}

}  // namespace martlet::sys
