#include "engine/memory/lane_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "image/group.pb.h"

namespace martlet::engine {

using image::RecordType;

namespace {

constexpr size_t kMaxSpaces = 1u << 22;  // the kernel's PID_MAX_LIMIT

}  // namespace

LaneReader::LaneReader(std::vector<PageLane> lanes, uint64_t image_id) : image_id_(image_id) {
  lanes_.resize(lanes.size());
  for (size_t i = 0; i < lanes.size(); ++i) {
    lanes_[i].stream = std::move(lanes[i]);
    lanes_[i].number = static_cast<uint32_t>(i + 1);
  }
  for (Lane& lane : lanes_) lane.thread = std::jthread([this, &lane] { run(lane); });
}

LaneReader::~LaneReader() {
  {
    std::scoped_lock lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  for (Lane& lane : lanes_)
    if (lane.stream.interrupt && lane.thread.joinable()) lane.stream.interrupt();
}

void LaneReader::open_space(NsPid process, FillTarget target) {
  {
    std::scoped_lock lock(mutex_);
    spaces_.push_back({static_cast<uint32_t>(process.value), target});
  }
  changed_.notify_all();
}

bool LaneReader::is_through(const Lane& lane) const {
  return lane.at_end || lane.ended.size() >= spaces_.size();
}

Result<void> LaneReader::finish_space() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] {
    return error_ ||
           std::ranges::all_of(lanes_, [&](const Lane& lane) { return is_through(lane); });
  });
  if (error_) return std::unexpected(*error_);
  size_t last = spaces_.size() - 1;
  for (const Lane& lane : lanes_)
    if (lane.ended.size() <= last || lane.ended[last] != spaces_[last].owner)
      return fail(Code::kBadImage, fmt::format("{}: the end of process {} is missing",
                                               lane.stream.name, spaces_[last].owner));
  return {};
}

Result<uint64_t> LaneReader::finish() {
  {
    std::scoped_lock lock(mutex_);
    complete_ = true;
  }
  changed_.notify_all();
  for (Lane& lane : lanes_) lane.thread.join();
  if (error_) return std::unexpected(*error_);
  uint64_t total = 0;
  for (const Lane& lane : lanes_) {
    if (lane.ended.size() != spaces_.size())
      return fail(Code::kBadImage, lane.stream.name + ": more processes than the image has");
    total += lane.bytes;
  }
  return total;
}

void LaneReader::run(Lane& lane) {
  auto outcome = in_context(read_lane(lane), lane.stream.name);
  {
    std::scoped_lock lock(mutex_);
    lane.at_end = true;
    if (!outcome && !error_) error_ = std::move(outcome).error();
  }
  changed_.notify_all();
}

Result<void> LaneReader::read_lane(Lane& lane) {
  TRY(check_beginning(lane, TRY(lane.stream.source->next())));
  for (;;) {
    image::Record record = TRY(lane.stream.source->next());
    switch (record.type) {
      case RecordType::kPages:
      case RecordType::kZeroPages: TRY(fill_in(lane, record)); break;
      case RecordType::kEndOfAddressSpace: TRY(end_space(lane, record)); break;
      case RecordType::kEnd: return {};
      default:
        return fail(Code::kBadImage,
                    fmt::format("unexpected record of type {}", static_cast<int>(record.type)));
    }
  }
}

Result<void> LaneReader::check_beginning(const Lane& lane, const image::Record& record) const {
  if (record.type != RecordType::kPageLane)
    return fail(Code::kBadImage, "does not begin as a stream of pages");
  auto beginning = TRY(image::parse_as<image::PageLane>(record));
  if (beginning.image_id() != image_id_ || beginning.number() != lane.number)
    return fail(Code::kBadImage, "belongs to another image");
  return {};
}

Result<void> LaneReader::fill_in(Lane& lane, const image::Record& record) {
  image::PageRun run = TRY(image::parse_run(record));
  Space space = TRY(await_space(lane));
  if (run.flags != 0 || run.owner != space.owner)
    return fail(Code::kBadImage,
                fmt::format("pages of {} among those of process {}", run.owner, space.owner));
  TRY_IN(fill(space.target, run, record), fmt::format("process {}", space.owner));
  lane.bytes += record.body.size();
  return {};
}

Result<LaneReader::Space> LaneReader::await_space(const Lane& lane) {
  std::unique_lock lock(mutex_);
  size_t index = lane.ended.size();
  changed_.wait(lock, [&] { return index < spaces_.size() || complete_ || stopped_; });
  if (stopped_) return fail(Code::kCancelled, "the restore was given up");
  if (index >= spaces_.size()) return fail(Code::kBadImage, "pages of no process of the image");
  return spaces_[index];
}

Result<void> LaneReader::end_space(Lane& lane, const image::Record& record) {
  image::PageRun owner{};
  if (record.head.size() != sizeof owner || !record.body.empty())
    return fail(Code::kBadImage, "the end of a process's pages is not readable");
  std::ranges::copy(record.head, std::as_writable_bytes(std::span(&owner, 1)).begin());
  if (lane.ended.size() >= kMaxSpaces) return fail(Code::kBadImage, "more processes than can be");
  {
    std::scoped_lock lock(mutex_);
    lane.ended.push_back(owner.owner);
  }
  changed_.notify_all();
  return {};
}

}  // namespace martlet::engine
