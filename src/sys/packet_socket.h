// Frames of one link, beside the kernel's own network stack.
//
// Closing one takes some milliseconds, because the kernel waits for all processors.
#pragma once

#include <span>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "sys/ethernet_frame.h"

namespace martlet::sys {

class PacketSocket {
 public:
  // For sending on `link` of the calling thread's network namespace.
  static Result<PacketSocket> open_for_sending(const std::string& link);
  // Also receives what arrives from the link's other end, from now on.
  static Result<PacketSocket> open(const std::string& link);

  // The next frame; empty if there is none right now.
  Result<Frame> receive();
  // Waits while the link takes nothing.
  Result<void> send(std::span<const std::byte> frame);
  int fd() const { return socket_.get(); }

 private:
  explicit PacketSocket(Fd socket) : socket_(std::move(socket)) {}
  static Result<PacketSocket> bind(const std::string& link, int protocol);

  Fd socket_;
};

}  // namespace martlet::sys
