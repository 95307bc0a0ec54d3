#include "migrate/writable_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <string_view>

#include "base/fd.h"
#include "engine/files/fd_info.h"
#include "sys/pidfd.h"
#include "sys/procfs.h"

namespace martlet::migrate {

namespace {

// A write is stamped when it begins, and may be in the file only after it was copied.
constexpr Nanoseconds kLongestWrite = std::chrono::seconds(2);

bool is_open_for_writing(HostPid holder, int descriptor) {
  auto info = read_file(sys::proc_path(holder, "fdinfo/" + std::to_string(descriptor)));
  if (!info) return false;
  auto flags = engine::info_number(*info, "flags", 8);
  return flags && (*flags & O_ACCMODE) != O_RDONLY;
}

bool changed_since(const struct stat& status, Nanoseconds since) {
  Nanoseconds changed =
      std::chrono::seconds(status.st_ctim.tv_sec) + Nanoseconds(status.st_ctim.tv_nsec);
  return changed + kLongestWrite >= since;
}

// `link` is one of /proc that leads to the file even if its name has gone.
void add_file(const std::string& path, const std::string& link, WritableFiles& found) {
  if (!path.starts_with('/')) return;
  if (!path.ends_with(sys::kDeletedMark)) {
    found.paths.insert(path.substr(1));
    return;
  }
  auto file = open_file(link, O_PATH);
  struct stat status;
  if (!file || ::fstat(file->get(), &status) != 0 || status.st_nlink == 0) return;
  if (auto handle = sys::handle_of(file->get(), "")) found.nameless.push_back(std::move(*handle));
}

void find_open_files_of(HostPid holder, Nanoseconds since, WritableFiles& found) {
  auto descriptors = sys::list_descriptors(holder);
  if (!descriptors) return;
  for (int descriptor : *descriptors) {
    auto link = sys::proc_path(holder, "fd/" + std::to_string(descriptor));
    struct stat status;
    if (::stat(link.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    if (!changed_since(status, since) || !is_open_for_writing(holder, descriptor)) continue;
    if (auto path = sys::read_link(link)) add_file(*path, link, found);
  }
}

}  // namespace

void find_mapped_files(const std::vector<HostPid>& processes, WritableFiles& found) {
  for (HostPid process : processes) {
    auto mappings = sys::read_maps(process);
    if (!mappings) continue;
    for (const sys::Vma& mapping : *mappings) {
      if (!mapping.shared || (mapping.protection & PROT_WRITE) == 0) continue;
      auto range = fmt::format("map_files/{:x}-{:x}", mapping.start, mapping.end);
      add_file(mapping.path, sys::proc_path(process, range), found);
    }
  }
}

void find_open_files(const std::vector<HostPid>& processes, Nanoseconds since,
                     WritableFiles& found) {
  for (HostPid process : processes)
    for (HostPid holder : sys::list_table_holders(process))
      find_open_files_of(holder, since, found);
}

}  // namespace martlet::migrate
