#include "migrate/striped_writer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "migrate/stripe_format.h"

namespace martlet::migrate {

namespace {

// One that is about to be sent, and one more, so that no connection waits for the writer.
constexpr size_t kQueuedPerConnection = 2;

}  // namespace

StripedWriter::StripedWriter(std::vector<std::unique_ptr<TlsConnection>> connections,
                             RateLimiter* limiter)
    : limiter_(limiter),
      connections_(std::move(connections)),
      queue_length_(kQueuedPerConnection * connections_.size()) {
  for (size_t stripe = 0; stripe < connections_.size(); ++stripe)
    threads_.emplace_back([this, stripe] { send_blocks(stripe); });
}

StripedWriter::~StripedWriter() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  queued_.notify_all();
  for (auto& connection : connections_) connection->shutdown();
}

Result<void> StripedWriter::write(std::span<const std::span<const std::byte>> pieces) {
  for (auto piece : pieces) TRY(append(piece));
  return filling_.empty() ? Result<void>{} : put_block();
}

Result<void> StripedWriter::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (filling_.empty()) begin_block();
    const auto part = bytes.first(std::min(bytes.size(), filling_limit_ - filling_.size()));
    filling_.insert(filling_.end(), part.begin(), part.end());
    bytes = bytes.subspan(part.size());
    if (filling_.size() == filling_limit_) TRY(put_block());
  }
  return {};
}

// A limit makes blocks small enough to flow evenly.
void StripedWriter::begin_block() {
  {
    const std::lock_guard lock(mutex_);
    if (!spare_.empty()) {
      filling_ = std::move(spare_.back());
      spare_.pop_back();
    }
  }
  const size_t length = limiter_ ? std::min(kMaxBlockBytes, limiter_->piece()) : kMaxBlockBytes;
  filling_limit_ = sizeof(BlockHeader) + length;
  filling_.reserve(sizeof(BlockHeader) + kMaxBlockBytes);
  filling_.resize(sizeof(BlockHeader));
}

Result<void> StripedWriter::put_block() {
  const BlockHeader header{.number = next_number_++,
                           .length = static_cast<uint32_t>(filling_.size() - sizeof(BlockHeader))};
  std::memcpy(filling_.data(), &header, sizeof header);
  if (limiter_) TRY(limiter_->take(filling_.size(), connections_.front()->limits().cancellation));
  std::unique_lock lock(mutex_);
  TRY(await(lock, [this] { return waiting_.size() < queue_length_; }));
  waiting_.push_back(std::exchange(filling_, {}));
  queued_.notify_one();
  return {};
}

Result<void> StripedWriter::flush() {
  std::unique_lock lock(mutex_);
  return await(lock, [this] { return waiting_.empty() && sending_ == 0; });
}

// No thread uses a connection once all is sent.
Result<void> StripedWriter::drain() {
  TRY(flush());
  for (size_t stripe = 0; stripe < connections_.size(); ++stripe)
    TRY_IN(connections_[stripe]->drain(), stripe_name(stripe, connections_.size()));
  return {};
}

// Each thread waits no longer than its connection's limits say, so one of the two happens.
template <typename Condition>
Result<void> StripedWriter::await(std::unique_lock<std::mutex>& lock, Condition condition) {
  sent_.wait(lock, [&] { return error_ || condition(); });
  if (error_) return std::unexpected(*error_);
  return {};
}

void StripedWriter::send_blocks(size_t stripe) {
  while (auto block = next_block()) {
    auto sent = connections_[stripe]->write(*block);
    if (!sent)
      return fail_with(
          std::move(sent.error()).with_context(stripe_name(stripe, connections_.size())));
    finish_block(std::move(*block));
  }
}

std::optional<StripedWriter::Block> StripedWriter::next_block() {
  std::unique_lock lock(mutex_);
  queued_.wait(lock, [this] { return stopped_ || error_ || !waiting_.empty(); });
  if (stopped_ || error_) return std::nullopt;
  Block block = std::move(waiting_.front());
  waiting_.pop_front();
  ++sending_;
  sent_.notify_one();  // there is room in the queue
  return block;
}

void StripedWriter::finish_block(Block block) {
  block.clear();
  const std::lock_guard lock(mutex_);
  spare_.push_back(std::move(block));
  --sending_;
  sent_.notify_one();
}

void StripedWriter::fail_with(Error error) {
  const std::lock_guard lock(mutex_);
  if (!error_) error_ = std::move(error);
  queued_.notify_all();
  sent_.notify_one();
}

}  // namespace martlet::migrate
