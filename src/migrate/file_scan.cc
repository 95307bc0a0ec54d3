#include "migrate/file_scan.h"

#include <fts.h>
#include <sys/stat.h>

#include <cerrno>
#include <ctime>
#include <memory>

namespace martlet::migrate {

namespace {

constexpr uint64_t kBlockBytes = 512;  // of st_blocks

Nanoseconds changed_at(const struct stat& status) {
  return std::chrono::seconds(status.st_ctim.tv_sec) + Nanoseconds(status.st_ctim.tv_nsec);
}

void note(const FTSENT& entry, size_t root_length, Nanoseconds since, const std::set<ino_t>& mapped,
          TreeScan& scan) {
  const struct stat& status = *entry.fts_statp;
  scan.files++;
  bool below = entry.fts_pathlen > root_length;
  scan.bytes += static_cast<uint64_t>(status.st_blocks) * kBlockBytes;
  const bool changed = changed_at(status) >= since;
  scan.changed |= changed;
  if (S_ISREG(status.st_mode) && below && (changed || mapped.contains(status.st_ino)))
    scan.changed_files.emplace_back(entry.fts_path + root_length + 1);
}

}  // namespace

Nanoseconds file_time_now() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return std::chrono::seconds(now.tv_sec) + Nanoseconds(now.tv_nsec);
}

Result<TreeScan> scan_tree(const std::string& path, Nanoseconds since,
                           const std::set<ino_t>& mapped) {
  std::string root = path;
  while (root.size() > 1 && root.ends_with('/')) root.pop_back();
  char* const roots[] = {root.data(), nullptr};
  std::unique_ptr<FTS, decltype(&::fts_close)> walk(
      ::fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, nullptr), &::fts_close);
  if (!walk) return fail_errno("read " + root);
  TreeScan scan;
  while (FTSENT* entry = ::fts_read(walk.get())) {
    if (entry->fts_info == FTS_DP) continue;  // a directory, left again
    if (entry->fts_info == FTS_NS && entry->fts_errno == ENOENT) continue;  // it vanished
    if (entry->fts_info == FTS_NS || entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR)
      return std::unexpected(
          Error::from_errno(entry->fts_errno, std::string("read ") + entry->fts_path));
    note(*entry, root.size(), since, mapped, scan);
  }
  return scan;
}

}  // namespace martlet::migrate
