#include "engine/memory/rebuild.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/prctl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "engine/batch.h"
#include "engine/memory/layout.h"
#include "engine/memory/pages.h"
#include "engine/memory/split_mappings.h"
#include "engine/memory/vdso.h"
#include "sys/procfs.h"
#include "sys/target_memory.h"

namespace martlet::engine {
namespace {

constexpr uint64_t kUserSpaceEnd = 0x7ffffffff000;
// Above the arena, for a vDSO that has to step aside.
constexpr uint64_t kScratchSize = 64u << 10;

std::string where(const image::Mapping& mapping) {
  return fmt::format("mapping {:x}-{:x} {}", mapping.start(), mapping.end(), mapping.file().path());
}

bool is_vdso_part(const image::Mapping& mapping) {
  return mapping.kind() == image::MAPPING_VDSO || mapping.kind() == image::MAPPING_VVAR;
}

// What a task has mapped for which `space` was built, as far as it matters here.
std::vector<sys::Vma> mapped_by(const image::AddressSpace& space) {
  std::vector<sys::Vma> vmas;
  for (const image::Mapping& mapping : space.mappings()) {
    sys::Vma& vma = vmas.emplace_back();
    vma.start = mapping.start();
    vma.end = mapping.end();
    vma.protection = mapping.protection();
    if (mapping.kind() == image::MAPPING_VDSO) vma.path = "[vdso]";
    if (mapping.kind() == image::MAPPING_VVAR) vma.path = "[vvar]";
  }
  return vmas;
}

Result<void> check_layout(const image::AddressSpace& space, sys::Range reserved) {
  uint64_t previous_end = 0;
  for (const image::Mapping& mapping : space.mappings()) {
    bool sound = mapping.start() % kPageSize == 0 && mapping.end() % kPageSize == 0 &&
                 mapping.start() < mapping.end() && mapping.end() <= kUserSpaceEnd &&
                 mapping.start() >= previous_end;
    if (!sound) return fail(Code::kBadImage, where(mapping) + " is not possible");
    if (overlap({mapping.start(), mapping.end()}, reserved))
      return fail(Code::kUnsupported, where(mapping) + " lies where Martlet has to work");
    previous_end = mapping.end();
  }
  return {};
}

// The ring of an AIO context takes the place of such memory when the context is made; what a
// process has mapped of its parent's ring becomes memory of its own.
bool is_mapped_without_file(const image::Mapping& mapping) {
  return mapping.kind() == image::MAPPING_ANONYMOUS || mapping.kind() == image::MAPPING_AIO_RING;
}

int mmap_flags(const image::Mapping& mapping) {
  bool shared = mapping.kind() == image::MAPPING_SHARED_FILE ||
                mapping.kind() == image::MAPPING_SHARED_MEMORY;
  int flags = MAP_FIXED | (shared ? MAP_SHARED : MAP_PRIVATE);
  if (is_mapped_without_file(mapping)) flags |= MAP_ANONYMOUS;
  if (mapping.kind() == image::MAPPING_ANONYMOUS && mapping.huge_page_bits() != 0)
    flags |= MAP_HUGETLB | static_cast<int>(mapping.huge_page_bits() << MAP_HUGE_SHIFT);
  if (mapping.grows_down()) flags |= MAP_GROWSDOWN;
  if (mapping.no_reserve()) flags |= MAP_NORESERVE;
  return flags;
}

int64_t mtime_ns(const struct stat& status) {
  return status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec;
}

bool same_file(const image::FileIdentity& wanted, const struct stat& found) {
  return wanted.size() == static_cast<uint64_t>(found.st_size) &&
         wanted.mtime_ns() == mtime_ns(found);
}

prctl_mm_map kernel_map(const image::MemoryMap& map) {
  prctl_mm_map kernel{};
  kernel.start_code = map.start_code();
  kernel.end_code = map.end_code();
  kernel.start_data = map.start_data();
  kernel.end_data = map.end_data();
  kernel.start_brk = map.start_brk();
  kernel.brk = map.brk();
  kernel.start_stack = map.start_stack();
  kernel.arg_start = map.arg_start();
  kernel.arg_end = map.arg_end();
  kernel.env_start = map.env_start();
  kernel.env_end = map.env_end();
  return kernel;
}

}  // namespace

struct SpaceBuilder::Plan {
  std::vector<sys::Vma> current;                // what the task has mapped now
  std::vector<std::optional<sys::Range>> kept;  // per mapping: the part that stays
  std::vector<sys::Range> runs;                 // per mapping: see runs_of()
  std::vector<sys::Range> inherited;
  bool switches_huge_pages = false;

