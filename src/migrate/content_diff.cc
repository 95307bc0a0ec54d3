#include "migrate/content_diff.h"

#include <unistd.h>

#include <algorithm>
#include <memory>

#include "engine/memory/pages.h"

namespace martlet::migrate {

namespace {

constexpr size_t kReadBytes = 256u << 10;

class Diff {
 public:
  Diff(const Fd& file, uint64_t size, uint32_t block_bytes, std::span<const BlockSum> known,
       const DiffSink& sink)
      : file_(file),
        size_(size),
        block_bytes_(block_bytes),
        known_(known),
        sink_(sink),
        zeros_(sum_of_zeros(block_bytes)),
        buffer_bytes_(std::max<size_t>(block_bytes, kReadBytes)),
        buffer_(std::make_unique_for_overwrite<std::byte[]>(buffer_bytes_)) {}

  Result<std::vector<BlockSum>> run() {
    sums_.reserve((size_ + block_bytes_ - 1) / block_bytes_);
    for (uint64_t offset = 0; offset < size_;) {
      Extent data = TRY(next_data(file_, offset, size_));
      uint64_t start = data.start == data.end ? size_ : data.start / block_bytes_ * block_bytes_;
      if (start > offset) TRY(skip_hole(offset, start));
      offset = start;
      while (offset < data.end) {
        size_t got = TRY(compare(offset, data));
        if (got == 0) return std::move(sums_);  // it was made shorter
        offset += got;
      }
    }
    return std::move(sums_);
  }

 private:
  bool differs(const BlockSum& sum) const {
    return sums_.size() >= known_.size() || known_[sums_.size()] != sum;
  }

  Result<void> skip_hole(uint64_t start, uint64_t end) {
    bool changed = false;
    for (uint64_t offset = start; offset < end; offset += block_bytes_) {
      uint64_t length = std::min<uint64_t>(block_bytes_, end - offset);
      BlockSum sum = length == block_bytes_ ? zeros_ : sum_of_zeros(length);
      changed |= differs(sum);
      sums_.push_back(sum);
    }
    if (!changed) return {};
    return sink_.hole(start, end - start);
  }

  // One bufferful; returns its bytes.
  Result<size_t> compare(uint64_t offset, const Extent& data) {
    uint64_t blocks_end = (data.end + block_bytes_ - 1) / block_bytes_ * block_bytes_;
    size_t wanted = std::min<uint64_t>(buffer_bytes_, std::min(blocks_end, size_) - offset);
    ssize_t got = ::pread(file_.get(), buffer_.get(), wanted, static_cast<off_t>(offset));
    if (got < 0) return fail_errno("read");
    std::span<const std::byte> bytes(buffer_.get(), static_cast<size_t>(got));
    for (size_t at = 0; at < bytes.size(); at += block_bytes_) {
      auto block = bytes.subspan(at, std::min<size_t>(block_bytes_, bytes.size() - at));
      BlockSum sum = sum_of(block);
      bool changed = differs(sum);
      sums_.push_back(sum);
      if (changed) TRY(tell(offset + at, block, data));
    }
    return static_cast<size_t>(got) < wanted ? 0 : bytes.size();
  }

  Result<void> tell(uint64_t offset, std::span<const std::byte> block, const Extent& data) {
    uint64_t end = offset + block.size();
    if (offset >= data.start && end <= data.end) return sink_.data(offset, block);
    for (uint64_t at = offset; at < end;) {
      Extent part = TRY(next_data(file_, at, end));
      TRY(tell_hole(at, block.subspan(at - offset, part.start - at)));
      if (part.end > part.start)
        TRY(sink_.data(part.start, block.subspan(part.start - offset, part.end - part.start)));
      at = part.end;
    }
    return {};
  }

  // The hole may be younger than the bytes.
  Result<void> tell_hole(uint64_t offset, std::span<const std::byte> bytes) {
    if (bytes.empty()) return {};
    return engine::is_zero(bytes) ? sink_.hole(offset, bytes.size()) : sink_.data(offset, bytes);
  }

  const Fd& file_;
  const uint64_t size_;
  const uint32_t block_bytes_;
  const std::span<const BlockSum> known_;
  const DiffSink& sink_;
  const BlockSum zeros_;
  const size_t buffer_bytes_;
  std::unique_ptr<std::byte[]> buffer_;
  std::vector<BlockSum> sums_;
};

}  // namespace

Result<std::vector<BlockSum>> diff_content(const Fd& file, uint64_t size, uint32_t block_bytes,
                                           std::span<const BlockSum> known, const DiffSink& sink) {
  return Diff(file, size, block_bytes, known, sink).run();
}

}  // namespace martlet::migrate
