#include "sys/pagemap.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
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
constexpr uint64_t kWriteProtect = 1u << 0;  // flag
constexpr uint64_t kIsTracked = 1u << 0;     // categories
constexpr uint64_t kIsWritten = 1u << 1;
constexpr uint64_t kIsFile = 1u << 2;
constexpr uint64_t kIsPresent = 1u << 3;
constexpr uint64_t kIsSwapped = 1u << 4;
constexpr uint64_t kIsZeroFrame = 1u << 5;
constexpr uint64_t kIsGuard = 1u << 8;

constexpr uint64_t kEntryPresent = 1ull << 63;
constexpr uint64_t kEntrySwapped = 1ull << 62;
constexpr uint64_t kEntryFileOrShared = 1ull << 61;
constexpr uint64_t kEntryGuard = 1ull << 58;
constexpr uint64_t kEntrySoftDirty = 1ull << 55;
constexpr uint64_t kEntryFrame = (1ull << 55) - 1;

constexpr uint64_t never_private(Pagemap::Backing backing) {
  return kIsZeroFrame | (backing == Pagemap::Backing::kFile ? kIsFile : 0);
}

bool is_private_page(uint64_t categories, Pagemap::Backing backing) {
  return (categories & (kIsPresent | kIsSwapped)) != 0 &&
         (categories & (never_private(backing) | kIsGuard)) == 0;
}

// A page of a mapping that is not tracked counts as written whatever its entry says. In a mapping
// of a file an entry that is not present may be a mere mark: where a protected page was, which
// MADV_DONTNEED has given back for the file's, the kernel leaves the protection.
bool may_be_written(uint64_t categories, Pagemap::Backing backing) {
  bool is_page = backing == Pagemap::Backing::kNone || (categories & kIsPresent) != 0;
  return !is_page || (categories & kIsTracked) == 0 || (categories & kIsWritten) != 0;
}

// A kernel that does not know the category refuses to scan even nothing for it.
bool knows_guards(int pagemap) {
  ScanArguments arguments{};
  arguments.size = sizeof arguments;
  arguments.category_mask = kIsGuard;
  return ::ioctl(pagemap, kPagemapScan, &arguments) == 0;
}

// Whether the kernel lets a mapping of shared memory have a guard region.
bool shared_memory_has_guards() {
  constexpr int kGuardInstall = 102;  // MADV_GUARD_INSTALL
  void* page = ::mmap(nullptr, kPageSize, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return true;
  bool installed = ::madvise(page, kPageSize, kGuardInstall) == 0;
  ::munmap(page, kPageSize);
  return installed;
}

bool probe_pagemap_scan() {
  const auto pagemap = open_file("/proc/self/pagemap", O_RDONLY);
  ScanArguments nothing{};
  nothing.size = sizeof nothing;
  return pagemap && (::ioctl(pagemap->get(), kPagemapScan, &nothing) >= 0 || errno != ENOTTY);
}

// A kernel that keeps the note shows it for a page that was just written.
bool probe_soft_dirty() {
  const auto pagemap = open_file("/proc/self/pagemap", O_RDONLY);
  volatile char on_stack = 1;
  uint64_t entry = 0;
  const auto page = reinterpret_cast<uintptr_t>(&on_stack) / kPageSize;
  return pagemap &&
         ::pread(pagemap->get(), &entry, sizeof entry, static_cast<off_t>(page * sizeof entry)) ==
             sizeof entry &&
         (entry & kEntrySoftDirty) != 0;
}

}  // namespace

bool has_pagemap_scan() {
  static const bool has = probe_pagemap_scan();
  return has;
}

bool has_soft_dirty() {
  static const bool has = probe_soft_dirty();
  return has;
}

Result<void> clear_soft_dirty(HostPid pid) {
  constexpr std::string_view kSoftDirty = "4";
  Fd file = TRY(open_file(proc_path(pid, "clear_refs"), O_WRONLY));
  if (::write(file.get(), kSoftDirty.data(), kSoftDirty.size()) < 0)
    return fail_errno("clear soft-dirty of process " + to_string(pid));
  return {};
}

void append(std::vector<Range>& ranges, Range next) {
  if (!ranges.empty() && ranges.back().end >= next.start)
    ranges.back().end = std::max(ranges.back().end, next.end);
  else
    ranges.push_back(next);
}

