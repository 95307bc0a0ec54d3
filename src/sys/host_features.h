// What the kernel and the CPUs of this host can do, as far as Martlet chooses by it. Probed by
// trying.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace martlet::sys {

// "pagemap_scan", "userfaultfd_wp_async", "soft_dirty", "mapping_iterator" (MappingFlags),
// "time_namespace", "cgroup_v2_freezer", "overlay_file_handles": each only if it is there.
std::vector<std::string> kernel_features();

// The flags of the first CPU, as /proc/cpuinfo names them.
Result<std::vector<std::string>> cpu_features();
std::vector<std::string> parse_cpu_flags(std::string_view cpuinfo);

std::string kernel_release();

Result<uint64_t> available_memory();                        // bytes
uint64_t parse_available_memory(std::string_view meminfo);  // bytes; 0 if it is not said
Result<uint64_t> available_disk(const std::string& path);   // bytes

}  // namespace martlet::sys
