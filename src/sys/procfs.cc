#include "sys/procfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <climits>
#include <map>
#include <memory>

#include "base/fd.h"
#include "sys/user_namespace.h"

namespace martlet::sys {
namespace {

// Walks the lines of a text without copying.
template <typename Visit>
void for_each_line(std::string_view text, Visit visit) {
  while (!text.empty()) {
    size_t end = text.find('\n');
    visit(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

// Takes the next blank-separated word off the front.
std::string_view take_word(std::string_view& text) {
  size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return text = {};
  size_t end = text.find_first_of(" \t", begin);
  std::string_view word = text.substr(begin, end - begin);
  text = end == std::string_view::npos ? std::string_view{} : text.substr(end);
  return word;
}

template <typename Number>
Number to_number(std::string_view word, int base = 10) {
  Number value{};
  std::from_chars(word.data(), word.data() + word.size(), value, base);
  return value;
}

template <typename Number>
Number take_number(std::string_view& text, int base = 10) {
  return to_number<Number>(take_word(text), base);
}

std::vector<NsPid> take_pids(std::string_view text) {
  std::vector<NsPid> pids;
  while (true) {
    std::string_view word = take_word(text);
    if (word.empty()) return pids;
    pids.emplace_back(to_number<pid_t>(word));
  }
}

void parse_status_field(TaskStatus& status, std::string_view key, std::string_view value) {
  auto hex = [&] { return take_number<uint64_t>(value, 16); };
  auto pid = [&] { return HostPid(take_number<pid_t>(value)); };
  if (key == "Name") {
    status.name = value.substr(std::min<size_t>(1, value.size()));
  } else if (key == "State") {
    status.state = take_word(value).front();
  } else if (key == "Umask") {
    status.umask = take_number<uint32_t>(value, 8);
  } else if (key == "Tgid") {
    status.group_leader = pid();
  } else if (key == "PPid") {
    status.parent = pid();
  } else if (key == "TracerPid") {
    status.tracer = pid();
  } else if (key == "Uid") {
    for (auto& id : status.uids) id = take_number<uint32_t>(value);
  } else if (key == "Gid") {
    for (auto& id : status.gids) id = take_number<uint32_t>(value);
  } else if (key == "Groups") {
    for (NsPid id : take_pids(value)) status.groups.push_back(static_cast<uint32_t>(id.value));
  } else if (key == "NStgid") {
    status.ns_tgids = take_pids(value);
  } else if (key == "NSpid") {
    status.ns_tids = take_pids(value);
  } else if (key == "NSpgid") {
    status.ns_groups = take_pids(value);
  } else if (key == "NSsid") {
    status.ns_sessions = take_pids(value);
  } else if (key == "Kthread") {
    status.kernel_thread = take_number<int>(value) != 0;
  } else if (key == "SigPnd") {
    status.pending = hex();
  } else if (key == "ShdPnd") {
    status.shared_pending = hex();
  } else if (key == "SigBlk") {
    status.blocked = hex();
  } else if (key == "SigIgn") {
    status.ignored = hex();
  } else if (key == "SigCgt") {
    status.caught = hex();
  } else if (key == "CapInh") {
    status.cap_inheritable = hex();
  } else if (key == "CapPrm") {
    status.cap_permitted = hex();
  } else if (key == "CapEff") {
    status.cap_effective = hex();
  } else if (key == "CapBnd") {
    status.cap_bounding = hex();
  } else if (key == "CapAmb") {
    status.cap_ambient = hex();
  } else if (key == "NoNewPrivs") {
    status.no_new_privileges = take_number<int>(value) != 0;
  } else if (key == "Seccomp") {
    status.seccomp_mode = take_number<uint32_t>(value);
  } else if (key == "THP_enabled") {
    status.thp_enabled = take_number<int>(value) != 0;
  }
}

// "00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/dbus-daemon"
bool parse_mapping_line(std::string_view line, Vma& vma) {
  size_t dash = line.find('-');
  if (dash == std::string_view::npos || dash == 0 || dash > 16) return false;
  if (!std::all_of(line.begin(), line.begin() + static_cast<ptrdiff_t>(dash),
                   [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }))
    return false;
  vma = {};
  vma.start = to_number<uint64_t>(line.substr(0, dash), 16);
  std::string_view rest = line.substr(dash + 1);
  vma.end = take_number<uint64_t>(rest, 16);
  std::string_view access = take_word(rest);
  if (access.size() != 4) return false;
  vma.protection = (access[0] == 'r' ? PROT_READ : 0u) | (access[1] == 'w' ? PROT_WRITE : 0u) |
                   (access[2] == 'x' ? PROT_EXEC : 0u);
  vma.shared = access[3] == 's';
  vma.offset = take_number<uint64_t>(rest, 16);
  std::string_view device = take_word(rest);
  size_t colon = device.find(':');
  if (colon == std::string_view::npos) return false;
  vma.device = makedev(to_number<unsigned>(device.substr(0, colon), 16),
                       to_number<unsigned>(device.substr(colon + 1), 16));
  vma.inode = take_number<uint64_t>(rest);
  size_t path = rest.find_first_not_of(' ');
  if (path != std::string_view::npos) vma.path = rest.substr(path);
  return true;
}

Error gone(HostPid pid) {
  return Error(Code::kGone, "process " + to_string(pid) + " does not exist");
}

Result<std::string> read_proc(HostPid pid, std::string_view rest) {
  auto content = read_file(proc_path(pid, rest));
  if (!content &&
      (content.error().error_number() == ENOENT || content.error().error_number() == ESRCH))
    return std::unexpected(gone(pid));
  return content;
}

Result<std::vector<int>> list_numbers(const std::string& directory) {
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()), ::closedir);
  if (!dir) return fail_errno("list " + directory);
  std::vector<int> numbers;
  while (const dirent* entry = ::readdir(dir.get()))
    if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
      numbers.push_back(to_number<int>(entry->d_name));
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

Result<std::string> read_link_at(int directory, const std::string& path) {
  char target[PATH_MAX];
  ssize_t length = ::readlinkat(directory, path.c_str(), target, sizeof target);
  if (length < 0) return fail_errno("read link " + path);
  return std::string(target, static_cast<size_t>(length));
}

std::vector<HostPid> as_pids(const std::vector<int>& numbers) {
  std::vector<HostPid> pids;
  for (int number : numbers) pids.emplace_back(number);
  return pids;
}

}  // namespace

bool Vma::has_flag(std::string_view two_letters) const {
  for (size_t at = 0; at + 1 < flags.size(); at += 3)
    if (std::string_view(flags).substr(at, 2) == two_letters) return true;
  return false;
}

TaskStatus parse_status(std::string_view text) {
  TaskStatus status;
  for_each_line(text, [&](std::string_view line) {
    size_t colon = line.find(':');
    if (colon != std::string_view::npos)
      parse_status_field(status, line.substr(0, colon), line.substr(colon + 1));
  });
  return status;
}

Result<TaskStat> parse_stat(std::string_view text) {
  // The name is in parentheses and may itself hold blanks and parentheses.
  size_t close = text.rfind(')');
  if (close == std::string_view::npos) return fail(Code::kSystem, "unreadable /proc/PID/stat");
  std::vector<std::string_view> field(3);  // so that field[n] is field n of proc(5)
  std::string_view rest = text.substr(close + 1);
  while (!rest.empty() && rest.back() == '\n') rest.remove_suffix(1);
  for (std::string_view word = take_word(rest); !word.empty(); word = take_word(rest))
    field.push_back(word);
  if (field.size() < 53) return fail(Code::kSystem, "short /proc/PID/stat");
  auto number = [&](size_t n) { return to_number<uint64_t>(field[n]); };
  TaskStat stat;
  stat.terminal = to_number<int>(field[7]);
  stat.nice = to_number<int>(field[19]);
  stat.start_ticks = number(22);
  stat.start_code = number(26);
  stat.end_code = number(27);
  stat.start_stack = number(28);
  stat.exit_signal = static_cast<uint32_t>(number(38));
  stat.start_data = number(45);
  stat.end_data = number(46);
  stat.start_brk = number(47);
  stat.arg_start = number(48);
  stat.arg_end = number(49);
  stat.env_start = number(50);
  stat.env_end = number(51);
  stat.exit_code = to_number<int>(field[52]);
  return stat;
}

std::vector<Vma> parse_smaps(std::string_view text) {
  std::vector<Vma> vmas;
  for_each_line(text, [&](std::string_view line) {
    Vma vma;
    if (line.starts_with("VmFlags:")) {
      std::string_view flags = line.substr(8);
      while (!flags.empty() && flags.front() == ' ') flags.remove_prefix(1);
      if (!vmas.empty()) vmas.back().flags = flags;
    } else if (line.starts_with("ProtectionKey:")) {
      take_word(line);
      if (!vmas.empty()) vmas.back().protection_key = take_number<uint32_t>(line);
    } else if (!line.empty() && (line[0] < 'A' || line[0] > 'Z') && parse_mapping_line(line, vma)) {
      vmas.push_back(std::move(vma));
    }
  });
  return vmas;
}

Result<uint64_t> parse_private_bytes(std::string_view text) {
  take_word(text);  // the size of the address space
  auto resident = to_number<uint64_t>(take_word(text));
  auto shared = to_number<uint64_t>(take_word(text));
  if (resident < shared) return fail(Code::kSystem, "unreadable /proc/PID/statm");
  return (resident - shared) * kPageSize;
}

std::string proc_path(HostPid pid, std::string_view rest) {
  return "/proc/" + to_string(pid) + "/" + std::string(rest);
}

Result<TaskStatus> read_status(HostPid tid) {
  return parse_status(TRY(read_proc(tid, "status")));
}

Result<TaskStat> read_stat(HostPid pid) {
  return parse_stat(TRY(read_proc(pid, "stat")));
}

Result<std::vector<Vma>> read_smaps(HostPid pid) {
  return parse_smaps(TRY(read_proc(pid, "smaps")));
}

Result<std::vector<Vma>> read_maps(HostPid pid) {
  return parse_smaps(TRY(read_proc(pid, "maps")));
}

Result<uint64_t> read_private_bytes(HostPid pid) {
  return parse_private_bytes(TRY(read_proc(pid, "statm")));
}

Result<std::vector<HostPid>> list_threads(HostPid pid) {
  auto numbers = list_numbers(proc_path(pid, "task"));
  if (!numbers) return std::unexpected(gone(pid));
  return as_pids(*numbers);
}

Result<std::vector<HostPid>> list_children(HostPid pid) {
  std::vector<HostPid> children;
  for (HostPid thread : TRY(list_threads(pid))) {
    auto content = read_file(proc_path(pid, "task/" + to_string(thread) + "/children"));
    if (!content) continue;  // the thread ended meanwhile
    for (NsPid child : take_pids(*content)) children.emplace_back(child.value);
  }
  return children;
}

HostPid living_thread(HostPid pid) {
  auto has_ended = [](HostPid tid) {
    auto status = read_status(tid);
    return !status || status->state == 'Z' || status->state == 'X';
  };
  if (!has_ended(pid)) return pid;
  auto threads = list_threads(pid).value_or(std::vector<HostPid>());
  auto living = std::ranges::find_if_not(threads, has_ended);
  return living == threads.end() ? pid : *living;
}

std::vector<HostPid> list_tree(HostPid root) {
  std::vector<HostPid> found = {root};
  for (size_t i = 0; i < found.size(); ++i)
    if (auto children = list_children(found[i]))
      found.insert(found.end(), children->begin(), children->end());
  return found;
}

Result<std::vector<int>> list_descriptors(HostPid pid) {
  return list_numbers(proc_path(pid, "fd"));
}

Result<std::string> read_link(const std::string& path) {
  return read_link_at(AT_FDCWD, path);
}

Result<std::string> read_link(const Fd& directory, const std::string& name) {
  return read_link_at(directory.get(), name);
}

namespace {

// Whether a PID namespace is below another one, which is told by its inode.
bool lies_below(const std::string& path, ino_t upper) {
  auto at = open_file(path, O_RDONLY);
  while (at && (at = parent_of_namespace(*at))) {
    struct stat status{};
    if (::fstat(at->get(), &status) == 0 && status.st_ino == upper) return true;
  }
  return false;
}

}  // namespace

Result<std::vector<HostPid>> list_namespace_processes(HostPid init) {
  struct stat wanted{};
  std::string path = proc_path(init, "ns/pid");
  if (::stat(path.c_str(), &wanted) != 0) return std::unexpected(gone(init));
  std::map<ino_t, bool> is_within = {{wanted.st_ino, true}};
  std::vector<HostPid> members;
  for (int number : TRY(list_numbers("/proc"))) {
    HostPid pid(number);
    struct stat own{};
    path = proc_path(pid, "ns/pid");
    if (::stat(path.c_str(), &own) == 0) {
      auto [known, is_new] = is_within.try_emplace(own.st_ino, false);
      if (is_new) known->second = lies_below(path, wanted.st_ino);
      if (known->second) members.push_back(pid);
    } else if (auto status = read_status(pid); status && status->state == 'Z') {
      // A zombie has no namespace links; its place in the tree tells where it belongs.
      auto parent = std::find(members.begin(), members.end(), status->parent);
      if (parent != members.end()) members.push_back(pid);
    }
  }
  return members;
}

}  // namespace martlet::sys