Result<Pagemap> Pagemap::open(HostPid pid, Method method) {
  Fd fd = TRY(open_file(proc_path(pid, "pagemap"), O_RDONLY));
  if (!has_pagemap_scan()) method = Method::kEntries;
  static const bool guards_are_known = knows_guards(fd.get());
  return Pagemap(std::move(fd), method, guards_are_known);
}

// Pages with all of `must_be`, none of `must_not_be`, and any of `one_of` or not all of `or_not`.
struct Pagemap::Filter {
  uint64_t must_be = 0;
  uint64_t must_not_be = kIsZeroFrame;
  uint64_t one_of = kIsPresent | kIsSwapped;
  uint64_t or_not = 0;
  uint64_t flags = 0;
  uint64_t told = 0;  // categories by which the found ranges are told apart

  static Filter private_pages(Backing backing) { return {.must_not_be = never_private(backing)}; }
};

Result<std::vector<Range>> Pagemap::anonymous_pages(Range within, Backing backing) const {
  if (method_ == Method::kEntries) return TRY(read_entries(within)).look.pages;
  return find(within, Filter::private_pages(backing));
}

Result<std::vector<Range>> Pagemap::occupied_pages(Range within) const {
  if (method_ == Method::kEntries) return TRY(read_entries(within)).occupied;
  return find(within, {.must_not_be = 0});
}

Result<std::vector<Range>> Pagemap::take_written(Range within, Backing backing) const {
  if (method_ == Method::kEntries) return TRY(read_entries(within)).look.changed;
  Filter filter = Filter::private_pages(backing);
  filter.must_be = kIsTracked | kIsWritten;
  filter.flags = kWriteProtect;
  return find(within, filter);
}

Result<std::vector<Range>> Pagemap::peek_written(Range within, Backing backing) const {
  if (method_ == Method::kEntries) return TRY(read_entries(within)).look.changed;
  std::vector<Range> written;
  Filter filter = Filter::private_pages(backing);
  filter.told = kIsTracked | kIsWritten;
  TRY(scan(within, filter, [&](Range range, uint64_t categories) {
    if (may_be_written(categories, backing)) append(written, range);
  }));
  return written;
}

Result<Pagemap::Look> Pagemap::look(Range within, Backing backing, Tracking tracking) const {
  if (method_ == Method::kBest) return look_by_exceptions(within, backing, tracking);
  Look seen = TRY(read_entries(within)).look;
  if (tracking == Tracking::kNone) seen.changed.clear();
  return seen;
}

// The kernel passes faster over an entry than it tells it (1 ns and 3). So it is asked for all but
// the usual, which is a page that is there and was not written; what it does not tell is that.
Result<Pagemap::Look> Pagemap::look_by_exceptions(Range within, Backing backing,
                                                  Tracking tracking) const {
  Filter unusual;
  unusual.must_not_be = 0;
  unusual.one_of = never_private(backing);
  unusual.or_not = kIsPresent;
  if (tracking == Tracking::kByWrites) {
    unusual.one_of |= kIsWritten;
    unusual.or_not |= kIsTracked;
  }
  unusual.told = unusual.one_of | unusual.or_not | kIsSwapped;
  if (knows_guards_) unusual.told |= kIsGuard;
  Look seen;
  uint64_t position = within.start;
  TRY(scan(within, unusual, [&](Range range, uint64_t categories) {
    if (position < range.start) append(seen.pages, {position, range.start});
    position = range.end;
    if ((categories & kIsGuard) != 0) append(seen.guards, range);
    if (!is_private_page(categories, backing)) return;
    append(seen.pages, range);
    if (tracking == Tracking::kByWrites && may_be_written(categories, backing))
      append(seen.changed, range);
  }));
  if (position < within.end) append(seen.pages, {position, within.end});
  return seen;
}

Result<std::vector<Range>> Pagemap::untracked_pages(Range within, Backing backing) const {
  if (method_ == Method::kEntries) return std::vector<Range>{};
  Filter filter = Filter::private_pages(backing);
  filter.must_not_be |= kIsTracked;
  return find(within, filter);
}

Result<std::vector<Range>> Pagemap::guards_of_shared(Range within) const {
  static const bool exist = shared_memory_has_guards();
  if (!exist) return std::vector<Range>{};
  if (method_ == Method::kBest && knows_guards_)
    return find(within, {.must_be = kIsGuard, .told = kIsGuard});
  return TRY(read_entries(within)).look.guards;
}

