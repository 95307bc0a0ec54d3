#include "sys/socket_queue.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>
#include <tuple>

#include "sys/socket_options.h"

namespace martlet::sys {
namespace {

constexpr size_t kFirstBufferBytes = 256u << 10;
constexpr size_t kLargestBufferBytes = 1u << 30;
constexpr size_t kControlBytes = 2048;

// Peeks from the start of the queue onward for as long as it lives.
class PeekFromStart {
 public:
  explicit PeekFromStart(int fd) : fd_(fd) {}
  Result<void> begin() {
    original_ = TRY(get_int_option(fd_, SOL_SOCKET, SO_PEEK_OFF));
    return rewind();
  }
  Result<void> rewind() { return set_int_option(fd_, SOL_SOCKET, SO_PEEK_OFF, 0); }
  ~PeekFromStart() {
    if (original_) std::ignore = set_int_option(fd_, SOL_SOCKET, SO_PEEK_OFF, *original_);
  }
  PeekFromStart(const PeekFromStart&) = delete;
  PeekFromStart& operator=(const PeekFromStart&) = delete;

 private:
  int fd_;
  std::optional<int> original_;
};

// The kernel has put duplicates of the descriptors into this process.
void close_received(const cmsghdr& header) {
  size_t count = (header.cmsg_len - CMSG_LEN(0)) / sizeof(int);
  for (size_t i = 0; i < count; ++i) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(&header) + i * sizeof fd, sizeof fd);
    ::close(fd);
  }
}

void read_control(msghdr& message, QueuedMessage& out) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    const auto* bytes = reinterpret_cast<const char*>(CMSG_DATA(header));
    size_t size = header->cmsg_len - CMSG_LEN(0);
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
      close_received(*header);
      out.has_descriptors = true;
    }
    if ((header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_ORIGDSTADDR) ||
        (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_ORIGDSTADDR))
      out.destination.assign(bytes, size);
  }
}

struct Peeked {
  bool nothing = false;    // the queue ends here
  bool truncated = false;  // the buffer was too small
  QueuedMessage message;
};

Result<Peeked> peek_next(int fd, std::string& buffer) {
  Peeked peeked;
  alignas(cmsghdr) char control[kControlBytes];
  sockaddr_storage sender{};
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_name = &sender;
  message.msg_namelen = sizeof sender;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got = ::recvmsg(fd, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 && errno == EAGAIN) return Peeked{true, false, {}};
  if (got < 0) return fail_errno("peek into a socket's queue");
  read_control(message, peeked.message);
  peeked.truncated = (message.msg_flags & MSG_TRUNC) != 0;
  peeked.message.data.assign(buffer.data(), static_cast<size_t>(got));
  peeked.message.sender.assign(reinterpret_cast<const char*>(&sender), message.msg_namelen);
  return peeked;
}

Result<std::vector<QueuedMessage>> peek(int fd, size_t limit) {
  PeekFromStart offset(fd);
  TRY(offset.begin());
  std::string buffer(kFirstBufferBytes, '\0');
  std::vector<QueuedMessage> messages;
  size_t bytes = 0;
  while (bytes < limit) {
    Peeked next = TRY(peek_next(fd, buffer));
    if (next.truncated && buffer.size() < kLargestBufferBytes) {
      buffer.resize(buffer.size() * 4);
      TRY(offset.rewind());
      messages.clear();
      bytes = 0;
      continue;
    }
    if (next.nothing) break;
    bytes += next.message.data.size();
    messages.push_back(std::move(next.message));
  }
  return messages;
}

}  // namespace

Result<std::vector<QueuedMessage>> peek_messages(int fd) {
  return peek(fd, std::numeric_limits<size_t>::max());
}

Result<std::vector<QueuedMessage>> peek_messages_of(int fd, size_t bytes) {
  return peek(fd, bytes);
}

}  // namespace martlet::sys
