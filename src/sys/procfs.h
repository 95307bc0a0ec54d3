// What /proc says about processes. Reading and parsing are apart, so that parsing is tested on
// text.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"

namespace martlet::sys {

// The fields of /proc/PID/status that the engine uses. Lists by PID namespace go from the reader's
// namespace inward, so the last element is the task's own view.
struct TaskStatus {
  std::string name;
  char state = '?';
  HostPid group_leader;  // Tgid
  HostPid parent;
  HostPid tracer;
  std::vector<NsPid> ns_tgids;
  std::vector<NsPid> ns_tids;
  std::vector<NsPid> ns_groups;
  std::vector<NsPid> ns_sessions;
  std::array<uint32_t, 4> uids{};  // real, effective, saved, file system
  std::array<uint32_t, 4> gids{};
  std::vector<uint32_t> groups;
  uint32_t umask = 0;
  uint64_t pending = 0;
  uint64_t shared_pending = 0;
  uint64_t blocked = 0;
  uint64_t ignored = 0;
  uint64_t caught = 0;
  uint64_t cap_inheritable = 0;
  uint64_t cap_permitted = 0;
  uint64_t cap_effective = 0;
  uint64_t cap_bounding = 0;
  uint64_t cap_ambient = 0;
  bool no_new_privileges = false;
  uint32_t seccomp_mode = 0;
  bool thp_enabled = true;
  bool kernel_thread = false;
};

// Numbers of /proc/PID/stat. Addresses are zero if the reader may not see them.
struct TaskStat {
  uint32_t exit_signal = 0;
  int nice = 0;
  int terminal = 0;          // device number of the controlling one; 0: none
  uint64_t start_ticks = 0;  // clock ticks after boot
  uint64_t start_code = 0, end_code = 0, start_stack = 0;
  uint64_t start_data = 0, end_data = 0, start_brk = 0;
  uint64_t arg_start = 0, arg_end = 0, env_start = 0, env_end = 0;
  int exit_code = 0;
};

// One mapping of /proc/PID/smaps.
struct Vma {
  uint64_t start = 0;
  uint64_t end = 0;
  uint32_t protection = 0;  // PROT_*
  bool shared = false;
  uint64_t offset = 0;
  uint64_t device = 0;  // as makedev() packs it
  uint64_t inode = 0;
  std::string path;   // as printed, "[heap]" and " (deleted)" included
  std::string flags;  // VmFlags, each two letters and a space
  uint32_t protection_key = 0;
  uint64_t size() const { return end - start; }
  bool has_flag(std::string_view two_letters) const;
};

// What /proc puts behind the path of a file that has no name any more.
inline constexpr std::string_view kDeletedMark = " (deleted)";

TaskStatus parse_status(std::string_view text);
Result<TaskStat> parse_stat(std::string_view text);
std::vector<Vma> parse_smaps(std::string_view text);
// Of /proc/PID/statm: resident memory that is neither of a file nor shared, in bytes.
Result<uint64_t> parse_private_bytes(std::string_view text);

std::string proc_path(HostPid pid, std::string_view rest);

// Errors: kGone if the task does not exist (any more).
Result<TaskStatus> read_status(HostPid tid);
Result<TaskStat> read_stat(HostPid pid);
Result<std::vector<Vma>> read_smaps(HostPid pid);
Result<std::vector<Vma>> read_maps(HostPid pid);  // the same without VmFlags, and faster
Result<uint64_t> read_private_bytes(HostPid pid);
Result<std::vector<HostPid>> list_threads(HostPid pid);
Result<std::vector<HostPid>> list_children(HostPid pid);
// A thread by which /proc shows what the process has: its main thread, unless that has ended before
// others, who then shows nothing.
HostPid living_thread(HostPid pid);
// The process and all below it, each before its children; what ends meanwhile is left out.
std::vector<HostPid> list_tree(HostPid root);
Result<std::vector<int>> list_descriptors(HostPid pid);
Result<std::string> read_link(const std::string& path);
// Of a link in an open directory.
Result<std::string> read_link(const Fd& directory, const std::string& name);

// Every process of the PID namespace that `init` is the first process of, and of those below it.
Result<std::vector<HostPid>> list_namespace_processes(HostPid init);

}  // namespace martlet::sys
