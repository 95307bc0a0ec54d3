#include "sys/host_features.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <iterator>
#include <sstream>

#include "base/fd.h"
#include "sys/cgroup.h"
#include "sys/mapping_flags.h"
#include "sys/pagemap.h"
#include "sys/userfaultfd.h"

namespace martlet::sys {
namespace {

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
  add("userfaultfd_wp_async", Userfaultfd::can_track_writes());
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
