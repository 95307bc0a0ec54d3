#include "migrate/packet_hold.h"

#include <poll.h>

#include "base/log.h"

namespace martlet::migrate {

namespace {

constexpr size_t kMaxHeldBytes = 16u << 20;

void deliver(sys::PacketSocket& link, const std::vector<std::byte>& frame) {
  if (auto sent = link.send(frame); !sent)
    spdlog::debug("a held packet is lost: {}", sent.error().to_string());
}

}  // namespace

Result<std::unique_ptr<PacketHold>> PacketHold::open(NetworkPort port,
                                                     std::unique_ptr<TlsConnection> forward) {
  auto socket = TRY(sys::PacketSocket::open_for_station(port.bridge, port.mac));
  auto stop = TRY(Cancellation::create());
  return std::unique_ptr<PacketHold>(new PacketHold(
      std::move(port), std::move(socket), MessageChannel(std::move(forward)), std::move(stop)));
}

PacketHold::~PacketHold() {
  stop();
}

void PacketHold::stop() {
  stop_.cancel();
  forward_.connection().shutdown();
  if (thread_.joinable()) thread_.join();
}

Result<void> PacketHold::begin() {
  if (thread_.joinable()) return {};
  while (!TRY(socket_.receive()).empty()) continue;  // the container has had these
  thread_ = std::thread([this] { loop(); });
  return {};
}

void PacketHold::loop() {
  const WaitLimits limits{.timeout = std::chrono::hours(1), .cancellation = &stop_};
  while (!stop_.cancelled()) {
    auto frame = socket_.receive();
    if (!frame) return spdlog::warn("held packets: {}", frame.error().to_string());
    if (!frame->empty())
      take(std::move(*frame));
    else
      (void)wait_ready(socket_.fd(), POLLIN, limits);
  }
}

void PacketHold::take(std::vector<std::byte> frame) {
  if (forwarding_) {
    protocol::Message message;
    message.mutable_held_packet()->set_frame(frame.data(), frame.size());
    forwarding_ = forward_.send(message).has_value();
  }
  if (kept_bytes_ + frame.size() > kMaxHeldBytes) return;
  kept_bytes_ += frame.size();
  kept_.push_back(std::move(frame));
}

Result<void> PacketHold::deliver_here() {
  stop();
  auto link = TRY(sys::PacketSocket::open_for_sending(port_.host_interface));
  for (const auto& frame : kept_) deliver(link, frame);
  kept_.clear();
  return {};
}

void PacketInbox::add(std::vector<std::byte> frame) {
  std::lock_guard lock(mutex_);
  if (link_) return deliver(*link_, frame);
  if (waiting_bytes_ + frame.size() > kMaxHeldBytes) return;
  waiting_bytes_ += frame.size();
  waiting_.push_back(std::move(frame));
}

void PacketInbox::open(const std::string& host_interface) {
  auto link = sys::PacketSocket::open_for_sending(host_interface);
  if (!link) return spdlog::warn("held packets are lost: {}", link.error().to_string());
  std::lock_guard lock(mutex_);
  link_ = std::make_unique<sys::PacketSocket>(std::move(*link));
  for (const auto& frame : waiting_) deliver(*link_, frame);
  waiting_.clear();
}

}  // namespace martlet::migrate
