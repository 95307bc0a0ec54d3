#include "migrate/packet_hold.h"

#include <poll.h>

#include "base/clock.h"
#include "base/log.h"

namespace martlet::migrate {

namespace {

constexpr size_t kMaxHeldBytes = 16u << 20;
constexpr size_t kBatchBytes = 256u << 10;
constexpr std::chrono::milliseconds kWake{5};

// After the container has left, frames still come here until every switch has learnt the new place.
// When the destination was heard here, the switches between have learnt it.
constexpr Nanoseconds kQuiet = std::chrono::milliseconds(30);
constexpr Nanoseconds kQuietUnheard = std::chrono::milliseconds(500);
constexpr Nanoseconds kLongest = std::chrono::seconds(2);

}  // namespace

Result<std::unique_ptr<PacketHold>> PacketHold::open(NetworkPort port,
                                                     std::unique_ptr<TlsConnection> forward) {
  auto detour = TRY(Detour::open(port, Detour::Side::kSource));
  auto stop = TRY(Cancellation::create());
  return std::unique_ptr<PacketHold>(new PacketHold(
      std::move(port), std::move(detour), MessageChannel(std::move(forward)), std::move(stop)));
}

PacketHold::~PacketHold() {
  end_relay();
  stop();
}

void PacketHold::stop() {
  stop_.cancel();
  forward_.connection().shutdown();
  if (thread_.joinable()) thread_.join();
}

Result<void> PacketHold::hold_back_connections() {
  if (relaying_) return {};
  TRY(link());
  relaying_.emplace(TRY(Cancellation::create()));
  begun_ = true;
  TRY(detour_->begin(Detour::Flooding::kNone));
  thread_ = std::thread([this] { relay(); });
  return {};
}

void PacketHold::relay() {
  while (!relaying_->cancelled()) {
    auto frame = detour_->receive();
    if (!frame) return spdlog::warn("packets: {}", frame.error().to_string());
    if (frame->empty())
      (void)wait_ready(detour_->fd(), POLLIN, {.timeout = kWake, .cancellation = &*relaying_});
    else if (sys::is_connection_request(*frame))
      keep(std::move(*frame));
    else
      (void)link_->send(*frame);
  }
}

void PacketHold::end_relay() {
  if (!relaying_) return;
  relaying_->cancel();
  thread_.join();
  relaying_.reset();
}

Result<sys::PacketSocket*> PacketHold::link() {
  if (!link_) link_.emplace(TRY(sys::PacketSocket::open_for_sending(port_.host_interface)));
  return &*link_;
}

Result<void> PacketHold::begin() {
  end_relay();
  begun_ = true;
  return detour_->begin(Detour::Flooding::kGroups);
}

void PacketHold::forward() {
  thread_ = std::thread([this] { loop(); });
}

void PacketHold::send(protocol::Message& message) {
  if (forwarding_) forwarding_ = forward_.send(message).has_value();
}

void PacketHold::send_kept() {
  if (kept_.empty()) return;
  protocol::Message message;
  for (const sys::Frame& frame : kept_)
    message.mutable_held_frames()->add_frames(frame.data(), frame.size());
  send(message);
}

void PacketHold::loop() {
  send_kept();  // the connections that were held back
  SystemClock clock;
  Stopwatch quiet(clock);
  while (!stop_.cancelled()) {
    const Nanoseconds finishing = finishing_;  // before looking: what came earlier is found
    auto came = pass_on();
    if (!came) return spdlog::warn("held packets: {}", came.error().to_string());
    if (*came) quiet.restart();
    if (finishing.count() != 0) {
      bool silent = quiet.elapsed() >= (announced_ ? kQuiet : kQuietUnheard);
      if (silent || clock.now() - finishing >= kLongest) return;
    }
    if (!*came) (void)wait_ready(detour_->fd(), POLLIN, {.timeout = kWake, .cancellation = &stop_});
  }
}

// Whether anything was there for the container.
Result<bool> PacketHold::pass_on() {
  protocol::Message message;
  protocol::HeldFrames& held = *message.mutable_held_frames();
  for (size_t bytes = 0; bytes < kBatchBytes;) {
    sys::Frame frame = TRY(detour_->receive());
    if (frame.empty()) break;
    if (!is_for_container(frame)) continue;
    bytes += frame.size();
    held.add_frames(frame.data(), frame.size());
    keep(std::move(frame));
  }
  bool came = held.frames_size() > 0;
  if (!said_last_ && (announced_ || (moved_ && !came))) {
    said_last_ = true;
    held.set_last(true);
  }
  if (came || held.last()) send(message);
  return came;
}

// What it sends itself comes from the destination: it has been announced there. Frames to groups
// reach it there directly from then on.
bool PacketHold::is_for_container(const sys::Frame& frame) {
  if (!sys::is_frame(frame)) return false;
  if (sys::source_of(frame) == port_.mac) {
    announced_ = true;
    return false;
  }
  return !sys::is_to_group(frame) || (!announced_ && !moved_);
}

void PacketHold::keep(sys::Frame frame) {
  if (moved_ || kept_bytes_ + frame.size() > kMaxHeldBytes) return;
  kept_bytes_ += frame.size();
  kept_.push_back(std::move(frame));
}

Result<void> PacketHold::deliver_here() {
  end_relay();
  if (thread_.joinable()) stop();
  if (!std::exchange(begun_, false)) return {};
  sys::PacketSocket* container = TRY(link());
  for (const sys::Frame& frame : kept_) TRY(container->send(frame));
  kept_.clear();
  kept_bytes_ = 0;
  TRY(drain_into(*container));
  TRY(detour_->end());
  return drain_into(*container);
}

Result<void> PacketHold::drain_into(sys::PacketSocket& link) {
  for (;;) {
    sys::Frame frame = TRY(detour_->receive());
    if (frame.empty()) return {};
    TRY(link.send(frame));
  }
}

void PacketHold::finish() {
  finishing_ = SystemClock().now();
  if (thread_.joinable()) thread_.join();
  if (auto released = detour_->release(); !released)
    spdlog::warn("held packets: {}", released.error().to_string());
  for (auto more = pass_on(); more && *more;) more = pass_on();  // of a peer that never pauses
  detour_.reset();
}

}  // namespace martlet::migrate
