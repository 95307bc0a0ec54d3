#include "engine/memory/lane_writer.h"

#include <atomic>
#include <mutex>
#include <optional>
#include <thread>

#include "image/group.pb.h"

namespace martlet::engine {
namespace {

// Below this a thread costs more than it brings.
constexpr uint64_t kWorthThreads = 4u << 20;

// Pieces that several threads take one after the other.
class SharedWork {
 public:
  SharedWork(const PageReader& reader, std::span<const PagePiece> pieces)
      : reader_(reader), pieces_(pieces) {}

  void run(PageWriter& writer) {
    for (size_t taken; !failed_ && (taken = next_++) < pieces_.size();) {
      auto bytes = writer.put(reader_, pieces_[taken]);
      if (!bytes) return fail_with(std::move(bytes).error());
      bytes_ += *bytes;
    }
  }

  // To be called when every thread has returned from run().
  Result<uint64_t> outcome() {
    if (error_) return std::unexpected(*std::move(error_));
    return bytes_.load();
  }

 private:
  void fail_with(Error error) {
    std::scoped_lock lock(mutex_);
    if (!error_) error_ = std::move(error);
    failed_ = true;
  }

  const PageReader& reader_;
  std::span<const PagePiece> pieces_;
  std::atomic<size_t> next_ = 0;
  std::atomic<uint64_t> bytes_ = 0;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;
  std::optional<Error> error_;  // the first one
};

uint64_t bytes_of(std::span<const PagePiece> pieces) {
  uint64_t total = 0;
  for (const PagePiece& piece : pieces) total += total_size(piece.ranges);
  return total;
}

}  // namespace

LaneWriter::LaneWriter(image::Sink& main, std::span<image::Sink* const> lanes) {
  lanes_.reserve(1 + lanes.size());
  lanes_.emplace_back(main);
  for (image::Sink* lane : lanes) lanes_.emplace_back(*lane);
}

Result<void> LaneWriter::begin(uint64_t image_id) {
  for (size_t i = 1; i < lanes_.size(); ++i) {
    image::PageLane beginning;
    beginning.set_image_id(image_id);
    beginning.set_number(static_cast<uint32_t>(i));
    TRY(image::put_message(lanes_[i].sink, image::RecordType::kPageLane, beginning));
  }
  return {};
}

Result<uint64_t> LaneWriter::put(const PageReader& reader, std::span<const PagePiece> pieces) {
  SharedWork work(reader, pieces);
  std::vector<std::jthread> helpers;
  if (bytes_of(pieces) >= kWorthThreads)
    for (size_t i = 1; i < lanes_.size(); ++i)
      helpers.emplace_back([&work, &lane = lanes_[i]] { work.run(lane.writer); });
  work.run(lanes_.front().writer);
  helpers.clear();  // joins them
  return work.outcome();
}

Result<void> LaneWriter::end_space(NsPid process) {
  image::PageRun owner{static_cast<uint32_t>(process.value), 0, 0, 0};
  for (Lane& lane : lanes_)
    TRY(lane.sink.put(image::RecordType::kEndOfAddressSpace, std::as_bytes(std::span(&owner, 1)),
                      {}));
  return {};
}

Result<void> LaneWriter::end() {
  for (size_t i = 1; i < lanes_.size(); ++i) {
    TRY(lanes_[i].sink.put(image::RecordType::kEnd, {}, {}));
    TRY(lanes_[i].sink.flush());
  }
  return {};
}

}  // namespace martlet::engine
