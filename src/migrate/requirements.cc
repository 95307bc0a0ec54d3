#include "migrate/requirements.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/magic.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <sstream>

#include "base/fd.h"
#include "base/log.h"
#include "engine/memory/shared_objects.h"
#include "image/format_version.h"
#include "migrate/file_scan.h"
#include "sys/cgroup.h"
#include "sys/pidfd.h"
#include "sys/procfs.h"

namespace martlet::migrate {

namespace {

// Flags of /proc/cpuinfo by prefix or whole: those that user-mode code may execute.
constexpr std::string_view kInstructionSetPrefixes[] = {"sse", "ssse", "avx", "amx_", "bmi"};
constexpr std::string_view kInstructionSetFlags[] = {
    "3dnowprefetch", "abm",     "adx",     "aes",   "cldemote",   "clflushopt", "clwb",
    "clzero",        "cx16",    "f16c",    "fma",   "fma4",       "fsgsbase",   "fxsr",
    "gfni",          "lahf_lm", "mmx",     "movbe", "movdir64b",  "movdiri",    "pclmulqdq",
    "pku",           "pni",     "popcnt",  "rdpid", "rdrand",     "rdseed",     "rdtscp",
    "serialize",     "sha_ni",  "tbm",     "vaes",  "vpclmulqdq", "waitpkg",    "xop",
    "xsave",         "xsavec",  "xsaveopt"};

// Of all sizes that processors have, 64 KiB to 16 GiB.
constexpr uint32_t kSmallestHugePageBits = 16;
constexpr uint32_t kLargestHugePageBits = 34;

bool is_instruction_set_flag(std::string_view flag) {
  return std::ranges::any_of(kInstructionSetPrefixes,
                             [&](auto prefix) { return flag.starts_with(prefix); }) ||
         std::ranges::find(kInstructionSetFlags, flag) != std::end(kInstructionSetFlags);
}

// XCR0: the kinds of registers that the operating system saves for programs.
uint64_t enabled_xsave_features() {
  uint32_t low = 0;
  uint32_t high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

bool can_repair_tcp() {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int on = 1;
  return socket.valid() && ::setsockopt(socket.get(), IPPROTO_TCP, TCP_REPAIR, &on, sizeof on) == 0;
}

bool exists(const char* path) {
  return ::access(path, F_OK) == 0;
}

// The value in bytes of a "Name:   123 kB" line; 0 if there is none.
uint64_t kilobytes_field(const std::string& text, std::string_view name) {
  std::istringstream lines(text);
  std::string line;
  while (std::getline(lines, line))
    if (line.starts_with(name))
      return std::stoull("0" + line.substr(line.find_first_not_of(" \t:", name.size()))) * 1024;
  return 0;
}

uint64_t memory_of(const std::vector<HostPid>& processes) {
  uint64_t total = 0;
  for (HostPid process : processes) {
    auto status = read_file(sys::proc_path(sys::living_thread(process), "status"));
    if (!status) continue;  // it ended meanwhile
    total += kilobytes_field(*status, "RssAnon") + kilobytes_field(*status, "RssShmem");
  }
  return total;
}

uint32_t huge_page_bits_of(HostPid process, const sys::Vma& mapping) {
  if (!mapping.path.starts_with(engine::kAnonymousHugePages) &&
      !engine::is_shared_object_link(mapping.path))
    return 0;
  auto file = fmt::format("map_files/{:x}-{:x}", mapping.start, mapping.end);
  return engine::huge_page_bits_of(sys::proc_path(process, file)).value_or(0);
}

// What the mappings of one process reserve, each shared object once, by the page size.
Result<std::map<uint32_t, uint64_t>> reserved_huge_pages(HostPid process) {
  std::map<uint32_t, uint64_t> bytes;
  std::set<std::pair<uint64_t, uint64_t>> seen;
  auto is_huge = [&](const sys::Vma& mapping) { return huge_page_bits_of(process, mapping) != 0; };
  if (std::ranges::none_of(TRY(sys::read_maps(process)), is_huge)) return bytes;
  for (const sys::Vma& mapping : TRY(sys::read_smaps(process))) {
    if (!is_huge(mapping) || mapping.has_flag("nr")) continue;  // "nr": nothing is reserved
    if (mapping.shared && !seen.emplace(mapping.device, mapping.inode).second) continue;
    bytes[huge_page_bits_of(process, mapping)] += mapping.size();
  }
  return bytes;
}

// Processes share huge pages more often than not; what the largest needs is needed in any case.
void gather_huge_pages(const std::vector<HostPid>& processes, protocol::Requirements& out) {
  std::map<uint32_t, uint64_t> most;
  for (HostPid process : processes) {
    auto reserved = reserved_huge_pages(sys::living_thread(process));
    if (!reserved) continue;  // it ended meanwhile
    for (auto [bits, bytes] : *reserved) most[bits] = std::max(most[bits], bytes);
  }
  for (auto [bits, bytes] : most) {
    auto* pages = out.add_huge_pages();
    pages->set_bits(bits);
    pages->set_bytes(bytes);
  }
}

// Pages of the pool that nobody has or has reserved, and those that it may still grow by.
std::map<uint32_t, uint64_t> read_free_huge_pages() {
  std::map<uint32_t, uint64_t> bytes;
  for (uint32_t bits = kSmallestHugePageBits; bits <= kLargestHugePageBits; ++bits) {
    auto count = [&](std::string_view what) {
      auto text = read_file(fmt::format("/sys/kernel/mm/hugepages/hugepages-{}kB/{}",
                                        (uint64_t{1} << bits) / 1024, what));
      return text ? std::stoll("0" + *text) : 0;
    };
    int64_t pages =
        count("free_hugepages") - count("resv_hugepages") +
        std::max<int64_t>(0, count("nr_overcommit_hugepages") - count("surplus_hugepages"));
    if (pages > 0) bytes[bits] = static_cast<uint64_t>(pages) << bits;
  }
  return bytes;
}

std::string human_bytes(uint64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

bool describe(const std::string& path, protocol::BaseFile& file) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return false;
  file.set_size(static_cast<uint64_t>(status.st_size));
  file.set_mtime_ns(status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec);
  file.set_mode(status.st_mode);
  return true;
}

// Whether the path leads into an overlay: what lies on a mount of its own (a tmpfs, a volume) is
// not part of any layer.
bool is_in_overlay(const std::string& path) {
  struct statfs status;
  return ::statfs(path.c_str(), &status) == 0 && status.f_type == OVERLAYFS_SUPER_MAGIC;
}

// The files of the base layer that the processes have mapped: programs and libraries.
void gather_base_files(const std::vector<HostPid>& processes, const std::string& upper_layer,
                       protocol::Requirements& out) {
  std::set<std::string> seen;
  for (HostPid process : processes) {
    const HostPid living = sys::living_thread(process);
    auto mappings = sys::read_maps(living);
    if (!mappings) continue;  // it ended meanwhile
    for (const sys::Vma& mapping : *mappings) {
      if (!mapping.path.starts_with('/') || mapping.inode == 0) continue;
      if (!seen.insert(mapping.path).second) continue;
      if (exists((upper_layer + mapping.path).c_str())) continue;
      std::string path = sys::proc_path(living, "root") + mapping.path;
      protocol::BaseFile file;
      if (!is_in_overlay(path) || !describe(path, file)) continue;
      file.set_path(mapping.path);
      *out.add_base_files() = file;
    }
  }
}

std::vector<std::string> missing_from(const auto& wanted, const std::vector<std::string>& present) {
  std::vector<std::string> missing;
  for (const std::string& name : wanted)
    if (!std::ranges::binary_search(present, name)) missing.push_back(name);
  return missing;
}

void check_base_files(const protocol::Requirements& requirements, const std::string& base_layer,
                      std::vector<std::string>& problems) {
  for (const protocol::BaseFile& wanted : requirements.base_files()) {
    protocol::BaseFile present;
    if (!describe(base_layer + wanted.path(), present)) {
      problems.push_back("the base layer lacks " + wanted.path());
    } else if (present.size() != wanted.size() || present.mtime_ns() != wanted.mtime_ns() ||
               present.mode() != wanted.mode()) {
      problems.push_back("the base layer has another version of " + wanted.path());
    }
  }
}

void check_processor(const protocol::Requirements& requirements, const HostCapabilities& host,
                     std::vector<std::string>& problems) {
  auto flags = missing_from(requirements.cpu_flags(), host.cpu_flags);
  if (!flags.empty())
    problems.push_back(fmt::format("the processor lacks {}, which the container's programs may use",
                                   fmt::join(flags, ", ")));
  uint64_t state = requirements.xsave_features() & ~host.xsave_features;
  if (state != 0)
    problems.push_back(
        fmt::format("the processor or its kernel does not save register state {:#x}", state));
}

void check_huge_pages(const protocol::Requirements& requirements, const HostCapabilities& host,
                      std::vector<std::string>& problems) {
  for (const protocol::HugePages& wanted : requirements.huge_pages()) {
    auto found = host.free_huge_page_bytes.find(wanted.bits());
    uint64_t free = found == host.free_huge_page_bytes.end() ? 0 : found->second;
    if (wanted.bits() <= kLargestHugePageBits && wanted.bytes() > free)
      problems.push_back(
          fmt::format("{} in huge pages of {} are free and {} needed; "
                      "vm.nr_hugepages reserves more",
                      human_bytes(free), human_bytes(uint64_t{1} << wanted.bits()),
                      human_bytes(wanted.bytes())));
  }
}

}  // namespace

std::vector<std::string> instruction_set_flags(const std::string& cpuinfo) {
  std::istringstream lines(cpuinfo);
  std::string line;
  while (std::getline(lines, line) && !line.starts_with("flags")) continue;
  std::istringstream words(line.starts_with("flags") ? line.substr(line.find(':') + 1) : "");
  std::set<std::string> flags;
  for (std::string flag; words >> flag;)
    if (is_instruction_set_flag(flag)) flags.insert(flag);
  return {flags.begin(), flags.end()};
}

std::vector<std::string> probe_kernel_features() {
  std::vector<std::string> features;
  if (sys::detect_cgroups()) features.push_back("cgroup freezer");
  if (exists("/proc/self/fdinfo")) features.push_back("fdinfo");
  if (exists("/proc/self/map_files")) features.push_back("map_files");
  if (can_repair_tcp()) features.push_back("TCP_REPAIR");
  if (exists("/proc/self/ns/time")) features.push_back("time namespaces");
  std::ranges::sort(features);
  return features;
}

Result<HostCapabilities> read_capabilities(const std::string& file_store) {
  struct statvfs disk;
  if (::statvfs(file_store.c_str(), &disk) != 0) return fail_errno("statvfs " + file_store);
  return HostCapabilities{
      .cpu_flags = instruction_set_flags(TRY(read_file("/proc/cpuinfo"))),
      .xsave_features = enabled_xsave_features(),
      .kernel_features = probe_kernel_features(),
      .free_memory_bytes = kilobytes_field(TRY(read_file("/proc/meminfo")), "MemAvailable"),
      .free_disk_bytes = uint64_t{disk.f_bavail} * disk.f_frsize,
      .free_huge_page_bytes = read_free_huge_pages()};
}

Result<protocol::Requirements> gather_requirements(const SourceContainer& container) {
  auto processes = TRY(sys::list_namespace_processes(container.init()));
  protocol::Requirements requirements;
  requirements.set_image_version(image::kFormatVersion);
  for (auto& flag : instruction_set_flags(TRY(read_file("/proc/cpuinfo"))))
    requirements.add_cpu_flags(std::move(flag));
  requirements.set_xsave_features(enabled_xsave_features());
  for (auto& feature : probe_kernel_features())
    requirements.add_kernel_features(std::move(feature));
  requirements.set_memory_bytes(memory_of(processes));
  gather_huge_pages(processes, requirements);
  for (const FileTree& tree : container.files())
    requirements.set_disk_bytes(requirements.disk_bytes() + TRY(scan_tree(tree.path)).bytes);
  if (!container.upper_layer().empty())
    gather_base_files(processes, container.upper_layer(), requirements);
  return requirements;
}

std::vector<std::string> find_missing(const protocol::Requirements& requirements,
                                      const HostCapabilities& host, const std::string& base_layer) {
  std::vector<std::string> problems;
  if (!image::is_readable_version(requirements.image_version()))
    problems.push_back(fmt::format(
        "it reads image formats {} to {}, and this container comes in format {}",
        image::kOldestFormatVersion, image::kFormatVersion, requirements.image_version()));
  check_processor(requirements, host, problems);
  for (auto& feature : missing_from(requirements.kernel_features(), host.kernel_features))
    problems.push_back("its kernel lacks " + feature);
  if (requirements.memory_bytes() > host.free_memory_bytes)
    problems.push_back(fmt::format("{} of memory are free and {} needed",
                                   human_bytes(host.free_memory_bytes),
                                   human_bytes(requirements.memory_bytes())));
  if (requirements.disk_bytes() > host.free_disk_bytes)
    problems.push_back(fmt::format("{} of disk are free and {} needed",
                                   human_bytes(host.free_disk_bytes),
                                   human_bytes(requirements.disk_bytes())));
  check_huge_pages(requirements, host, problems);
  check_base_files(requirements, base_layer, problems);
  return problems;
}

}  // namespace martlet::migrate
