#include "sys/cpu_quota.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/fd.h"
#include "sys/cgroup.h"

namespace martlet::sys {
namespace {

constexpr int64_t kPeriodUs = 100'000;
constexpr int64_t kSmallestQuotaUs = 1'000;  // the kernel takes no less

Result<uint64_t> number_in(std::string_view text, const std::string& path) {
  uint64_t value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc())
    return fail(Code::kSystem, path + " holds no number");
  return value;
}

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

}  // namespace

Result<CpuQuota> CpuQuota::of(const std::string& freezer_cgroup) {
  CgroupLayout layout = TRY(detect_cgroups());
  if (!freezer_cgroup.starts_with(layout.freezer))
    return fail(Code::kUnsupported, "cgroup " + freezer_cgroup + " is not below " + layout.freezer);
  std::string cgroup = freezer_cgroup.substr(layout.freezer.size());
  std::string cpu;
  std::string accounting;
  for (const std::string& mount : layout.hierarchies) {
    std::string directory = mount + cgroup;
    if (exists(directory + "/cpu.max")) return CpuQuota(directory, directory, true);
    if (exists(directory + "/cpu.cfs_quota_us")) cpu = directory;
    if (exists(directory + "/cpuacct.usage")) accounting = directory;
  }
  if (cpu.empty() || accounting.empty())
    return fail(Code::kUnsupported, "no cgroup hierarchy controls processor time here");
  return CpuQuota(cpu, accounting, false);
}

Result<Nanoseconds> CpuQuota::used() const {
  if (!unified_) {
    std::string path = accounting_ + "/cpuacct.usage";
    return Nanoseconds(static_cast<int64_t>(TRY(number_in(TRY(read_file(path)), path))));
  }
  std::string path = accounting_ + "/cpu.stat";
  std::string text = TRY(read_file(path));
  constexpr std::string_view kField = "usage_usec ";
  size_t at = text.find(kField);
  if (at == std::string::npos) return fail(Code::kSystem, path + " lacks usage_usec");
  auto used = TRY(number_in(std::string_view(text).substr(at + kField.size()), path));
  return std::chrono::microseconds(used);
}

Result<void> CpuQuota::limit(double processors) const {
  auto quota = std::max(static_cast<int64_t>(processors * kPeriodUs), kSmallestQuotaUs);
  if (unified_)
    return write_file(cpu_ + "/cpu.max", processors > 0 ? fmt::format("{} {}", quota, kPeriodUs)
                                                        : fmt::format("max {}", kPeriodUs));
  TRY(write_file(cpu_ + "/cpu.cfs_period_us", std::to_string(kPeriodUs)));
  return write_file(cpu_ + "/cpu.cfs_quota_us", std::to_string(processors > 0 ? quota : -1));
}

}  // namespace martlet::sys
