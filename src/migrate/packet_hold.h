// The source's half of keeping the packets that arrive for a container while it moves, so that no
// sender waits for a retransmission timer. docs/migration.md ("Packets") has the order of events.
//
// What comes for the container from begin() on is passed on to the destination by a thread of its
// own, and kept for a roll-back. What the buffers cannot take is dropped, as any network may.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "migrate/cancellation.h"
#include "migrate/detour.h"
#include "migrate/host.h"
#include "migrate/message_channel.h"
#include "sys/packet_socket.h"

namespace martlet::migrate {

class PacketHold {
 public:
  // `forward` goes to the destination.
  static Result<std::unique_ptr<PacketHold>> open(NetworkPort port,
                                                  std::unique_ptr<TlsConnection> forward);
  ~PacketHold();
  PacketHold(const PacketHold&) = delete;
  PacketHold& operator=(const PacketHold&) = delete;

  // While the container still runs: from here on new connections to it wait here. Everything else
  // reaches it, by a thread of this object.
  Result<void> hold_back_connections();
  // The container stands still: from here on what is for it waits here. Its own port must leave the
  // bridge after this, so that every frame has reached either one or the other.
  Result<void> begin();
  // Starts to pass it on.
  void forward();

  // Either the container goes on here, and its port is attached again: it gets everything, in
  // order, and then the bridge sends to it directly. begin() may follow.
  Result<void> deliver_here();
  // Or it runs at the destination:
  void moved() { moved_ = true; }
  // Its remains here are gone. Passes on what still comes until nothing does.
  void finish();

 private:
  PacketHold(NetworkPort port, std::unique_ptr<Detour> detour, MessageChannel forward,
             Cancellation stop)
      : port_(std::move(port)),
        detour_(std::move(detour)),
        forward_(std::move(forward)),
        stop_(std::move(stop)) {}
  Result<sys::PacketSocket*> link();
  void relay();
  void end_relay();
  void loop();
  Result<bool> pass_on();
  bool is_for_container(const sys::Frame& frame);
  void keep(sys::Frame frame);
  Result<void> drain_into(sys::PacketSocket& link);
  void send_kept();
  void send(protocol::Message& message);
  void stop();

  NetworkPort port_;
  std::unique_ptr<Detour> detour_;
  MessageChannel forward_;
  Cancellation stop_;
  std::optional<sys::PacketSocket> link_;  // towards the container, once it is needed
  std::optional<Cancellation> relaying_;
  std::atomic<bool> moved_ = false;
  std::atomic<Nanoseconds> finishing_{};  // when finish() was called; 0: it was not

  // The thread's own while it runs.
  bool begun_ = false;
  bool announced_ = false;  // the destination was heard
  bool said_last_ = false;  // and it knows that it can have everything else directly
  bool forwarding_ = true;  // until the connection fails
  size_t kept_bytes_ = 0;
  std::vector<sys::Frame> kept_;
  std::thread thread_;
};

}  // namespace martlet::migrate
