#include "migrate/packet_inbox.h"

#include "base/log.h"

namespace martlet::migrate {

namespace {

constexpr size_t kMaxHeldBytes = 16u << 20;
// The source hears the announcement within a fraction of a round trip, or not at all.
constexpr std::chrono::milliseconds kLastTimeout{50};

}  // namespace

Result<void> PacketInbox::open(NetworkPort port) {
  port_ = std::move(port);
  link_ = std::make_unique<sys::PacketSocket>(TRY(sys::PacketSocket::open(port_.host_interface)));
  detour_ = TRY(Detour::open(port_, Detour::Side::kDestination));
  return {};
}

void PacketInbox::add(std::vector<sys::Frame> frames, bool last) {
  std::lock_guard lock(mutex_);
  for (sys::Frame& frame : frames) {
    if (running_) {
      give(frame);
    } else if (waiting_bytes_ + frame.size() <= kMaxHeldBytes) {
      waiting_bytes_ += frame.size();
      waiting_.push_back(std::move(frame));
    }
  }
  last_came_ = last_came_ || last;
  changed_.notify_all();
}

void PacketInbox::give(const sys::Frame& frame) {
  if (auto sent = link_->send(frame); !sent)
    spdlog::debug("a held packet is lost: {}", sent.error().to_string());
}

Result<void> PacketInbox::take_over() {
  TRY(detour_->begin(Detour::Flooding::kNone));
  for (;;) {
    sys::Frame frame = TRY(link_->receive());
    if (frame.empty()) return {};
    sent_.push_back(std::move(frame));
  }
}

Result<void> PacketInbox::announce() {
  for (const sys::Frame& frame : sent_) TRY(detour_->send(frame));
  for (const sys::IpAddress& address : port_.addresses)
    TRY(detour_->send(sys::make_announcement(port_.mac, address)));
  return {};
}

void PacketInbox::deliver() {
  std::lock_guard lock(mutex_);
  if (!link_) return;
  running_ = true;
  for (const sys::Frame& frame : waiting_) give(frame);
  waiting_.clear();
}

Result<void> PacketInbox::drain() {
  std::lock_guard lock(mutex_);
  for (;;) {
    sys::Frame frame = TRY(detour_->receive());
    if (frame.empty()) return {};
    give(frame);
  }
}

void PacketInbox::settle() {
  if (!is_open()) return;
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kLastTimeout, [this] { return last_came_; });
  lock.unlock();
  auto settled = [this]() -> Result<void> {
    TRY(drain());
    TRY(detour_->end());
    return drain();
  }();
  if (!settled) spdlog::warn("held packets: {}", settled.error().to_string());
}

}  // namespace martlet::migrate
