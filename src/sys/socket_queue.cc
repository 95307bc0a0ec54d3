#include "sys/socket_queue.h"

#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
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
  Result<void> rewind() { return move_to(0); }
  Result<void> move_to(size_t position) {
    return set_int_option(fd_, SOL_SOCKET, SO_PEEK_OFF, static_cast<int>(position));
  }
  ~PeekFromStart() {
    if (original_) std::ignore = set_int_option(fd_, SOL_SOCKET, SO_PEEK_OFF, *original_);
  }
  PeekFromStart(const PeekFromStart&) = delete;
  PeekFromStart& operator=(const PeekFromStart&) = delete;

 private:
  int fd_;
  std::optional<int> original_;
};

constexpr int kScmPidFd = 4;         // newer than the C library's headers
constexpr int kMessageProbe = 0x10;  // MSG_PROBE

// The kernel has put duplicates of the descriptors into this process.
std::vector<Fd> descriptors_in(const cmsghdr& header) {
  std::vector<Fd> descriptors;
  size_t count = (header.cmsg_len - CMSG_LEN(0)) / sizeof(int);
  for (size_t i = 0; i < count; ++i) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(&header) + i * sizeof fd, sizeof fd);
    descriptors.emplace_back(fd);
  }
  return descriptors;
}

void read_segment_size(const char* bytes, size_t size, QueuedMessage& out) {
  int segment = 0;
  if (size != sizeof segment) return;
  std::memcpy(&segment, bytes, size);
  out.segment_bytes = static_cast<size_t>(segment);
}

void read_control(msghdr& message, QueuedMessage& out) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    const auto* bytes = reinterpret_cast<const char*>(CMSG_DATA(header));
    size_t size = header->cmsg_len - CMSG_LEN(0);
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
      out.descriptors = descriptors_in(*header);
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == kScmPidFd)
      descriptors_in(*header);  // made for this call
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS &&
        size == sizeof(ucred))
      std::memcpy(&out.credentials.emplace(), bytes, size);
    if (header->cmsg_level == IPPROTO_UDP && header->cmsg_type == UDP_GRO)
      read_segment_size(bytes, size, out);
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

Result<Peeked> peek_next(int fd, std::span<char> buffer) {
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

// How much of the next `size` bytes of a stream, which begin at `position` and end with
// descriptors, comes before those: the kernel hands out both together.
Result<size_t> size_without_descriptors(int fd, PeekFromStart& offset, size_t position,
                                        std::span<char> buffer) {
  size_t without = 0;
  size_t with = buffer.size();
  while (with - without > 1) {
    // Most begin with the first byte.
    size_t middle = without == 0 && with == buffer.size() ? 1 : (without + with) / 2;
    TRY(offset.move_to(position));
    Peeked part = TRY(peek_next(fd, buffer.first(middle)));
    (part.message.descriptors.empty() ? without : with) = middle;
  }
  return without;
}

Result<std::vector<QueuedMessage>> peek(int fd, size_t limit) {
  PeekFromStart offset(fd);
  TRY(offset.begin());
  bool stream = TRY(get_int_option(fd, SOL_SOCKET, SO_TYPE)) == SOCK_STREAM;
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
    if (stream && !next.message.descriptors.empty()) {
      std::span<char> whole(buffer.data(), next.message.data.size());
      size_t before = TRY(size_without_descriptors(fd, offset, bytes, whole));
      TRY(offset.move_to(bytes + (before > 0 ? before : next.message.data.size())));
      if (before > 0) {
        next.message.data.resize(before);
        next.message.descriptors.clear();
      }
    }
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

Result<QueueMemory> queue_memory(int fd) {
  std::array<uint32_t, SK_MEMINFO_VARS> values{};
  socklen_t size = sizeof values;
  if (::getsockopt(fd, SOL_SOCKET, SO_MEMINFO, values.data(), &size) != 0)
    return fail_errno("memory of a socket's queues");
  return QueueMemory{values[SK_MEMINFO_RMEM_ALLOC], values[SK_MEMINFO_WMEM_ALLOC]};
}

// Nothing is added to the datagram and nothing is sent, because the call only probes; a socket that
// collects none looks at the address, which is impossible.
bool collects_datagram(int fd, int family) {
  sockaddr_in6 nowhere{};
  nowhere.sin6_family = static_cast<sa_family_t>(family);
  if (family == AF_INET6) nowhere.sin6_addr = IN6ADDR_LOOPBACK_INIT;
  return ::sendto(fd, "", 0, kMessageProbe | MSG_MORE | MSG_DONTWAIT | MSG_NOSIGNAL,
                  reinterpret_cast<const sockaddr*>(&nowhere), sizeof nowhere) == 0;
}

}  // namespace martlet::sys
