#include "engine/memory/page_population.h"

#include <algorithm>
#include <map>

#include "engine/memory/pages.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

// Shared memory that belongs to the group. Shared mappings of other files travel with the files.
bool is_shared_memory(const sys::Vma& vma) {
  if (!vma.shared || vma.inode == 0) return false;
  const auto begins = [&](std::string_view prefix) { return vma.path.starts_with(prefix); };
  return begins("/memfd:") || begins("/dev/zero") || begins("/SYSV") || begins("/dev/shm/");
}

class PopulationFinder {
 public:
  Result<void> add(HostPid pid) {
    const HostPid living = sys::living_thread(pid);
    auto pagemap = TRY(sys::Pagemap::open(living));
    const auto vmas = TRY(sys::read_maps(living));
    const sys::Pagemap* parent = find_parent(pid);
    for (const sys::Vma& vma : vmas) {
      if (is_shared_memory(vma))
        TRY(add_shared(living, pagemap, vma));
      else if (!vma.shared && vma.path != "[vsyscall]")
        TRY(add_private(living, pagemap, parent, vma));
    }
    found_.processes++;
    found_.threads += TRY(sys::list_threads(pid)).size();
    found_.mappings += vmas.size();
    pagemaps_.emplace(pid, std::move(pagemap));
    return {};
  }

  PagePopulation take() {
    for (const PopulatedRange& populated : found_.ranges)
      found_.pages += populated.range.size() / kPageSize;
    return std::move(found_);
  }

 private:
  const sys::Pagemap* find_parent(HostPid pid) const {
    const auto status = sys::read_status(pid);
    if (!status) return nullptr;
    const auto parent = pagemaps_.find(status->parent);
    return parent == pagemaps_.end() ? nullptr : &parent->second;
  }

  Result<void> add_private(HostPid pid, const sys::Pagemap& pagemap, const sys::Pagemap* parent,
                           const sys::Vma& vma) {
    auto populated =
        TRY(pagemap.anonymous_pages({vma.start, vma.end}, sys::Pagemap::Backing::kFile));
    // A parent that ended shares nothing any more.
    if (parent && !populated.empty())
      if (const auto inherited = inherited_pages(pagemap, *parent, populated))
        populated = subtract(populated, *inherited);
    for (const sys::Range& range : populated) found_.ranges.push_back({pid, range});
    if (vma.inode == 0) return {};
    for (const sys::Range& range : populated) found_.file_ranges.push_back({pid, range});
    found_.file_pages += total_size(populated) / kPageSize;
    return {};
  }

  // The pages of the object that this process has mapped in and no earlier one had.
  Result<void> add_shared(HostPid pid, const sys::Pagemap& pagemap, const sys::Vma& vma) {
    std::vector<bool>& seen = objects_[{vma.device, vma.inode}];
    const uint64_t first = vma.offset / kPageSize;
    const uint64_t count = vma.size() / kPageSize;
    if (first + count > kMaxObjectPages) return {};
    seen.resize(std::max<size_t>(seen.size(), first + count));
    constexpr uint64_t kStep = 16384;  // pages; bounds the copy of the page table
    for (uint64_t page = 0; page < count; page += kStep) {
      const uint64_t end = std::min(count, page + kStep);
      const auto frames =
          TRY(pagemap.frame_numbers({vma.start + page * kPageSize, vma.start + end * kPageSize}));
      for (uint64_t i = 0; i < frames.size(); ++i) {
        if (frames[i] == 0 || seen[first + page + i]) continue;
        seen[first + page + i] = true;
        found_.shared_pages++;
        append(pid, vma.start + (page + i) * kPageSize);
      }
    }
    return {};
  }

  void append(HostPid pid, uint64_t address) {
    if (!found_.ranges.empty()) {
      PopulatedRange& last = found_.ranges.back();
      if (last.pid == pid && last.range.end == address) {
        last.range.end += kPageSize;
        return;
      }
    }
    found_.ranges.push_back({pid, {address, address + kPageSize}});
  }

  static constexpr uint64_t kMaxObjectPages = 1u << 28;  // 1 TiB

  PagePopulation found_;
  std::map<HostPid, sys::Pagemap> pagemaps_;
  std::map<std::pair<uint64_t, uint64_t>, std::vector<bool>> objects_;  // by device and inode
};

bool has_ended(const Error& error) {
  return error.code() == Code::kGone || error.code() == Code::kNotFound;
}

}  // namespace

Result<PagePopulation> find_populated_pages(const std::vector<HostPid>& processes) {
  PopulationFinder finder;
  for (const HostPid pid : processes) {
    auto added = finder.add(pid);
    if (!added && !has_ended(added.error())) return std::unexpected(std::move(added.error()));
  }
  PagePopulation found = finder.take();
  if (found.processes == 0) return fail(Code::kGone, "no process is left");
  return found;
}

}  // namespace martlet::engine
