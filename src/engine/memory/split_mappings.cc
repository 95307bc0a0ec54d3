#include "engine/memory/split_mappings.h"

#include <sys/mman.h>

#include <algorithm>
#include <vector>

#include "engine/memory/layout.h"
#include "sys/pagemap.h"
#include "sys/procfs.h"
#include "sys/target_memory.h"

namespace martlet::engine {
namespace {

constexpr size_t kCopiedAtOnce = 1u << 20;

// Those of the task that the mapping lies in. The first may begin before it.
std::vector<sys::Range> parts_of(const image::Mapping& mapping, const std::vector<sys::Vma>& vmas) {
  std::vector<sys::Range> parts;
  auto vma = std::ranges::upper_bound(vmas, mapping.start(), {}, &sys::Vma::end);
  for (; vma != vmas.end() && vma->start < mapping.end(); ++vma)
    parts.push_back({vma->start, std::min(vma->end, mapping.end())});
  return parts;
}

Result<void> copy_pages(const Task& task, sys::Range from, uint64_t to,
                        sys::Pagemap::Backing backing) {
  auto pagemap = TRY(sys::Pagemap::open(task.host_pid()));
  auto memory = TRY(sys::ForcedMemory::open(task.host_pid()));
  std::vector<std::byte> buffer;
  for (const sys::Range& pages : TRY(pagemap.anonymous_pages(from, backing)))
    for (uint64_t at = pages.start; at < pages.end; at += buffer.size()) {
      buffer.resize(std::min<uint64_t>(kCopiedAtOnce, pages.end - at));
      TRY(memory.read(TargetAddr(at), buffer));
      TRY(memory.write(TargetAddr(to + (at - from.start)), buffer));
    }
  return {};
}

// The second part steps aside, the first grows over its place, and the pages come back.
Result<void> unite(Task& task, sys::Range first, sys::Range second, sys::Pagemap::Backing backing) {
  const uint64_t aside = TRY(
      task.call("reserve memory", SYS_mmap,
                {0, second.size(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0}));
  TRY(task.call(
      "move mapping aside", SYS_mremap,
      {second.start, second.size(), second.size(), MREMAP_MAYMOVE | MREMAP_FIXED, aside}));
  TRY(task.call("grow mapping", SYS_mremap,
                {first.start, first.size(), second.end - first.start, 0}));
  TRY(copy_pages(task, {aside, aside + second.size()}, second.start, backing));
  TRY(task.call("unmap", SYS_munmap, {aside, second.size()}));
  return {};
}

}  // namespace

Result<void> unite_split_mappings(Task& task, const image::AddressSpace& space) {
  auto vmas = TRY(sys::read_maps(task.host_pid()));
  for (const image::Mapping& mapping : space.mappings()) {
    if (!has_private_pages(mapping) || mapping.huge_page_bits() != 0) continue;
    for (auto parts = parts_of(mapping, vmas); parts.size() > 1; parts = parts_of(mapping, vmas)) {
      TRY(unite(task, parts[0], parts[1], backing_of(mapping)));
      vmas = TRY(sys::read_maps(task.host_pid()));
    }
  }
  return {};
}

}  // namespace martlet::engine
