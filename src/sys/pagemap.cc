#include "sys/pagemap.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "sys/procfs.h"

namespace martlet::sys {
namespace {

// From <linux/fs.h> of Linux 6.7; Debian 12's headers are older.
struct PageRegion {
  uint64_t start;
  uint64_t end;
  uint64_t categories;
};
struct ScanArguments {
  uint64_t size;
  uint64_t flags;
  uint64_t start;
  uint64_t end;
  uint64_t walk_end;
  uint64_t vec;
  uint64_t vec_len;
  uint64_t max_pages;
  uint64_t category_inverted;
  uint64_t category_mask;
  uint64_t category_anyof_mask;
  uint64_t return_mask;
};
static_assert(sizeof(ScanArguments) == 96);
constexpr unsigned long kPagemapScan = _IOWR('f', 16, ScanArguments);
constexpr uint64_t kIsFile = 1u << 2;
constexpr uint64_t kIsPresent = 1u << 3;
constexpr uint64_t kIsSwapped = 1u << 4;
constexpr uint64_t kIsZeroFrame = 1u << 5;

constexpr uint64_t kEntryPresent = 1ull << 63;
constexpr uint64_t kEntrySwapped = 1ull << 62;
constexpr uint64_t kEntryFileOrShared = 1ull << 61;
constexpr uint64_t kEntryFrame = (1ull << 55) - 1;

void append(std::vector<Range>& ranges, Range range) {
  if (!ranges.empty() && ranges.back().end == range.start)
    ranges.back().end = range.end;
  else
    ranges.push_back(range);
}

}  // namespace

Result<Pagemap> Pagemap::open(HostPid pid) {
  return Pagemap(TRY(open_file(proc_path(pid, "pagemap"), O_RDONLY)));
}

Result<std::vector<Range>> Pagemap::anonymous_pages(Range within) const {
  auto ranges = scan(within, kIsFile | kIsZeroFrame);
  if (!ranges && ranges.error().error_number() == ENOTTY) return read_entries(within, true);
  return ranges;
}

Result<std::vector<Range>> Pagemap::present_pages(Range within) const {
  auto ranges = scan(within, 0);
  if (!ranges && ranges.error().error_number() == ENOTTY) return read_entries(within, false);
  return ranges;
}

Result<std::vector<Range>> Pagemap::scan(Range within, uint64_t must_not_be) const {
  std::vector<Range> ranges;
  std::array<PageRegion, 512> regions;
  uint64_t position = within.start;
  while (position < within.end) {
    ScanArguments arguments{};
    arguments.size = sizeof arguments;
    arguments.start = position;
    arguments.end = within.end;
    arguments.vec = reinterpret_cast<uint64_t>(regions.data());
    arguments.vec_len = regions.size();
    arguments.category_inverted = must_not_be;
    arguments.category_mask = must_not_be;
    arguments.category_anyof_mask = kIsPresent | kIsSwapped;
    arguments.return_mask = kIsPresent | kIsSwapped;
    int found = ::ioctl(fd_.get(), kPagemapScan, &arguments);
    if (found < 0) return fail_errno("scan page map");
    for (int i = 0; i < found; ++i)
      append(ranges, {regions[static_cast<size_t>(i)].start, regions[static_cast<size_t>(i)].end});
    position = arguments.walk_end;
  }
  return ranges;
}

Result<void> Pagemap::entries(Range within, std::span<uint64_t> out) const {
  size_t bytes = out.size_bytes();
  ssize_t got = ::pread(fd_.get(), out.data(), bytes,
                        static_cast<off_t>(within.start / kPageSize * sizeof(uint64_t)));
  if (got != static_cast<ssize_t>(bytes)) return fail_errno("read page map");
  return {};
}

Result<std::vector<Range>> Pagemap::read_entries(Range within, bool anonymous_only) const {
  std::vector<Range> ranges;
  std::array<uint64_t, 4096> buffer;
  for (uint64_t start = within.start; start < within.end; start += buffer.size() * kPageSize) {
    Range part{start, std::min(within.end, start + buffer.size() * kPageSize)};
    std::span<uint64_t> entry(buffer.data(), part.size() / kPageSize);
    TRY(entries(part, entry));
    for (size_t i = 0; i < entry.size(); ++i) {
      bool populated = (entry[i] & (kEntryPresent | kEntrySwapped)) != 0;
      if (!populated || (anonymous_only && (entry[i] & kEntryFileOrShared) != 0)) continue;
      append(ranges, {start + i * kPageSize, start + (i + 1) * kPageSize});
    }
  }
  return ranges;
}

Result<std::vector<uint64_t>> Pagemap::frame_numbers(Range within) const {
  std::vector<uint64_t> frames(within.size() / kPageSize);
  TRY(entries(within, frames));
  for (uint64_t& entry : frames) entry = (entry & kEntryPresent) != 0 ? entry & kEntryFrame : 0;
  return frames;
}

}  // namespace martlet::sys
