#include "sys/cpu_quota.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/fd.h"
#include "sys/cgroup.h"
#include "sys/procfs.h"

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

std::string cgroup_path(std::string_view proc_cgroup, std::string_view controller) {
  while (!proc_cgroup.empty()) {
    std::string_view line = proc_cgroup.substr(0, proc_cgroup.find('\n'));
    proc_cgroup.remove_prefix(std::min(line.size() + 1, proc_cgroup.size()));
    size_t first = line.find(':');
    size_t second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    std::string controllers = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    if (controllers.find(fmt::format(",{},", controller)) != std::string::npos)
      return std::string(line.substr(second + 1));
  }
  return {};
}

Result<CpuQuota> CpuQuota::of(HostPid pid) {
  std::string groups = TRY(read_file(proc_path(pid, "cgroup")));
  CgroupLayout layout = TRY(detect_cgroups());
  std::string cpu;
  std::string accounting;
  for (const std::string& mount : layout.hierarchies) {
    if (exists(mount + cgroup_path(groups, "") + "/cpu.max")) {
      std::string directory = mount + cgroup_path(groups, "");
      return CpuQuota(directory, directory, true);
    }
    std::string in_cpu = mount + cgroup_path(groups, "cpu");
    std::string in_accounting = mount + cgroup_path(groups, "cpuacct");
    if (exists(in_cpu + "/cpu.cfs_quota_us")) cpu = in_cpu;
    if (exists(in_accounting + "/cpuacct.usage")) accounting = in_accounting;
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
