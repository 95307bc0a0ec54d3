#include "engine/mounts/mount_table.h"

#include <sys/mount.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <sstream>
#include <utility>

#include "base/fd.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

bool is_octal(char c) {
  return c >= '0' && c <= '7';
}

// Blanks, line ends and backslashes in names are printed as \ and three octal digits.
std::string unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

// The default of access times is "relatime", which stands there like all the others.
constexpr std::pair<std::string_view, uint64_t> kAttributes[] = {
    {"ro", MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV},
    {"noexec", MOUNT_ATTR_NOEXEC},
    {"noatime", MOUNT_ATTR_NOATIME},
    {"relatime", MOUNT_ATTR_RELATIME},
    {"nodiratime", MOUNT_ATTR_NODIRATIME},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW}};

void read_options(const std::string& options, Mount& out) {
  std::istringstream words(options);
  bool with_access_time = true;
  for (std::string word; std::getline(words, word, ',');) {
    auto known =
        std::ranges::find(kAttributes, word, [](const auto& entry) { return entry.first; });
    if (known != std::end(kAttributes)) out.attributes |= known->second;
    if (word == "noatime" || word == "relatime") with_access_time = false;
    if (word == "idmapped") out.id_mapped = true;
  }
  if (with_access_time) out.attributes |= MOUNT_ATTR_STRICTATIME;
  out.read_only = (out.attributes & MOUNT_ATTR_RDONLY) != 0;
}

uint32_t number_after(std::string_view word, std::string_view key) {
  if (!word.starts_with(key)) return 0;
  return static_cast<uint32_t>(std::strtoul(word.data() + key.size(), nullptr, 10));
}

void read_propagation(const std::string& word, Mount& out) {
  if (uint32_t group = number_after(word, "shared:")) out.shared_group = group;
  if (uint32_t group = number_after(word, "master:")) out.master_group = group;
  if (word == "unbindable") out.unbindable = true;
}

// "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"
Mount parse_mount(const std::string& line) {
  std::istringstream words(line);
  std::string device, root, point, options, word, name;
  Mount mount;
  words >> mount.id >> mount.parent >> device >> root >> point >> options;
  while (words >> word && word != "-") read_propagation(word, mount);
  words >> mount.type >> name >> mount.system;
  unsigned major = 0, minor = 0;
  if (std::sscanf(device.c_str(), "%u:%u", &major, &minor) == 2)
    mount.device = makedev(major, minor);
  mount.root = unescape(root);
  mount.point = unescape(point);
  mount.name = unescape(name);
  read_options(options, mount);
  return mount;
}

// The kernel gives the id of a mount that is gone to a later one, so all that cannot change counts.
bool is_same_mount(const Mount& a, const Mount& b) {
  return a.id == b.id && a.point == b.point && a.device == b.device && a.root == b.root &&
         a.type == b.type;
}

}  // namespace

std::vector<Mount> parse_mounts(std::string_view mountinfo) {
  std::vector<Mount> mounts;
  std::istringstream lines{std::string(mountinfo)};
  for (std::string line; std::getline(lines, line);) mounts.push_back(parse_mount(line));
  return mounts;
}

Result<std::vector<Mount>> read_mounts(HostPid process) {
  return parse_mounts(TRY(read_file(sys::proc_path(process, "mountinfo"))));
}

const Mount* find_same(const std::vector<Mount>& mounts, const Mount& mount) {
  auto found =
      std::ranges::find_if(mounts, [&](const Mount& other) { return is_same_mount(other, mount); });
  return found == mounts.end() ? nullptr : &*found;
}

bool is_at_or_below(std::string_view path, std::string_view above) {
  if (above == "/") return path.starts_with('/');
  return path.starts_with(above) && (path.size() == above.size() || path[above.size()] == '/');
}

std::string rest_below(std::string_view path, std::string_view above) {
  std::string_view rest = path.substr(above == "/" ? 1 : above.size());
  if (rest.starts_with('/')) rest.remove_prefix(1);
  return std::string(rest);
}

}  // namespace martlet::engine
