#include "sys/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace martlet::sys {

namespace {

constexpr const char* kDevice = "/dev/net/tun";
constexpr int kQueueFrames = 16384;  // that wait to be received; more are dropped

Result<ifreq> request_for(const std::string& link) {
  ifreq request{};
  if (link.empty() || link.size() >= sizeof request.ifr_name)
    return fail(Code::kInvalidArgument, "'" + link + "' cannot be the name of a link");
  std::memcpy(request.ifr_name, link.data(), link.size());
  return request;
}

Result<void> set_queue_length(const std::string& link) {
  ifreq request = TRY(request_for(link));
  request.ifr_qlen = kQueueFrames;
  const Fd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (::ioctl(any.get(), SIOCSIFTXQLEN, &request) != 0)
    return fail_errno("queue of network link " + link);
  return {};
}

}  // namespace

Result<Tap> Tap::create(const std::string& link) {
  Fd device = TRY(open_file(kDevice, O_RDWR | O_NONBLOCK));
  ifreq request = TRY(request_for(link));
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL);
  if (::ioctl(device.get(), TUNSETIFF, &request) != 0)
    return fail_errno("creation of network link " + link);
  TRY(set_queue_length(link));
  return Tap(std::move(device), link);
}

Result<Frame> Tap::receive() {
  std::array<std::byte, kMaxFrameBytes> buffer;
  const ssize_t got = ::read(device_.get(), buffer.data(), buffer.size());
  if (got < 0 && errno != EAGAIN && errno != EINTR)
    return fail_errno("receive a frame of network link " + link_);
  return Frame(buffer.begin(), buffer.begin() + (got > 0 ? got : 0));
}

Result<void> Tap::send(std::span<const std::byte> frame) {
  if (!is_frame(frame)) return fail(Code::kInvalidArgument, "a frame of impossible length");
  if (::write(device_.get(), frame.data(), frame.size()) < 0)
    return fail_errno("send a frame from network link " + link_);
  return {};
}

}  // namespace martlet::sys
