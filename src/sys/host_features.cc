#include "sys/host_features.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <iterator>
#include <sstream>

#include "base/fd.h"
#include "sys/cgroup.h"
#include "sys/mapping_flags.h"

namespace martlet::sys {
namespace {

// Of linux/fs.h and linux/userfaultfd.h of Linux 6.7; Debian 12's headers are older.
struct PagemapScanArguments {
  uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
  uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
constexpr unsigned long kPagemapScan = _IOWR('f', 16, PagemapScanArguments);
constexpr uint64_t kUffdWpAsync = 1 << 15;

bool has_pagemap_scan() {
  const auto pagemap = open_file("/proc/self/pagemap", O_RDONLY);
  if (!pagemap) return false;
  PagemapScanArguments nothing{};
  nothing.size = sizeof nothing;
  return ioctl(pagemap->get(), kPagemapScan, &nothing) >= 0 || errno != ENOTTY;
}

bool has_userfaultfd_wp_async() {
  const Fd fd(static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC)));
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = kUffdWpAsync;
  return fd.valid() && ioctl(fd.get(), UFFDIO_API, &api) == 0;
}

// A kernel that tracks soft-dirty pages shows bit 55 set for a page that was just written.
bool has_soft_dirty() {
  const auto pagemap = open_file("/proc/self/pagemap", O_RDONLY);
  volatile char on_stack = 1;
  uint64_t entry = 0;
  const auto address = reinterpret_cast<uintptr_t>(&on_stack);
  return pagemap &&
         pread(pagemap->get(), &entry, sizeof entry,
               static_cast<off_t>(address / 4096 * sizeof entry)) == sizeof entry &&
         (entry >> 55 & 1);
}

bool exists(const char* path) {
  return access(path, F_OK) == 0;
}

}  // namespace

std::vector<std::string> kernel_features() {
  std::vector<std::string> features;
  const auto add = [&](const char* name, bool present) {
    if (present) features.push_back(name);
  };
  const auto cgroups = detect_cgroups();
  add("pagemap_scan", has_pagemap_scan());
  add("userfaultfd_wp_async", has_userfaultfd_wp_async());
  add("soft_dirty", has_soft_dirty());
  add("mapping_iterator", MappingFlags::shared().has_value());
  add("time_namespace", exists("/proc/self/ns/time"));
  add("cgroup_v2_freezer", cgroups && cgroups->unified);
  add("overlay_file_handles", exists("/sys/module/overlay/parameters/nfs_export"));
  return features;
}

std::vector<std::string> parse_cpu_flags(std::string_view cpuinfo) {
  std::istringstream lines{std::string(cpuinfo)};
  std::string line;
  while (std::getline(lines, line)) {
    if (!line.starts_with("flags")) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    return {std::istream_iterator<std::string>(words), std::istream_iterator<std::string>()};
  }
  return {};
}

Result<std::vector<std::string>> cpu_features() {
  return parse_cpu_flags(TRY(read_file("/proc/cpuinfo")));
}

std::string kernel_release() {
  utsname names{};
  uname(&names);
  return names.release;
}

uint64_t parse_available_memory(std::string_view meminfo) {
  std::istringstream lines{std::string(meminfo)};
  std::string key;
  uint64_t kibibytes = 0;
  std::string unit;
  while (lines >> key >> kibibytes) {
    if (key == "MemAvailable:") return kibibytes * 1024;
    std::getline(lines, unit);
  }
  return 0;
}

Result<uint64_t> available_memory() {
  return parse_available_memory(TRY(read_file("/proc/meminfo")));
}

Result<uint64_t> available_disk(const std::string& path) {
  struct statvfs status{};
  if (statvfs(path.c_str(), &status) != 0) return fail_errno("statvfs of " + path);
  return static_cast<uint64_t>(status.f_bavail) * status.f_frsize;
}

}  // namespace martlet::sys
