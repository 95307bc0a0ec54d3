#include "engine/memory/layout.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "engine/files/file_kind.h"
#include "engine/files/paths.h"
#include "engine/files/unlinked_file.h"
#include "engine/memory/aio_contexts.h"

namespace martlet::engine {
namespace {

// What /proc prints in VmFlags, and the advice that brings it about.
struct AdviceFlag {
  std::string_view flag;
  uint32_t advice;
};
constexpr AdviceFlag kAdviceFlags[] = {
    {"sr", MADV_SEQUENTIAL}, {"rr", MADV_RANDOM},    {"dc", MADV_DONTFORK}, {"dd", MADV_DONTDUMP},
    {"wf", MADV_WIPEONFORK}, {"mg", MADV_MERGEABLE}, {"hg", MADV_HUGEPAGE}, {"nh", MADV_NOHUGEPAGE},
};

std::string where(const sys::Vma& vma) {
  return fmt::format("mapping {:x}-{:x}{}{}", vma.start, vma.end, vma.path.empty() ? "" : " ",
                     vma.path);
}

Result<void> refuse_special(const sys::Vma& vma, bool write_tracking) {
  auto refuse = [&](std::string_view what) {
    return fail(Code::kUnsupported, fmt::format("{}: {} is not supported", where(vma), what));
  };
  if (vma.has_flag("um") || (vma.has_flag("uw") && !write_tracking) || vma.has_flag("ui"))
    return refuse("userfaultfd");
  if (vma.protection_key != 0) return refuse("memory with a protection key");
  if (vma.path.find("io_uring") != std::string::npos) return refuse("io_uring");
  if (vma.path.starts_with("/secretmem")) return refuse("secret memory (memfd_secret)");
  if (vma.path.starts_with("anon_inode:") || vma.path.starts_with("socket:"))
    return refuse("a mapping of a kernel object");
  if (vma.has_flag("io") || vma.has_flag("pf")) return refuse("a device mapping");
  if (vma.path == "[uprobes]") return refuse("a process under uprobes");
  return {};
}

bool is_anonymous_huge(const sys::Vma& vma) {
  return !vma.shared && vma.path.starts_with(kAnonymousHugePages);
}

std::string anonymous_name(const sys::Vma& vma) {
  constexpr std::string_view kPrefix = "[anon:";
  if (!vma.path.starts_with(kPrefix)) return {};
  return vma.path.substr(kPrefix.size(), vma.path.size() - kPrefix.size() - 1);
}

image::Mapping common_fields(const sys::Vma& vma) {
  image::Mapping mapping;
  mapping.set_start(vma.start);
  mapping.set_end(vma.end);
  mapping.set_protection(vma.protection);
  mapping.set_grows_down(vma.has_flag("gd"));
  mapping.set_no_reserve(vma.has_flag("nr"));
  mapping.set_locked(vma.has_flag("lo"));
  mapping.set_accounted(vma.has_flag("ac"));
  for (const AdviceFlag& known : kAdviceFlags)
    if (vma.has_flag(known.flag)) mapping.add_advice(known.advice);
  return mapping;
}

// Nothing takes such advice back.
bool can_be_advised(const image::Mapping& child, const image::Mapping& parent) {
  auto known = huge_page_advice(parent);
  return !known || known == huge_page_advice(child);
}

bool same_backing(const image::Mapping& child, const image::Mapping& parent) {
  if (child.kind() != parent.kind() || child.huge_page_bits() != 0) return false;
  if (child.kind() == image::MAPPING_ANONYMOUS)
    return child.grows_down() == parent.grows_down() && child.no_reserve() == parent.no_reserve() &&
           child.accounted() == parent.accounted();
  // The offsets must put the same page of the same file at the same address.
  return child.file().path() == parent.file().path() &&
         child.file().mount_namespace() == parent.file().mount_namespace() &&
         child.file().size() == parent.file().size() &&
         child.file().mtime_ns() == parent.file().mtime_ns() && child.object() == parent.object() &&
         child.deleted_file() == parent.deleted_file() &&
         child.offset() - child.start() == parent.offset() - parent.start();
}

bool same_run(const image::Mapping& a, const image::Mapping& b) {
  return a.end() == b.start() && a.kind() == image::MAPPING_ANONYMOUS && b.kind() == a.kind() &&
         a.grows_down() == b.grows_down() && a.no_reserve() == b.no_reserve() &&
         a.accounted() == b.accounted() && a.locked() == b.locked() && a.name() == b.name() &&
         std::ranges::equal(a.advice(), b.advice()) && a.huge_page_bits() == 0 &&
         b.huge_page_bits() == 0;
}

bool survives_fork(const image::Mapping& mapping) {
  return std::ranges::none_of(mapping.advice(), [](uint32_t advice) {
    return advice == MADV_DONTFORK || advice == MADV_WIPEONFORK;
  });
}

}  // namespace

void add_huge_page_advice(const sys::Vma& vma, image::Mapping& mapping) {
  if (vma.has_flag("nh")) mapping.add_advice(MADV_NOHUGEPAGE);
  if (vma.has_flag("hg")) mapping.add_advice(MADV_HUGEPAGE);
}

std::optional<uint32_t> huge_page_advice(const image::Mapping& mapping) {
  for (uint32_t advice : mapping.advice())
    if (advice == MADV_NOHUGEPAGE || advice == MADV_HUGEPAGE) return advice;
  return std::nullopt;
}

std::string map_files_link(HostPid pid, const sys::Vma& vma) {
  return sys::proc_path(pid, fmt::format("map_files/{:x}-{:x}", vma.start, vma.end));
}

Result<std::vector<image::Mapping>> LayoutReader::read(HostPid pid,
                                                       const std::vector<sys::Vma>& vmas) {
  std::vector<image::Mapping> mappings;
  mappings.reserve(vmas.size());
  for (const sys::Vma& vma : vmas) {
    auto mapping = translate(pid, vma);
    if (!mapping)
      TRY(context_.judge(std::unexpected(std::move(mapping.error()))));
    else if (*mapping)
      mappings.push_back(std::move(**mapping));
  }
  return mappings;
}

Result<std::optional<image::Mapping>> LayoutReader::translate(HostPid pid, const sys::Vma& vma) {
  if (vma.path == "[vsyscall]") return std::nullopt;
  image::Mapping mapping = common_fields(vma);
  if (auto kind = vdso_part(vma)) {
    mapping.set_kind(*kind);
    return mapping;
  }
  TRY(refuse_special(vma, write_tracking_));
  if (is_aio_ring(vma)) {
    mapping.set_kind(image::MAPPING_AIO_RING);
    return mapping;
  }
  if (vma.inode == 0 && !vma.shared) {
    mapping.set_kind(image::MAPPING_ANONYMOUS);
    mapping.set_name(anonymous_name(vma));
    return mapping;
  }
  if (vma.has_flag("ht")) TRY_IN(translate_huge(pid, vma, mapping), where(vma));
  if (mapping.huge_page_bits() != 0 && !maps_shared_object(vma)) return mapping;
  mapping.set_offset(vma.offset);
  // VM_MAYWRITE of a shared mapping tells that the file was opened for writing.
  mapping.set_open_flags(vma.shared && vma.has_flag("mw") ? O_RDWR : O_RDONLY);
  if (maps_shared_object(vma))
    TRY_IN(translate_object(pid, vma, mapping), where(vma));
  else
    TRY_IN(translate_file(pid, vma, mapping), where(vma));
  return mapping;
}

// Private memory of huge pages has a file behind it too, of which nothing shows but the page size.
Result<void> LayoutReader::translate_huge(HostPid pid, const sys::Vma& vma, image::Mapping& out) {
  if (!is_anonymous_huge(vma) && !maps_shared_object(vma))
    return fail(Code::kUnsupported, "huge pages (hugetlb) of a file");
  out.set_kind(image::MAPPING_ANONYMOUS);
  out.set_huge_page_bits(TRY(huge_page_bits_of(map_files_link(pid, vma))));
  return {};
}

Result<void> LayoutReader::translate_object(HostPid pid, const sys::Vma& vma, image::Mapping& out) {
  out.set_kind(vma.shared ? image::MAPPING_SHARED_MEMORY : image::MAPPING_PRIVATE_SHARED_MEMORY);
  Fd fd = TRY(open_file(map_files_link(pid, vma), O_RDONLY));
  std::string link = TRY(sys::read_link("/proc/self/fd/" + std::to_string(fd.get())));
  out.set_object(TRY(objects_.id_of(std::move(fd), link)));
  return {};
}

Result<void> LayoutReader::translate_file(HostPid pid, const sys::Vma& vma, image::Mapping& out) {
  out.set_kind(vma.shared ? image::MAPPING_SHARED_FILE : image::MAPPING_PRIVATE_FILE);
  std::string link = map_files_link(pid, vma);
  auto key = std::tuple(vma.path, vma.inode, context_.mounts().number_of(link));
  if (auto known = identities_.find(key); known != identities_.end()) {
    *out.mutable_file() = known->second;
    return {};
  }
  struct stat status{};
  if (::stat(link.c_str(), &status) != 0) return fail_errno("stat " + link);
  auto identity = identify(context_, link, vma.path, status);
  if (identity) {
    identities_.emplace(key, *identity);
    *out.mutable_file() = std::move(*identity);
    return {};
  }
  if (identity.error().code() != Code::kNotFound) return std::unexpected(identity.error());
  // It travels as an open file that no task has a descriptor of.
  int flags = vma.shared && vma.has_flag("mw") ? O_RDWR : O_RDONLY;
  out.set_deleted_file(TRY(add_unlinked(context_, pid, link, vma.path, flags)));
  return {};
}

std::optional<image::MappingKind> vdso_part(const sys::Vma& vma) {
  if (vma.path == "[vdso]") return image::MAPPING_VDSO;
  if (vma.path.starts_with("[vvar")) return image::MAPPING_VVAR;  // "[vvar_vclock]", too
  return std::nullopt;
}

Result<std::string> read_vdso(const sys::ForcedMemory& memory, const std::vector<sys::Vma>& vmas) {
  std::string code;
  auto vdso = std::ranges::find(vmas, std::optional(image::MAPPING_VDSO), vdso_part);
  if (vdso == vmas.end()) return code;
  code.resize(vdso->size());
  TRY(memory.read(TargetAddr(vdso->start), std::as_writable_bytes(std::span(code))));
  return code;
}

bool has_private_pages(const image::Mapping& mapping) {
  return mapping.kind() == image::MAPPING_ANONYMOUS ||
         mapping.kind() == image::MAPPING_PRIVATE_FILE ||
         mapping.kind() == image::MAPPING_PRIVATE_SHARED_MEMORY;
}

bool is_shared(const image::Mapping& mapping) {
  return mapping.kind() == image::MAPPING_SHARED_FILE ||
         mapping.kind() == image::MAPPING_SHARED_MEMORY;
}

sys::Pagemap::Backing backing_of(const image::Mapping& mapping) {
  return mapping.kind() == image::MAPPING_ANONYMOUS ? sys::Pagemap::Backing::kNone
                                                    : sys::Pagemap::Backing::kFile;
}

std::vector<sys::Range> runs_of(const image::AddressSpace& space) {
  auto count = static_cast<size_t>(space.mappings_size());
  std::vector<sys::Range> runs(count);
  for (size_t i = 0; i < count; ++i) {
    const image::Mapping& mapping = space.mappings(static_cast<int>(i));
    bool goes_on = i > 0 && same_run(space.mappings(static_cast<int>(i - 1)), mapping);
    runs[i].start = goes_on ? runs[i - 1].start : mapping.start();
  }
  for (size_t i = count; i-- > 0;) {
    bool goes_on = i + 1 < count && runs[i + 1].start == runs[i].start;
    runs[i].end = goes_on ? runs[i + 1].end : space.mappings(static_cast<int>(i)).end();
  }
  return runs;
}

std::vector<std::optional<sys::Range>> inheritable_parts(const image::AddressSpace& after,
                                                         const image::AddressSpace& before,
                                                         Lineage lineage) {
  std::vector<sys::Range> runs = runs_of(after);
  std::vector<sys::Range> runs_before = runs_of(before);
  std::vector<std::optional<sys::Range>> parts(runs.size());
  size_t j = 0;  // the first mapping of `before` that ends behind the run's start
  for (size_t i = 0; i < runs.size(); ++i) {
    const image::Mapping& mapping = after.mappings(static_cast<int>(i));
    auto start = runs[i].start;
    while (j < runs_before.size() && before.mappings(static_cast<int>(j)).end() <= start) ++j;
    if (j == runs_before.size()) break;
    const image::Mapping& candidate = before.mappings(static_cast<int>(j));
    if (candidate.start() > start || !has_private_pages(mapping) ||
        !same_backing(mapping, candidate) || !survives_fork(candidate) ||
        !can_be_advised(mapping, candidate))
      continue;
    auto end = lineage == Lineage::kFork ? candidate.end() : runs_before[j].end;
    sys::Range part{mapping.start(), std::min(mapping.end(), end)};
    if (part.start < part.end) parts[i] = part;
  }
  return parts;
}

Result<image::FileIdentity> identify(const CaptureContext& context, const std::string& link,
                                     const std::string& path, const struct stat& status) {
  const uint32_t mount_namespace = context.mounts().number_of(link);
  Fd found = TRY(context.mounts().open(mount_namespace, path, O_PATH));
  struct stat there{};
  if (::fstat(found.get(), &there) != 0) return fail_errno("stat " + path);
  if (there.st_dev != status.st_dev || there.st_ino != status.st_ino)
    return fail(Code::kNotFound, path + " is another file now");
  image::FileIdentity identity;
  identity.set_path(path);
  identity.set_size(static_cast<uint64_t>(status.st_size));
  identity.set_mtime_ns(status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec);
  identity.set_mode(status.st_mode);
  identity.set_rdev(status.st_rdev);
  identity.set_mount_namespace(mount_namespace);
  return identity;
}

}  // namespace martlet::engine
