#include "migrate/content_diff.h"

#include <unistd.h>

#include <algorithm>
#include <memory>

#include "base/parallel.h"
#include "engine/memory/pages.h"

namespace martlet::migrate {

namespace {

constexpr size_t kReadBytes = 256u << 10;
constexpr uint64_t kWindowBytes = 4u << 20;  // one thread's turn

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
    TRY(look_ahead());
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

  // On all processors: which blocks are what they were. What follows need not read those again; of
  // the others it takes the bytes and the sum together, since the file may be written meanwhile.
  Result<void> look_ahead() {
    same_.assign(known_.size(), 0);
    if (known_.size() * block_bytes_ < 2 * kWindowBytes) return {};
    const uint64_t window = std::max<uint64_t>(block_bytes_, kWindowBytes);
    const uint64_t end = std::min<uint64_t>(size_, known_.size() * block_bytes_);
    return for_each_in_parallel((end + window - 1) / window, [&](size_t i) {
      return look_at({i * window, std::min(end, (i + 1) * window)});
    });
  }

  Result<void> look_at(Extent window) {
    auto buffer = std::make_unique_for_overwrite<std::byte[]>(buffer_bytes_);
    for (uint64_t offset = window.start; offset < window.end;) {
      Extent data = TRY(next_data(file_, offset, window.end));
      if (data.start == data.end) return {};
      offset = data.start / block_bytes_ * block_bytes_;
      while (offset < data.end) {
        size_t wanted = std::min<uint64_t>(buffer_bytes_, window.end - offset);
        auto bytes = TRY(read_at(offset, {buffer.get(), wanted}));
        for (size_t at = 0; at < bytes.size(); at += block_bytes_) {
          size_t number = (offset + at) / block_bytes_;
          same_[number] = known_[number] == sum_of(block_at(bytes, at)) ? 1 : 0;
        }
        if (bytes.size() < wanted) return {};  // it was made shorter
        offset += bytes.size();
      }
    }
    return {};
  }

  // How much from `offset` on is, or is not, known to be the same, up to `end`.
  uint64_t run_length(uint64_t offset, uint64_t end, bool same) const {
    uint64_t at = offset;
    for (size_t i = offset / block_bytes_; at < end; ++i, at += block_bytes_)
      if ((i < same_.size() && same_[i] != 0) != same) break;
    return std::min(at, end) - offset;
  }

  // One run of blocks, at most a bufferful if it must be read; returns its bytes.
  Result<size_t> compare(uint64_t offset, const Extent& data) {
    uint64_t blocks_end = (data.end + block_bytes_ - 1) / block_bytes_ * block_bytes_;
    uint64_t end = std::min(blocks_end, size_);
    if (uint64_t same = run_length(offset, end, true); same > 0) {
      auto first = known_.begin() + static_cast<ptrdiff_t>(sums_.size());
      auto blocks = static_cast<ptrdiff_t>((same + block_bytes_ - 1) / block_bytes_);
      sums_.insert(sums_.end(), first, first + blocks);
      return same;
    }
    size_t wanted = std::min<uint64_t>(buffer_bytes_, run_length(offset, end, false));
    auto bytes = TRY(read_at(offset, {buffer_.get(), wanted}));
    for (size_t at = 0; at < bytes.size(); at += block_bytes_) {
      auto block = block_at(bytes, at);
      BlockSum sum = sum_of(block);
      bool changed = differs(sum);
      sums_.push_back(sum);
      if (changed) TRY(tell(offset + at, block, data));
    }
    return bytes.size() < wanted ? 0 : bytes.size();
  }

  // The last one may be short.
  std::span<const std::byte> block_at(std::span<const std::byte> bytes, size_t at) const {
    return bytes.subspan(at, std::min<size_t>(block_bytes_, bytes.size() - at));
  }

  Result<std::span<const std::byte>> read_at(uint64_t offset, std::span<std::byte> into) const {
    ssize_t got = ::pread(file_.get(), into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0) return fail_errno("read");
    return into.first(static_cast<size_t>(got));
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
  std::vector<uint8_t> same_;  // blocks that need not be read again; not bits: threads write it
  std::vector<BlockSum> sums_;
};

}  // namespace

Result<std::vector<BlockSum>> diff_content(const Fd& file, uint64_t size, uint32_t block_bytes,
                                           std::span<const BlockSum> known, const DiffSink& sink) {
  return Diff(file, size, block_bytes, known, sink).run();
}

}  // namespace martlet::migrate