  // Whether a run that stays has to grow to its end.
  bool grows() const {
    size_t first = 0;
    for (size_t i = 0; i < runs.size(); ++i) {
      if (i == 0 || runs[i].start != runs[i - 1].start) first = i;
      bool ends = i + 1 == runs.size() || runs[i + 1].start != runs[i].start;
      if (ends && kept[first] && (!kept[i] || kept[i]->end < runs[i].end)) return true;
    }
    return false;
  }
  // Whether anything that stays is not as it shall be.
  bool reshapes(const image::AddressSpace& space) const {
    for (size_t i = 0; i < kept.size(); ++i)
      if (kept[i] && !is_protected(space.mappings(static_cast<int>(i)))) return true;
    return grows();
  }
  bool is_protected(const image::Mapping& mapping) const {
    auto vma = std::ranges::upper_bound(current, mapping.start(), {}, &sys::Vma::end);
    return vma != current.end() && vma->start <= mapping.start() && mapping.end() <= vma->end &&
           vma->protection == mapping.protection();
  }
};

// A task's own mappings from before stay even if none of their pages does: nothing is cheaper than
// to leave them. A fork's stay for the pages.
Result<SpaceBuilder::Plan> SpaceBuilder::plan(Task& task, const image::AddressSpace& space,
                                              Before before) {
  Plan plan;
  for (const auto& range : space.inherited())
    plan.inherited.push_back({range.start(), range.end()});
  plan.switches_huge_pages =
      space.thp_disabled() != (before.space != nullptr && before.space->thp_disabled());
  plan.runs = runs_of(space);
  plan.kept.resize(plan.runs.size());
  bool own = before.space != nullptr && before.lineage == Lineage::kSelf;
  if (before.space != nullptr) {
    auto parts = inheritable_parts(space, *before.space, before.lineage);
    for (size_t i = 0; i < parts.size(); ++i) {
      bool wanted = own || std::ranges::any_of(plan.inherited, [&](sys::Range range) {
                      return overlap(range, plan.runs[i]);
                    });
      if (wanted) plan.kept[i] = parts[i];
    }
  }
  // Where nothing grows it does not matter what the kernel has made one mapping of.
  bool known = own && !plan.grows() && TRY(has_local_vdso(*before.space));
  plan.current = known ? mapped_by(*before.space) : TRY(sys::read_maps(task.host_pid()));
  return plan;
}

Result<void> SpaceBuilder::build(Task& task, const image::AddressSpace& space, Before before) {
  uint64_t arena = task.arena().code().value;
  TRY(check_layout(space, {arena, arena + task.arena().total_size() + kScratchSize}));
  Plan plan = TRY(this->plan(task, space, before));
  TRY(clear(task, plan));
  TRY(place_vdso(task, space, plan));
  TRY(map_all(task, space, plan));
  TRY(discard_uninherited(task, space, plan));
  return plan.reshapes(space) ? unite_split_mappings(task, space) : Result<void>();
}

Result<void> SpaceBuilder::clear(Task& task, const Plan& plan) {
  std::vector<sys::Range> stays;
  for (const auto& kept : plan.kept)
    if (kept) stays.push_back(*kept);
  uint64_t arena = task.arena().code().value;
  stays.push_back({arena, arena + task.arena().total_size()});
  std::ranges::sort(stays, {}, &sys::Range::start);
  std::vector<sys::Range> present;
  for (const sys::Vma& vma : plan.current)
    if (!vdso_part(vma) && vma.start < kUserSpaceEnd) present.push_back({vma.start, vma.end});
  Batch batch(task);
  for (const sys::Range& range : subtract(present, stays))
    TRY(batch.room(1))->call("unmap", SYS_munmap, {range.start, range.size()});
  return batch.finish();
}

// Every part of the vDSO first steps aside into the scratch space and from there to where the image
// has it, so that no part can land on another one's old place.
Result<void> SpaceBuilder::place_vdso(Task& task, const image::AddressSpace& space,
                                      const Plan& plan) {
  std::vector<const image::Mapping*> wanted;
  for (const image::Mapping& mapping : space.mappings())
    if (is_vdso_part(mapping)) wanted.push_back(&mapping);
  std::vector<const sys::Vma*> parts;
  for (const sys::Vma& vma : plan.current)
    if (vdso_part(vma)) parts.push_back(&vma);
  bool same = TRY(has_local_vdso(space)) &&
              std::ranges::equal(
                  wanted, parts, {}, [](auto* m) { return m->end() - m->start(); },
                  [](auto* v) { return v->size(); });
  auto in_place = [](auto* mapping, auto* vma) { return mapping->start() == vma->start; };
  if (same && std::ranges::equal(wanted, parts, in_place)) return {};

  uint64_t aside = task.arena().code().value + task.arena().total_size();
  Batch batch(task);
  auto move = [&](uint64_t from, uint64_t size, uint64_t to) -> Result<void> {
    if (from == to) return {};  // it stepped aside when memory was sent ahead
    TRY(batch.room(1))
        ->call("move vDSO", SYS_mremap, {from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to});
    return {};
  };
  uint64_t local_address = 0;
  uint64_t offset = 0;
  for (const sys::Vma* part : parts) {
    if (offset + part->size() > kScratchSize) return fail(Code::kUnsupported, "vDSO is too large");
    TRY(move(part->start, part->size(), aside + offset));
    if (vdso_part(*part) == image::MAPPING_VDSO) local_address = aside + offset;
    offset += part->size();
  }
  if (same) {
    offset = 0;
    for (size_t i = 0; i < parts.size(); offset += parts[i]->size(), ++i)
      TRY(move(aside + offset, parts[i]->size(), wanted[i]->start()));
    return batch.finish();
  }
  TRY(batch.finish());
  return map_redirected_vdso(task, space, local_address);
}

Result<bool> SpaceBuilder::has_local_vdso(const image::AddressSpace& space) {
  if (local_vdso_.empty()) local_vdso_ = TRY(local_vdso());
  return std::ranges::equal(local_vdso_, std::as_bytes(std::span(space.vdso())));
}

Result<void> SpaceBuilder::map_redirected_vdso(Task& task, const image::AddressSpace& space,
                                               uint64_t local_address) {
  for (const image::Mapping& mapping : space.mappings()) {
    if (mapping.kind() != image::MAPPING_VDSO) continue;
    auto code =
        TRY(redirect_vdso(std::as_bytes(std::span(space.vdso())), local_vdso_, local_address));
    uint64_t size = mapping.end() - mapping.start();
    if (code.size() > size) return fail(Code::kBadImage, "vDSO is larger than its mapping");
    TRY(task.call("map vDSO", SYS_mmap,
                  {mapping.start(), size, PROT_READ | PROT_EXEC,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0}));
    auto memory = TRY(sys::ForcedMemory::open(task.host_pid()));
    TRY(memory.write(TargetAddr(mapping.start()), code));
  }
  return {};
}

Result<int> SpaceBuilder::open_backing(const image::Mapping& mapping) {
  auto flags = mapping.open_flags() & (O_RDWR | O_WRONLY);
  const image::FileIdentity& file = mapping.file();
  std::string key = mapping.object() != 0         ? fmt::format("object {}", mapping.object())
                    : mapping.deleted_file() != 0 ? fmt::format("file {}", mapping.deleted_file())
                                                  : file.path();
  if (file.mount_namespace() != 0) key += fmt::format(" in {}", file.mount_namespace());
  auto known = opened_.find({key, flags});
  if (known != opened_.end()) return known->second.get();
  Fd fd;
  if (mapping.object() != 0) {
    const auto* object = TRY(context_.shared_objects().get(mapping.object()));
    fd = TRY(open_file(fmt::format("/proc/self/fd/{}", object->fd.get()), static_cast<int>(flags)));
  } else if (mapping.deleted_file() != 0) {
    int description = context_.description(mapping.deleted_file());
    if (description < 0) return fail(Code::kBadImage, "mapping of a file that is not in the image");
    fd = TRY(open_file(fmt::format("/proc/self/fd/{}", description), static_cast<int>(flags)));
  } else {
    fd = TRY(context_.mounts().open(file.mount_namespace(), file.path(), static_cast<int>(flags)));
    struct stat status{};
    if (::fstat(fd.get(), &status) != 0) return fail_errno("stat " + file.path());
    if (mapping.kind() == image::MAPPING_PRIVATE_FILE && S_ISREG(status.st_mode) &&
        !same_file(file, status))
      return std::unexpected(
          Error(Code::kNotFound,
                fmt::format("{} differs from the file that was mapped: it has {} bytes of the time "
                            "{} ns and had {} of {}",
                            file.path(), status.st_size, mtime_ns(status), file.size(),
                            file.mtime_ns()))
              .with_remedy("install the same version of the file on this host"));
  }
  return opened_.emplace(std::pair(key, flags), std::move(fd)).first->second.get();
}

Result<void> SpaceBuilder::map_all(Task& task, const image::AddressSpace& space, const Plan& plan) {
  // Which local descriptor each mapping needs, and under which number the task gets it.
  std::vector<int> wanted;
  std::vector<size_t> slot(static_cast<size_t>(space.mappings_size()));
  for (int i = 0; i < space.mappings_size(); ++i) {
    const image::Mapping& mapping = space.mappings(i);
    if (is_vdso_part(mapping) || is_mapped_without_file(mapping) ||
        plan.kept[static_cast<size_t>(i)] || TRY(segment_of(mapping)))
      continue;
    int fd = TRY_IN(open_backing(mapping), where(mapping));
    auto known = std::ranges::find(wanted, fd);
    slot[static_cast<size_t>(i)] = static_cast<size_t>(known - wanted.begin());
    if (known == wanted.end()) wanted.push_back(fd);
  }
  std::vector<int> numbers = TRY(channel_.send(task, wanted));
  Batch batch(task);
  size_t first = 0;  // of the run that the mapping belongs to
  for (int i = 0; i < space.mappings_size(); ++i) {
    const image::Mapping& mapping = space.mappings(i);
    auto index = static_cast<size_t>(i);
    if (plan.runs[index].start == mapping.start()) first = index;
    if (is_vdso_part(mapping)) continue;
    if (auto segment = TRY(segment_of(mapping))) {
      TRY_IN(attach_segment(batch, mapping, *segment), where(mapping));
      continue;
    }
    if (plan.kept[first]) {
      if (first == index) TRY_IN(grow_run(batch, space, plan, first), where(mapping));
      continue;
    }
    int fd = is_mapped_without_file(mapping) ? -1 : numbers[slot[index]];
    TRY_IN(map_one(batch, mapping, fd), where(mapping));
  }
  for (int number : numbers) TRY(batch.room(1))->call("close", SYS_close, {number});
  TRY(advise_huge_pages(batch, space, plan));
  return batch.finish();
}

// Before there are pages: a host may give out huge ones unasked, and what was one page is 2 MiB.
Result<void> SpaceBuilder::advise_huge_pages(Batch& batch, const image::AddressSpace& space,
                                             const Plan& plan) {
  if (plan.switches_huge_pages)
    TRY(batch.room(1))
        ->call("switch huge pages", SYS_prctl,
               {PR_SET_THP_DISABLE, space.thp_disabled() ? 1 : 0, 0, 0, 0});
  for (const image::Mapping& mapping : space.mappings())
    if (auto advice = huge_page_advice(mapping))
      TRY(batch.room(1))
          ->call("advise", SYS_madvise,
                 {mapping.start(), mapping.end() - mapping.start(), *advice});
  return {};
}

// A System V segment is attached, not mapped, so that the kernel counts the attachment.
Result<std::optional<int>> SpaceBuilder::segment_of(const image::Mapping& mapping) const {
  if (mapping.object() == 0) return std::nullopt;
  const auto* object = TRY(context_.shared_objects().get(mapping.object()));
  if (object->message.kind() != image::SHARED_SYSV) return std::nullopt;
  return object->message.sysv_id();
}

Result<void> SpaceBuilder::attach_segment(Batch& batch, const image::Mapping& mapping,
                                          int segment) {
  if (mapping.offset() != 0) return fail(Code::kUnsupported, "a partly unmapped System V segment");
  int flags = (mapping.open_flags() & O_RDWR) == 0 ? SHM_RDONLY : 0;
  if ((mapping.protection() & PROT_EXEC) != 0) flags |= SHM_EXEC;
  Program* program = TRY(batch.room(2));
  program->call("attach segment", SYS_shmat, {segment, mapping.start(), flags});
  program->call("protect", SYS_mprotect,
                {mapping.start(), mapping.end() - mapping.start(), mapping.protection()});
  return {};
}

// Memory that the kernel counts as committed was writable once. Mapped as that it is alike with its
// neighbours, and so can be merged with them whenever its protection becomes theirs again.
Result<void> SpaceBuilder::map_one(Batch& batch, const image::Mapping& mapping, int fd) {
  uint64_t size = mapping.end() - mapping.start();
  uint32_t first = mapping.protection();
  if (mapping.kind() == image::MAPPING_ANONYMOUS && mapping.accounted()) first |= PROT_WRITE;
  Program* program = TRY(batch.room(2));
  program->call(
      mapping.huge_page_bits() == 0 ? "map" : "map huge pages (see vm.nr_hugepages)", SYS_mmap,
      {mapping.start(), size, first, mmap_flags(mapping), fd, fd < 0 ? 0 : mapping.offset()});
  if (first != mapping.protection())
    program->call("protect", SYS_mprotect, {mapping.start(), size, mapping.protection()});
  return {};
}

// The kept part of a run grows to the run's end, so that it stays one mapping for the kernel, and
// each mapping of the run gets its protection. `first` is the run's first mapping.
Result<void> SpaceBuilder::grow_run(Batch& batch, const image::AddressSpace& space,
                                    const Plan& plan, size_t first) {
  const sys::Range& run = plan.runs[first];
  uint64_t kept_end = run.start;
  for (size_t i = first; i < plan.runs.size() && plan.runs[i].start == run.start; ++i)
    if (plan.kept[i]) kept_end = plan.kept[i]->end;
  if (kept_end < run.end) {
    auto last = std::ranges::find_if(plan.current, [&](const sys::Vma& vma) {
      return vma.start < kept_end && kept_end <= vma.end;
    });
    uint64_t start = last == plan.current.end() ? run.start : std::max(last->start, run.start);
    TRY(batch.room(1))
        ->call("grow mapping", SYS_mremap, {start, kept_end - start, run.end - start, 0});
  }
  for (size_t i = first; i < plan.runs.size() && plan.runs[i].start == run.start; ++i) {
    const image::Mapping& mapping = space.mappings(static_cast<int>(i));
    if (mapping.end() <= kept_end && plan.is_protected(mapping)) continue;
    TRY(batch.room(1))
        ->call("protect", SYS_mprotect,
               {mapping.start(), mapping.end() - mapping.start(), mapping.protection()});
  }
  return {};
}

Result<void> SpaceBuilder::discard_uninherited(Task& task, const image::AddressSpace& space,
                                               const Plan& plan) {
  if (std::ranges::none_of(plan.kept, [](const auto& kept) { return kept.has_value(); })) return {};
  auto pagemap = TRY(sys::Pagemap::open(task.host_pid()));
  Batch batch(task);
  for (int i = 0; i < space.mappings_size(); ++i) {
    const auto& kept = plan.kept[static_cast<size_t>(i)];
    if (!kept) continue;
    auto brought_along =
        TRY(pagemap.look(*kept, backing_of(space.mappings(i)), sys::Pagemap::Tracking::kNone));
    for (const sys::Range& range : subtract(brought_along.pages, clip(plan.inherited, *kept)))
      TRY(batch.room(1))->call("discard", SYS_madvise, {range.start, range.size(), MADV_DONTNEED});
  }
  return batch.finish();
}

Result<void> SpaceBuilder::install_guards(Task& task, const std::vector<sys::Range>& guards) {
  constexpr int kGuardInstall = 102;  // MADV_GUARD_INSTALL, Linux 6.13
  Batch batch(task);
  for (const sys::Range& range : guards)
    TRY(batch.room(1))
        ->call("install a guard region", SYS_madvise, {range.start, range.size(), kGuardInstall});
  return batch.finish();
}

Result<void> SpaceBuilder::finish(Task& task, const image::AddressSpace& space) {
  Batch batch(task);
  for (const image::Mapping& mapping : space.mappings()) {
    // The kernel's own has no other advice than it comes with, and is not there beside another
    // vDSO.
    if (mapping.kind() == image::MAPPING_VVAR) continue;
    uint64_t size = mapping.end() - mapping.start();
    for (uint32_t advice : mapping.advice())
      TRY(batch.room(1))->call("advise", SYS_madvise, {mapping.start(), size, advice});
    if (mapping.locked()) TRY(batch.room(1))->call("lock", SYS_mlock, {mapping.start(), size});
    if (mapping.name().empty()) continue;
    Program* program = TRY(batch.room(1, mapping.name().size() + 1));
    program->call("name mapping", SYS_prctl,
                  {PR_SET_VMA, PR_SET_VMA_ANON_NAME, mapping.start(), size,
                   program->put_string(mapping.name())},
                  Program::OnError::kGoOn);
  }
  TRY(batch.finish());
  return set_fields(task, space);
}

Result<void> SpaceBuilder::set_fields(Task& task, const image::AddressSpace& space) {
  const image::FileIdentity& program_file = space.executable();
  Fd executable =
      TRY_IN(context_.mounts().open(program_file.mount_namespace(), program_file.path(), O_RDONLY),
             "executable");
  std::array<int, 1> wanted = {executable.get()};
  std::vector<int> numbers = TRY(channel_.send(task, wanted));
  Program program(task.arena());
  prctl_mm_map map = kernel_map(space.map());
  map.exe_fd = static_cast<uint32_t>(numbers[0]);
  map.auxv_size = static_cast<uint32_t>(space.map().auxv().size());
  map.auxv = reinterpret_cast<decltype(map.auxv)>(
      program.put(std::as_bytes(std::span(space.map().auxv()))).value);
  program.call("set memory map", SYS_prctl,
               {PR_SET_MM, PR_SET_MM_MAP, program.put_value(map), sizeof map, 0});
  program.call("close", SYS_close, {numbers[0]});
  return task.run(program);
}

}  // namespace martlet::engine
