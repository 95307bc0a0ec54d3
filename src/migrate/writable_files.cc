#include "migrate/writable_files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <string_view>

#include "base/fd.h"
#include "engine/files/fd_info.h"
#include "engine/memory/layout.h"
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

bool leads_to(const Fd& root, const std::string& path, const struct stat& file) {
  struct stat there{};
  return ::fstatat(root.get(), path.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
         there.st_dev == file.st_dev && there.st_ino == file.st_ino;
}

// `path` is what the kernel prints, `link` one of /proc that leads to the file in any case.
void add_file(const Fd& root, const std::string& path, const std::string& link,
              WritableFiles& found) {
  auto file = open_file(link, O_PATH);
  struct stat status{}, top{};
  if (!path.starts_with('/') || !file || ::fstat(file->get(), &status) != 0 ||
      ::fstat(root.get(), &top) != 0 || status.st_dev != top.st_dev || status.st_nlink == 0)
    return;
  if (leads_to(root, path.substr(1), status))
    found.paths.insert(path.substr(1));
  else if (auto handle = sys::handle_of(file->get(), ""))
    found.nameless.push_back(std::move(*handle));
}

template <typename Visit>
void for_each_mapping(const std::vector<HostPid>& processes, const Visit& visit) {
  for (HostPid process : processes) {
    const HostPid living = sys::living_thread(process);
    auto mappings = sys::read_maps(living);
    if (!mappings) continue;
    for (const sys::Vma& mapping : *mappings)
      if (mapping.shared && mapping.inode != 0 && (mapping.protection & PROT_WRITE) != 0)
        visit(mapping, engine::map_files_link(living, mapping));
  }
}

void find_open_files_of(HostPid holder, const Fd& root, Nanoseconds since, WritableFiles& found) {
  auto descriptors = sys::list_descriptors(holder);
  if (!descriptors) return;
  for (int descriptor : *descriptors) {
    auto link = sys::proc_path(holder, "fd/" + std::to_string(descriptor));
    struct stat status;
    if (::stat(link.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    if (!changed_since(status, since) || !is_open_for_writing(holder, descriptor)) continue;
    if (auto path = sys::read_link(link)) add_file(root, *path, link, found);
  }
}

}  // namespace

void find_mapped_files(const std::vector<HostPid>& processes, const Fd& root,
                       WritableFiles& found) {
  for_each_mapping(processes, [&](const sys::Vma& mapping, const std::string& link) {
    add_file(root, mapping.path, link, found);
  });
}

std::set<ino_t> mapped_inodes(const std::vector<HostPid>& processes) {
  std::set<ino_t> inodes;
  for_each_mapping(processes, [&](const sys::Vma&, const std::string& link) {
    struct stat status{};
    if (::stat(link.c_str(), &status) == 0) inodes.insert(status.st_ino);
  });
  return inodes;
}

void find_open_files(const std::vector<HostPid>& processes, const Fd& root, Nanoseconds since,
                     WritableFiles& found) {
  for (HostPid process : processes)
    for (HostPid holder : sys::list_table_holders(process))
      find_open_files_of(holder, root, since, found);
}

}  // namespace martlet::migrate
