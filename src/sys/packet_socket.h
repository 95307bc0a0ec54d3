// Ethernet frames of one link, as raw bytes.
//
// A frame travels with the kernel's description of its offloads (virtio_net_hdr) in front, because
// a frame of a local sender carries no finished checksum and may be larger than the link's MTU.
// What receive() returns can be given to send() on another link, also on another host.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "sys/net_address.h"

namespace martlet::sys {

class PacketSocket {
 public:
  // For sending on `link` of the calling thread's network namespace.
  static Result<PacketSocket> open_for_sending(const std::string& link);
  // Receives what passes the link for the station `mac`, and what it must answer so that others
  // find it (ARP, neighbour solicitations). The link becomes promiscuous meanwhile.
  static Result<PacketSocket> open_for_station(const std::string& link, const MacAddress& mac);

  // The next frame; empty if there is none right now.
  Result<std::vector<std::byte>> receive();
  Result<void> send(std::span<const std::byte> frame);
  int fd() const { return socket_.get(); }

 private:
  explicit PacketSocket(Fd socket) : socket_(std::move(socket)) {}
  static Result<PacketSocket> open(const std::string& link, int protocol);

  Fd socket_;
};

}  // namespace martlet::sys
