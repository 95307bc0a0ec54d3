// The destination's half of keeping the packets for a container while it moves.
//
// Three streams of frames come together here: what the source passes on, what arrives at this host
// itself once the container is announced here, and what the container's network stack sends before
// that. Nothing reaches the container before it runs, and then everything in the order in which it
// was sent: what went to the source before what came here. Nothing leaves before the commit.
//
// add() is called by the thread of the source's connection, the rest by one other.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "migrate/detour.h"
#include "migrate/host.h"
#include "sys/packet_socket.h"

namespace martlet::migrate {

class PacketInbox {
 public:
  // The link exists and is not attached to the bridge.
  Result<void> open(NetworkPort port);
  bool is_open() const { return detour_ != nullptr; }

  // From the source. `last`: what is sent from now on comes here, though some may still come there.
  void add(std::vector<sys::Frame> frames, bool last);

  // Before the link is attached: from here on what arrives for the container waits here.
  Result<void> take_over();
  // Afterwards: sends what its network stack wanted to send, and tells everybody where it is.
  Result<void> announce();
  // It runs: it gets what came from the source.
  void deliver();
  // And, when no more is to come from there, what arrived here; then the bridge sends to it itself.
  void settle();

 private:
  void give(const sys::Frame& frame);
  Result<void> drain();

  std::unique_ptr<Detour> detour_;
  NetworkPort port_;
  std::unique_ptr<sys::PacketSocket> link_;  // towards the container, and what comes from there
  std::vector<sys::Frame> sent_;             // by its network stack before it was attached

  std::mutex mutex_;  // of what follows, and of sending to link_
  std::condition_variable changed_;
  bool running_ = false;
  bool last_came_ = false;
  std::vector<sys::Frame> waiting_;
  size_t waiting_bytes_ = 0;
};

}  // namespace martlet::migrate
