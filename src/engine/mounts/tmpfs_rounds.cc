#include "engine/mounts/tmpfs_rounds.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <set>

#include "engine/files/inotify_kind.h"
#include "engine/mounts/bare_mount.h"
#include "image/tmpfs.pb.h"

namespace martlet::engine {
namespace {

// Each takes a descriptor over there, and hashes of a piece here.
constexpr size_t kMostFiles = 512;
constexpr uint64_t kSmallestFile = 64u << 10;
constexpr uint64_t kBlock = 512;  // of st_blocks

uint64_t capacity_of(const Fd& mount) {
  struct statvfs system{};
  if (::fstatvfs(mount.get(), &system) != 0 || system.f_blocks == 0)
    return std::numeric_limits<uint64_t>::max();
  return uint64_t{system.f_blocks} * system.f_frsize;
}

image::Tmpfs head_of(uint32_t number, const std::string& point) {
  image::Tmpfs head;
  head.set_mount(point);
  head.set_staged(number);
  return head;
}

Result<void> put_size(image::Sink& sink, uint32_t number, const std::string& point, uint64_t size) {
  image::Tmpfs head = head_of(number, point);
  head.set_staged_size(size);
  return image::put_message(sink, image::RecordType::kTmpfs, head);
}

}  // namespace

TmpfsRounds::TmpfsRounds(HostPid root, const std::string& first_mounts)
    : root_(root), first_mounts_(parse_mounts(first_mounts)) {}

// Only what is as it was before the program began is there on the other side before the capture.
// And nobody is to see that files are read.
std::vector<TmpfsMount> TmpfsRounds::mounts_to_send() const {
  std::vector<TmpfsMount> mounts;
  auto own = open_own_tmpfs(root_, MountViews(root_), {});
  if (!own) return mounts;  // the capture says why
  const std::set<dev_t> watched = devices_watched_for_reads(root_);
  for (TmpfsMount& each : *own) {
    const Mount* first = find_same(first_mounts_, each.mount);
    if (first != nullptr && first->attributes == each.mount.attributes &&
        first->system == each.mount.system && !watched.contains(each.mount.device))
      mounts.push_back(std::move(each));
  }
  return mounts;
}

void TmpfsRounds::find_files(const TmpfsMount& mount, std::vector<Found>& files) {
  if (auto top = open_directory(mount.root, "")) find_files(mount, *top, "", files);
}

// What goes meanwhile is passed over.
void TmpfsRounds::find_files(const TmpfsMount& mount, const Fd& directory, const std::string& path,
                             std::vector<Found>& files) {
  for (const std::string& name : list_names(directory).value_or(std::vector<std::string>{})) {
    struct stat status{};
    if (::fstatat(directory.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    const std::string inside = join(path, name);
    const uint64_t bytes = static_cast<uint64_t>(status.st_blocks) * kBlock;
    if (S_ISREG(status.st_mode) && bytes >= kSmallestFile)
      files.push_back({{status.st_dev, status.st_ino}, inside, bytes});
    if (!S_ISDIR(status.st_mode)) continue;
    if (auto below = open_directory(mount.root, inside)) find_files(mount, *below, inside, files);
  }
}

Result<void> TmpfsRounds::keep(image::Sink& sink, const std::vector<TmpfsMount>& mounts) {
  if (objects_.empty()) return {};
  std::map<Identity, Object> kept;
  image::Tmpfs message;
  for (const TmpfsMount& mount : mounts) {
    std::vector<Found> files;
    find_files(mount, files);
    for (const Found& file : files) {
      auto known = objects_.find(file.identity);
      if (known == objects_.end() || !known->second.is_in(mount.mount)) continue;
      known->second.path = file.path;
      message.add_kept(known->second.number);
      kept.insert(objects_.extract(known));
    }
  }
  objects_ = std::move(kept);
  return image::put_message(sink, image::RecordType::kTmpfs, message);
}

void TmpfsRounds::add_files(const std::vector<TmpfsMount>& mounts) {
  for (const TmpfsMount& mount : mounts) {
    std::vector<Found> files;
    find_files(mount, files);
    std::ranges::sort(files, std::greater(), &Found::bytes);
    for (const Found& file : files) {
      if (objects_.size() >= kMostFiles) return;
      auto [place, is_new] = objects_.try_emplace(file.identity);
      if (!is_new) continue;
      place->second.number = next_number_++;
      place->second.mount = mount.mount;
      place->second.path = file.path;
    }
  }
}

Fd TmpfsRounds::open(const TmpfsMount& mount, const Identity& identity, const Object& object) {
  auto file = open_tmpfs_file(mount.root, object.path);
  struct stat status{};
  if (!file || ::fstat(file->get(), &status) != 0 || !S_ISREG(status.st_mode) ||
      Identity{status.st_dev, status.st_ino} != identity)
    return {};
  return std::move(*file);
}

Result<uint64_t> TmpfsRounds::send(image::Sink& sink) {
  const std::vector<TmpfsMount> mounts = mounts_to_send();
  TRY(keep(sink, mounts));
  add_files(mounts);
  uint64_t total = 0;
  for (const TmpfsMount& mount : mounts)
    total += TRY_IN(send_files(sink, mount), "tmpfs " + mount.mount.point);
  return total;
}

Result<uint64_t> TmpfsRounds::send_files(image::Sink& sink, const TmpfsMount& mount) {
  uint64_t total = 0;
  uint64_t free = capacity_of(mount.root);
  for (const auto& [identity, object] : objects_)
    if (object.is_in(mount.mount)) free -= std::min(free, object.bytes);
  for (auto& [identity, object] : objects_) {
    if (!object.is_in(mount.mount)) continue;
    Fd file = open(mount, identity, object);
    if (file.valid()) total += TRY_IN(send_file(sink, object, file, free), object.path);
  }
  return total;
}

// Files that come one after the other need not have been there together, and the other side has no
// more room than this one.
Result<uint64_t> TmpfsRounds::send_file(image::Sink& sink, Object& object, const Fd& file,
                                        uint64_t& free) {
  auto reader = TRY(ContentReader::open(file.get()));
  const uint64_t bytes = total_size(TRY(reader.data()));
  if (bytes > object.bytes && bytes - object.bytes > free) return 0;
  free = free + object.bytes - bytes;
  object.bytes = bytes;
  return put_changes(sink, object, reader);
}

Result<uint64_t> TmpfsRounds::put_changes(image::Sink& sink, Object& object,
                                          ContentReader& reader) {
  TRY(put_size(sink, object.number, object.mount.point, reader.size()));
  image::Tmpfs head = head_of(object.number, object.mount.point);
  auto put = [&](uint64_t at, std::span<const std::byte> pages) {
    head.set_hole(0);
    head.set_content_offset(at);
    const std::string bytes = head.SerializeAsString();
    return sink.put(image::RecordType::kTmpfs, std::as_bytes(std::span(bytes)), pages);
  };
  auto put_hole = [&](sys::Range range) {
    head.set_content_offset(range.start);
    head.set_hole(range.size());
    return image::put_message(sink, image::RecordType::kTmpfs, head);
  };
  return object.sent.put_changes(reader, put, put_hole);
}

Result<SentContent::Outlook> TmpfsRounds::outlook(const TmpfsMount& mount, const Identity& identity,
                                                  const Object& object) {
  Fd file = open(mount, identity, object);
  if (!file.valid()) return fail(Code::kNotFound, "the file is gone");
  auto reader = TRY(ContentReader::open(file.get()));
  return object.sent.outlook(reader);
}

SentContent::Outlook TmpfsRounds::outlook() const {
  SentContent::Outlook all;
  const std::vector<TmpfsMount> mounts = mounts_to_send();
  for (const auto& [identity, object] : objects_) {
    auto mount = std::ranges::find_if(
        mounts, [&](const TmpfsMount& each) { return object.is_in(each.mount); });
    if (mount == mounts.end()) continue;
    auto one = outlook(*mount, identity, object);
    if (!one) continue;  // it is gone
    all.changed_bytes += one->changed_bytes;
    all.seconds += one->seconds;
  }
  return all;
}

Result<void> TmpfsRounds::settle(image::Sink& sink, const std::vector<TmpfsMount>& mounts) {
  TRY(keep(sink, mounts));
  for (const TmpfsMount& mount : mounts)
    for (const auto& [identity, object] : objects_) {
      if (!object.is_in(mount.mount)) continue;
      Fd file = open(mount, identity, object);
      struct stat status{};
      if (!file.valid() || ::fstat(file.get(), &status) != 0) continue;
      TRY(put_size(sink, object.number, object.mount.point, static_cast<uint64_t>(status.st_size)));
    }
  return {};
}

uint32_t TmpfsRounds::number_of(const Mount& mount, const struct stat& status) const {
  auto known = objects_.find({status.st_dev, status.st_ino});
  return known == objects_.end() || !known->second.is_in(mount) ? 0 : known->second.number;
}

Result<void> TmpfsRounds::put_changes(image::Sink& sink, uint32_t number, const Fd& file) {
  auto object = std::ranges::find_if(
      objects_, [&](const auto& known) { return known.second.number == number; });
  auto reader = TRY(ContentReader::open(file.get()));
  TRY(put_changes(sink, object->second, reader));
  return {};
}

}  // namespace martlet::engine
