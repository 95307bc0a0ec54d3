#include "engine/memory/missing_pages.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/memory/layout.h"
#include "engine/program.h"
#include "sys/pagemap.h"
#include "sys/pidfd.h"

namespace martlet::engine {

Result<sys::Userfaultfd> make_missing_handler(Task& leader) {
  int flags = sys::userfaultfd_flags(sys::UserfaultScope::kAllFaults);
  auto number = TRY(leader.call("create userfaultfd", SYS_userfaultfd, {flags}));
  Fd pidfd = TRY(sys::open_pidfd(leader.host_pid()));
  auto duplicate = sys::duplicate_descriptor(pidfd, static_cast<int>(number));
  TRY(leader.call("close userfaultfd", SYS_close, {number}));
  if (!duplicate) return std::unexpected(duplicate.error());
  return sys::Userfaultfd::for_missing_pages(std::move(*duplicate));
}

// Whole runs: the kernel joins only neighbours that are alike in this, too, and a process that
// changes protections within a run counts on them to be joined.
Result<void> catch_missing_pages(const sys::Userfaultfd& userfaultfd, HostPid pid,
                                 const image::AddressSpace& space, const Ranges& missing) {
  auto runs = runs_of(space);
  for (size_t i = 0; i < runs.size(); ++i) {
    const image::Mapping& mapping = space.mappings(static_cast<int>(i));
    if (mapping.kind() != image::MAPPING_ANONYMOUS || intersect({runs[i]}, missing).empty())
      continue;
    TRY(userfaultfd.catch_missing({mapping.start(), mapping.end()}));
  }
  auto pagemap = TRY(sys::Pagemap::open(pid));
  for (const sys::Range& range : missing)
    if (auto there = TRY(pagemap.occupied_pages(range)); !there.empty())
      return fail(Code::kSystem,
                  fmt::format("page {:x} is there before it has come", there.front().start));
  return {};
}

bool may_be_missing(const image::AddressSpace& space, sys::Range range) {
  return std::ranges::any_of(space.mappings(), [&](const image::Mapping& mapping) {
    return mapping.kind() == image::MAPPING_ANONYMOUS && mapping.huge_page_bits() == 0 &&
           mapping.start() <= range.start && range.end <= mapping.end();
  });
}

}  // namespace martlet::engine
