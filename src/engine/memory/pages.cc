#include "engine/memory/pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "sys/target_memory.h"

namespace martlet::engine {
namespace {

// Small enough for the second-level cache, so that a page is still there when it is checksummed,
// encrypted or copied after it was read.
constexpr size_t kChunk = 256u << 10;

// A multiple of the huge page's size.
constexpr uint64_t kPieceBytes = 2u << 20;

Result<void> read_pages(const PageReader& reader, uint32_t protection,
                        std::span<const sys::Range> ranges, std::span<std::byte> into) {
  if (reader.mode == ReadMode::kPinned && (protection & PROT_READ) != 0)
    return sys::read_memory(reader.pid, ranges, into);
  for (const sys::Range& range : ranges) {
    TRY(reader.memory.read(TargetAddr(range.start), into.first(range.size())));
    into = into.subspan(range.size());
  }
  return {};
}

}  // namespace

bool is_zero(std::span<const std::byte> bytes) {
  return bytes[0] == std::byte{0} &&
         std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

Result<Ranges> inherited_pages(const sys::Pagemap& child, const sys::Pagemap& parent,
                               const Ranges& own_pages) {
  Ranges inherited;
  constexpr uint64_t kStep = 64u << 20;  // bounds the page table copies held in memory
  for (const sys::Range& populated : own_pages) {
    for (uint64_t start = populated.start; start < populated.end; start += kStep) {
      sys::Range step{start, std::min(populated.end, start + kStep)};
      auto own = TRY(child.frame_numbers(step));
      auto other = TRY(parent.frame_numbers(step));
      for (size_t i = 0; i < own.size(); ++i) {
        if (own[i] == 0 || own[i] != other[i]) continue;
        uint64_t page = step.start + i * kPageSize;
        append(inherited, {page, page + kPageSize});
      }
    }
  }
  return inherited;
}

// In a new mapping of anonymous memory a page that is not in the image reads as zeros.
Zeros zeros_of(const image::Mapping& mapping) {
  return mapping.kind() == image::MAPPING_ANONYMOUS ? Zeros::kLeaveOut : Zeros::kPut;
}

void add_pieces(uint32_t protection, Zeros zeros, const Ranges& pages,
                std::vector<PagePiece>& pieces) {
  PagePiece piece{protection, zeros, {}};
  uint64_t bytes = 0;
  for (sys::Range range : pages) {
    while (range.start < range.end) {
      bool new_block = piece.ranges.empty() ||
                       (piece.ranges.back().end - 1) / kPieceBytes != range.start / kPieceBytes;
      if (new_block && bytes >= kPieceBytes) {
        pieces.push_back(std::exchange(piece, {protection, zeros, {}}));
        bytes = 0;
      }
      uint64_t boundary = range.start / kPieceBytes * kPieceBytes + kPieceBytes;
      sys::Range part{range.start, std::min(range.end, boundary)};
      piece.ranges.push_back(part);
      bytes += part.size();
      range.start = part.end;
    }
  }
  if (!piece.ranges.empty()) pieces.push_back(std::move(piece));
}

PageWriter::PageWriter(image::Sink& sink) : sink_(sink), buffer_(kChunk) {}

Result<uint64_t> PageWriter::put(const PageReader& reader, const PagePiece& piece) {
  return put_ranges(reader, piece.protection, piece.zeros, piece.ranges);
}

Result<uint64_t> PageWriter::put_ranges(const PageReader& reader, uint32_t protection, Zeros zeros,
                                        const Ranges& ranges) {
  uint64_t total = 0;
  uint64_t gathered = 0;
  Ranges some;
  for (sys::Range range : ranges) {
    while (range.start < range.end) {
      sys::Range part{range.start,
                      std::min<uint64_t>(range.end, range.start + buffer_.size() - gathered)};
      some.push_back(part);
      gathered += part.size();
      range.start = part.end;
      if (gathered < buffer_.size()) continue;
      total += TRY(put_some(reader, protection, zeros, some));
      some.clear();
      gathered = 0;
    }
  }
  return total + TRY(put_some(reader, protection, zeros, some));
}

Result<uint64_t> PageWriter::put_some(const PageReader& reader, uint32_t protection, Zeros zeros,
                                      std::span<const sys::Range> ranges) {
  uint64_t total = 0;
  const std::span<std::byte> buffer(buffer_);
  size_t done = 0;
  if (read_pages(reader, protection, ranges, buffer)) {
    for (const sys::Range& range : ranges) {
      total += TRY(put_chunk(reader, zeros, range.start, buffer.subspan(done, range.size())));
      done += range.size();
    }
  } else {
    for (const sys::Range& range : ranges)
      total += TRY(put_readable(reader, protection, zeros, range));
  }
  return total;
}

// A chunk that cannot be read as a whole is read page by page.
Result<uint64_t> PageWriter::put_readable(const PageReader& reader, uint32_t protection,
                                          Zeros zeros, sys::Range range) {
  auto part = std::span(buffer_).first(range.size());
  auto read = read_pages(reader, protection, std::span(&range, 1), part);
  if (read) return put_chunk(reader, zeros, range.start, part);
  if (reader.unreadable == nullptr) return std::unexpected(read.error());
  if (range.size() == kPageSize) {
    reader.unreadable->push_back(range);
    return 0;
  }
  uint64_t total = 0;
  for (uint64_t page = range.start; page < range.end; page += kPageSize)
    total += TRY(put_readable(reader, protection, zeros, {page, page + kPageSize}));
  return total;
}

// Splits the chunk into runs of zero and of other pages.
Result<uint64_t> PageWriter::put_chunk(const PageReader& reader, Zeros zeros, uint64_t address,
                                       std::span<const std::byte> pages) {
  uint64_t total = 0;
  auto owner = static_cast<uint32_t>(reader.process.value);
  size_t start = 0;
  while (start < pages.size()) {
    bool zero = is_zero(pages.subspan(start, kPageSize));
    size_t end = start + kPageSize;
    while (end < pages.size() && is_zero(pages.subspan(end, kPageSize)) == zero) end += kPageSize;
    image::PageRun run{owner, 0, address + start, end - start};
    if (!zero) {
      TRY(image::put_pages(sink_, run, pages.subspan(start, end - start)));
      total += end - start;
    } else if (zeros == Zeros::kPut) {
      TRY(image::put_zero_pages(sink_, run));
    }
    start = end;
  }
  return total;
}

}  // namespace martlet::engine
