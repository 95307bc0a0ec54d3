// The pre-flight check: what a container needs, gathered on the source, and what of it a
// destination lacks, in sentences for the operator. Nothing is changed on either side.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "migrate/host.h"
#include "migrate/protocol.pb.h"

namespace martlet::migrate {

// What a host offers. read_capabilities() reads it from the running system; tests make their own.
struct HostCapabilities {
  std::vector<std::string> cpu_flags;  // sorted
  uint64_t xsave_features = 0;
  std::vector<std::string> kernel_features;  // sorted
  uint64_t free_memory_bytes = 0;
  uint64_t free_disk_bytes = 0;
  std::map<uint32_t, uint64_t> free_huge_page_bytes;  // by the logarithm of the page size
};

// `file_store` is a directory of the file system that containers' files are kept on.
Result<HostCapabilities> read_capabilities(const std::string& file_store);

// Names of the kernel facilities that a restore uses and this kernel has.
std::vector<std::string> probe_kernel_features();

// The instruction-set flags of /proc/cpuinfo's text that programs can come to depend on. A program
// chooses its code paths once, at its start (glibc's memcpy, for example, by AVX-512), so a later
// processor must have every one of them, whether or not a register holds such a value right now.
std::vector<std::string> instruction_set_flags(const std::string& cpuinfo);

Result<protocol::Requirements> gather_requirements(const SourceContainer& container);

// One sentence for each thing that is missing here; `base_layer` is a directory, or empty.
std::vector<std::string> find_missing(const protocol::Requirements& requirements,
                                      const HostCapabilities& host, const std::string& base_layer);

}  // namespace martlet::migrate
