#include "engine/mounts/mount_table.h"

#include <sys/sysmacros.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>

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

// "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"
Mount parse_mount(const std::string& line) {
  std::istringstream words(line);
  std::string id, parent, device, root, point, options, word;
  Mount mount;
  words >> id >> parent >> device >> root >> point >> options;
  while (words >> word && word != "-") continue;
  words >> mount.type;
  unsigned major = 0, minor = 0;
  if (std::sscanf(device.c_str(), "%u:%u", &major, &minor) == 2)
    mount.device = makedev(major, minor);
  mount.id = std::strtoull(id.c_str(), nullptr, 10);
  mount.root = unescape(root);
  mount.point = unescape(point);
  mount.read_only = options == "ro" || options.starts_with("ro,");
  return mount;
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

}  // namespace martlet::engine
