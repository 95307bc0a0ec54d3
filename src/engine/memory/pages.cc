#include "engine/memory/pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "engine/memory/layout.h"
#include "sys/target_memory.h"

namespace martlet::engine {
namespace {

// Small enough for the second-level cache, so that a page is still there when it is checksummed,
// encrypted or copied after it was read.
constexpr size_t kChunk = 256u << 10;

// A multiple of the huge page's size.
constexpr uint64_t kPieceBytes = 2u << 20;

Result<void> read_pages(const PageReader& reader, uint32_t protection, uint64_t address,
                        std::span<std::byte> into) {
  if (reader.mode == ReadMode::kPinned && (protection & PROT_READ) != 0)
    return sys::read_memory(reader.pid, TargetAddr(address), into);
  return reader.memory.read(TargetAddr(address), into);
}

// Whether a page that is not in the image would read as something else than zeros.
bool zeros_must_travel(const image::Mapping& mapping) {
  return mapping.kind() != image::MAPPING_ANONYMOUS;
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

void add_pieces(const image::Mapping& mapping, const Ranges& pages,
                std::vector<PagePiece>& pieces) {
  for (sys::Range range : pages) {
    while (range.start < range.end) {
      uint64_t boundary = range.start / kPieceBytes * kPieceBytes + kPieceBytes;
      sys::Range part{range.start, std::min(range.end, boundary)};
      pieces.push_back({&mapping, part});
      range.start = part.end;
    }
  }
}

PageWriter::PageWriter(image::Sink& sink) : sink_(sink), buffer_(kChunk) {}

Result<uint64_t> PageWriter::put(const PageReader& reader, const PagePiece& piece) {
  auto zeros = zeros_must_travel(*piece.mapping) ? Zeros::kPut : Zeros::kLeaveOut;
  return put_ranges(reader, piece.mapping->protection(), zeros, {piece.range});
}

Result<uint64_t> PageWriter::put_ranges(const PageReader& reader, uint32_t protection, Zeros zeros,
                                        const Ranges& ranges) {
  uint64_t total = 0;
  for (const sys::Range& range : ranges)
    for (uint64_t start = range.start; start < range.end; start += buffer_.size())
      total += TRY(put_readable(reader, protection, zeros,
                                {start, std::min<uint64_t>(range.end, start + buffer_.size())}));
  return total;
}

// A chunk that cannot be read as a whole is read page by page.
Result<uint64_t> PageWriter::put_readable(const PageReader& reader, uint32_t protection,
                                          Zeros zeros, sys::Range range) {
  auto part = std::span(buffer_).first(range.size());
  auto read = read_pages(reader, protection, range.start, part);
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