Result<void> Pagemap::scan(Range within, const Filter& filter, const OnRange& on_range) const {
  std::array<PageRegion, 512> regions;
  uint64_t position = within.start;
  while (position < within.end) {
    ScanArguments arguments{};
    arguments.size = sizeof arguments;
    arguments.flags = filter.flags;
    arguments.start = position;
    arguments.end = within.end;
    arguments.vec = reinterpret_cast<uint64_t>(regions.data());
    arguments.vec_len = regions.size();
    uint64_t hidden = knows_guards_ && (filter.told & kIsGuard) == 0 ? kIsGuard : 0;
    arguments.category_inverted = filter.must_not_be | filter.or_not | hidden;
    arguments.category_mask = filter.must_be | filter.must_not_be | hidden;
    arguments.category_anyof_mask = filter.one_of | filter.or_not;
    arguments.return_mask = kIsPresent | kIsSwapped | filter.told;
    int found = ::ioctl(fd_.get(), kPagemapScan, &arguments);
    if (found < 0) return fail_errno("scan page map");
    for (const PageRegion& region : std::span(regions).first(static_cast<size_t>(found)))
      on_range({region.start, region.end}, region.categories);
    position = arguments.walk_end;
  }
  return {};
}

Result<std::vector<Range>> Pagemap::find(Range within, const Filter& filter) const {
  std::vector<Range> ranges;
  TRY(scan(within, filter, [&](Range range, uint64_t) { append(ranges, range); }));
  return ranges;
}

Result<void> Pagemap::entries(Range within, std::span<uint64_t> out) const {
  size_t bytes = out.size_bytes();
  ssize_t got = ::pread(fd_.get(), out.data(), bytes,
                        static_cast<off_t>(within.start / kPageSize * sizeof(uint64_t)));
  if (got != static_cast<ssize_t>(bytes)) return fail_errno("read page map");
  return {};
}

namespace {

// The page of zeros that stands for whatever was only read, if this process may know it.
uint64_t zero_frame() {
  static const uint64_t frame = [] {
    void* page = ::mmap(nullptr, kPageSize, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return uint64_t{0};
    [[maybe_unused]] const char touched = *static_cast<volatile char*>(page);
    const Range at{reinterpret_cast<uint64_t>(page), reinterpret_cast<uint64_t>(page) + kPageSize};
    auto map = Pagemap::open(HostPid(::getpid()));
    auto frames = map ? map->frame_numbers(at) : Result<std::vector<uint64_t>>();
    ::munmap(page, kPageSize);
    return frames && !frames->empty() ? frames->front() : 0;
  }();
  return frame;
}

bool is_zeros(uint64_t entry) {
  const uint64_t frame = zero_frame();
  return frame != 0 && (entry & kEntryPresent) != 0 && (entry & kEntryFrame) == frame;
}

}  // namespace

// Without soft-dirty every page may have been written.
Result<Pagemap::EntryLook> Pagemap::read_entries(Range within) const {
  EntryLook found;
  std::array<uint64_t, 4096> buffer;
  for (uint64_t start = within.start; start < within.end; start += buffer.size() * kPageSize) {
    Range part{start, std::min(within.end, start + buffer.size() * kPageSize)};
    std::span<uint64_t> entry(buffer.data(), part.size() / kPageSize);
    TRY(entries(part, entry));
    for (size_t i = 0; i < entry.size(); ++i) {
      Range page{start + i * kPageSize, start + (i + 1) * kPageSize};
      if ((entry[i] & kEntryGuard) != 0) append(found.look.guards, page);
      bool populated = (entry[i] & (kEntryPresent | kEntrySwapped)) != 0;
      if (!populated || (entry[i] & kEntryGuard) != 0) continue;
      append(found.occupied, page);
      if ((entry[i] & kEntryFileOrShared) != 0 || is_zeros(entry[i])) continue;
      append(found.look.pages, page);
      if (!has_soft_dirty() || (entry[i] & kEntrySoftDirty) != 0) append(found.look.changed, page);
    }
  }
  return found;
}

Result<std::vector<uint64_t>> Pagemap::frame_numbers(Range within) const {
  std::vector<uint64_t> frames(within.size() / kPageSize);
  TRY(entries(within, frames));
  for (uint64_t& entry : frames) entry = (entry & kEntryPresent) != 0 ? entry & kEntryFrame : 0;
  return frames;
}

}  // namespace martlet::sys
