#include "migrate/striped_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace martlet::migrate {

namespace {

constexpr size_t kAheadPerConnection = 4;
// The blocks may go over other connections for any time; read() has the deadline for all.
constexpr std::chrono::milliseconds kIdleTimeout = std::chrono::hours(24);

Result<void> check_header(const BlockHeader& header) {
  if (header.length == 0 || header.length > kMaxBlockBytes || header.zero != 0)
    return fail(Code::kBadImage, "block " + std::to_string(header.number) + " of " +
                                     std::to_string(header.length) + " bytes");
  return {};
}

}  // namespace

StripedReader::StripedReader(std::vector<std::unique_ptr<TlsConnection>> connections,
                             const WaitLimits& limits)
    : timeout_(limits.timeout) {
  for (auto& connection : connections) {
    connection->set_limits({.timeout = kIdleTimeout, .cancellation = limits.cancellation});
    stripes_.push_back({.connection = std::move(connection)});
  }
  for (size_t stripe = 0; stripe < stripes_.size(); ++stripe)
    threads_.emplace_back(
        [this, stripe] { receive_blocks(stripes_[stripe], stripe_name(stripe, stripes_.size())); });
}

StripedReader::~StripedReader() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  room_.notify_all();
  for (Stripe& stripe : stripes_) stripe.connection->shutdown();
}

Result<size_t> StripedReader::read(std::span<std::byte> buffer) {
  if (taken_ == current_.size()) TRY(advance());
  const size_t count = std::min(buffer.size(), current_.size() - taken_);
  std::memcpy(buffer.data(), current_.data() + taken_, count);
  taken_ += count;
  return count;
}

// Waits for the next block.
Result<void> StripedReader::advance() {
  std::unique_lock lock(mutex_);
  if (current_.capacity() > 0) spare_.push_back(std::exchange(current_, {}));
  taken_ = 0;
  Result<Stripe*> found = nullptr;
  const auto settled = [&] {
    if (error_) return true;
    found = find_next();
    return !found || *found != nullptr;
  };
  if (!arrived_.wait_for(lock, timeout_, settled))
    return fail(Code::kTimeout, "nothing came for " + std::to_string(timeout_.count()) +
                                    " ms on the connections for the state");
  if (error_) return std::unexpected(*error_);
  Stripe* const stripe = TRY(std::move(found));
  current_ = std::move(stripe->arrived.front().bytes);
  stripe->arrived.pop_front();
  ++next_number_;
  room_.notify_all();
  return {};
}

// The stripe that has the next block; null: it is still on its way.
Result<StripedReader::Stripe*> StripedReader::find_next() {
  bool all_are_past = true;
  for (Stripe& stripe : stripes_) {
    if (stripe.arrived.empty()) {
      all_are_past = false;
      continue;
    }
    const uint64_t number = stripe.arrived.front().number;
    if (number == next_number_) return &stripe;
    if (number < next_number_)
      return fail(Code::kBadImage, "block " + std::to_string(number) + " of the state came twice");
  }
  if (all_are_past)
    return fail(Code::kBadImage,
                "block " + std::to_string(next_number_) + " of the state is missing");
  return nullptr;
}

void StripedReader::receive_blocks(Stripe& stripe, const std::string& name) {
  while (await_room(stripe)) {
    auto received = receive_block(stripe);
    if (received) continue;
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(received.error()).with_context(name);
    arrived_.notify_one();
    return;
  }
}

Result<void> StripedReader::receive_block(Stripe& stripe) {
  BlockHeader header{};
  TRY(stripe.connection->read_exactly(std::as_writable_bytes(std::span(&header, 1))));
  TRY(check_header(header));
  Block block{.number = header.number, .bytes = take_spare()};
  block.bytes.resize(header.length);
  TRY(stripe.connection->read_exactly(block.bytes));
  const std::lock_guard lock(mutex_);
  if (!stripe.arrived.empty() && stripe.arrived.back().number >= block.number)
    return fail(Code::kBadImage, "block " + std::to_string(block.number) + " is out of order");
  stripe.arrived.push_back(std::move(block));
  arrived_.notify_one();
  return {};
}

// False once the reader has ended.
bool StripedReader::await_room(const Stripe& stripe) {
  std::unique_lock lock(mutex_);
  room_.wait(lock, [&] { return stopped_ || stripe.arrived.size() < kAheadPerConnection; });
  return !stopped_;
}

std::vector<std::byte> StripedReader::take_spare() {
  std::vector<std::byte> bytes;
  const std::lock_guard lock(mutex_);
  if (spare_.empty()) {
    bytes.reserve(kMaxBlockBytes);
    return bytes;
  }
  bytes = std::move(spare_.back());
  spare_.pop_back();
  return bytes;
}

}  // namespace martlet::migrate
