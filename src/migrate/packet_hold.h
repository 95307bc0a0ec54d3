// Keeps the packets that arrive for a container while it moves, so that no sender waits for a
// retransmission timer.
//
// The container's link is off the bridge, but its frames still come to this host's bridge.
// PacketHold receives them there on a thread of its own, keeps them for a roll-back, and passes
// them on to the destination. What the buffer cannot take is dropped, as any network may.
#pragma once

#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "migrate/cancellation.h"
#include "migrate/host.h"
#include "migrate/message_channel.h"
#include "sys/packet_socket.h"

namespace martlet::migrate {

class PacketHold {
 public:
  // Listens at once; what arrives before begin() is forgotten. `forward` goes to the destination.
  static Result<std::unique_ptr<PacketHold>> open(NetworkPort port,
                                                  std::unique_ptr<TlsConnection> forward);
  ~PacketHold();
  PacketHold(const PacketHold&) = delete;
  PacketHold& operator=(const PacketHold&) = delete;

  // The container has left the bridge: from here on everything is kept and passed on.
  Result<void> begin();
  // Stops, and gives what was kept to the container here.
  Result<void> deliver_here();

 private:
  PacketHold(NetworkPort port, sys::PacketSocket socket, MessageChannel forward, Cancellation stop)
      : port_(std::move(port)),
        socket_(std::move(socket)),
        forward_(std::move(forward)),
        stop_(std::move(stop)) {}
  void loop();
  void take(std::vector<std::byte> frame);
  void stop();

  NetworkPort port_;
  sys::PacketSocket socket_;
  MessageChannel forward_;
  Cancellation stop_;
  bool forwarding_ = true;  // until the connection fails
  size_t kept_bytes_ = 0;
  std::vector<std::vector<std::byte>> kept_;  // the thread's until it has stopped
  std::thread thread_;
};

// The destination's end: frames wait until the container runs, later ones go straight to it.
// Thread-safe.
class PacketInbox {
 public:
  void add(std::vector<std::byte> frame);
  // The container runs, behind this link.
  void open(const std::string& host_interface);

 private:
  std::mutex mutex_;
  std::vector<std::vector<std::byte>> waiting_;
  size_t waiting_bytes_ = 0;
  std::unique_ptr<sys::PacketSocket> link_;
};

}  // namespace martlet::migrate
