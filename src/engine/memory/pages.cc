#include "engine/memory/pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "sys/target_memory.h"

namespace martlet::engine {
namespace {

// Small enough for the second-level cache, so that a page is still there when it is checksummed,
// encrypted or copied after it was read.
constexpr size_t kChunk = 256u << 10;

bool is_zero(std::span<const std::byte> page) {
  return page[0] == std::byte{0} && std::memcmp(page.data(), page.data() + 1, page.size() - 1) == 0;
}

Result<void> read_pages(const PageReader& reader, uint32_t protection, uint64_t address,
                        std::span<std::byte> into) {
  if (reader.mode == ReadMode::kPinned && (protection & PROT_READ) != 0)
    return sys::read_memory(reader.pid, TargetAddr(address), into);
  auto memory = TRY(sys::ForcedMemory::open(reader.pid));
  return memory.read(TargetAddr(address), into);
}

// Whether a page that is not in the image would read as something else than zeros.
bool zeros_must_travel(const image::Mapping& mapping) {
  return mapping.kind() != image::MAPPING_ANONYMOUS;
}

}  // namespace

Result<std::vector<sys::Range>> inherited_pages(const sys::Pagemap& child,
                                                const sys::Pagemap& parent, sys::Range part) {
  std::vector<sys::Range> inherited;
  constexpr uint64_t kStep = 64u << 20;  // bounds the page table copies held in memory
  for (const sys::Range& populated : TRY(child.anonymous_pages(part))) {
    for (uint64_t start = populated.start; start < populated.end; start += kStep) {
      sys::Range step{start, std::min(populated.end, start + kStep)};
      auto own = TRY(child.frame_numbers(step));
      auto other = TRY(parent.frame_numbers(step));
      for (size_t i = 0; i < own.size(); ++i) {
        if (own[i] == 0 || own[i] != other[i]) continue;
        uint64_t page = step.start + i * kPageSize;
        if (!inherited.empty() && inherited.back().end == page)
          inherited.back().end += kPageSize;
        else
          inherited.push_back({page, page + kPageSize});
      }
    }
  }
  return inherited;
}

std::vector<sys::Range> subtract(const std::vector<sys::Range>& ranges,
                                 const std::vector<sys::Range>& holes) {
  std::vector<sys::Range> rest;
  auto hole = holes.begin();
  for (sys::Range range : ranges) {
    while (hole != holes.end() && hole->end <= range.start) ++hole;
    for (auto next = hole; next != holes.end() && next->start < range.end; ++next) {
      if (next->start > range.start) rest.push_back({range.start, next->start});
      range.start = std::max(range.start, next->end);
    }
    if (range.start < range.end) rest.push_back(range);
  }
  return rest;
}

PageWriter::PageWriter(image::Sink& sink) : sink_(sink), buffer_(kChunk) {}

Result<uint64_t> PageWriter::put(const PageReader& reader, const image::Mapping& mapping,
                                 const std::vector<sys::Range>& inherited) {
  auto populated = TRY(reader.pagemap.anonymous_pages({mapping.start(), mapping.end()}));
  uint64_t total = 0;
  for (const sys::Range& range : subtract(populated, inherited))
    total += TRY(put_range(reader, mapping, range));
  return total;
}

Result<uint64_t> PageWriter::put_range(const PageReader& reader, const image::Mapping& mapping,
                                       sys::Range range) {
  uint64_t total = 0;
  for (uint64_t address = range.start; address < range.end; address += buffer_.size()) {
    auto part = std::span(buffer_).first(std::min<uint64_t>(buffer_.size(), range.end - address));
    TRY(read_pages(reader, mapping.protection(), address, part));
    total += TRY(put_chunk(reader, mapping, address, part));
  }
  return total;
}

// Splits the chunk into runs of zero and of other pages.
Result<uint64_t> PageWriter::put_chunk(const PageReader& reader, const image::Mapping& mapping,
                                       uint64_t address, std::span<const std::byte> pages) {
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
    } else if (zeros_must_travel(mapping)) {
      TRY(image::put_zero_pages(sink_, run));
    }
    start = end;
  }
  return total;
}

}  // namespace martlet::engine
