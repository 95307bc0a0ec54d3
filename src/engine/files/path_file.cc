#include "engine/files/path_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "engine/files/descriptions.h"
#include "engine/files/unlinked_file.h"
#include "engine/files/watched_object.h"
#include "sys/namespaces.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

// Whether a description with these flags has made its file (O_TMPFILE).
bool is_maker(int flags) {
  return (flags & O_TMPFILE) == O_TMPFILE;
}

bool is_device(uint32_t mode) {
  return S_ISCHR(mode) || S_ISBLK(mode);
}

// A device is the same wherever its node is.
bool is_same(const struct stat& a, const struct stat& b) {
  if (same_file(a, b)) return true;
  return is_device(a.st_mode) && (a.st_mode & S_IFMT) == (b.st_mode & S_IFMT) &&
         a.st_rdev == b.st_rdev;
}

// The mount namespaces of the group and the number of one of them.
struct Place {
  const MountViews& views;
  uint32_t number;
};

bool leads_to(const Place& place, const std::string& path, const struct stat& wanted) {
  auto fd = place.views.open(place.number, path, O_PATH | O_NOFOLLOW);
  struct stat found{};
  return fd && ::fstat(fd->get(), &found) == 0 && is_same(found, wanted);
}

std::optional<std::string> external_name(const CaptureContext& context, const OpenFile& file) {
  for (const ExternalFile& external : context.external_files()) {
    struct stat status{};
    if (::stat(external.path.c_str(), &status) == 0 && same_file(status, file.status))
      return external.name;
  }
  return std::nullopt;
}

std::string without_deleted_mark(std::string link) {
  if (link.ends_with(sys::kDeletedMark)) link.resize(link.size() - sys::kDeletedMark.size());
  return link;
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// Another name of a file whose first name was removed, if it is in the same directory.
std::optional<std::string> other_name(const Place& place, const OpenFile& file) {
  std::string directory =
      std::filesystem::path(without_deleted_mark(file.link)).parent_path().string();
  auto fd = place.views.open(place.number, directory, O_RDONLY | O_DIRECTORY);
  if (!fd) return std::nullopt;
  std::unique_ptr<DIR, CloseDirectory> entries(::fdopendir(fd->get()));
  if (!entries) return std::nullopt;
  fd->release();  // the stream closes it
  while (const dirent* entry = ::readdir(entries.get())) {
    std::string path = directory + "/" + entry->d_name;
    if (leads_to(place, path, file.status)) return path;
  }
  return std::nullopt;
}

// A name of the file in another directory, if not too many names have to be looked at.
std::optional<std::string> name_elsewhere(HostPid root, const Place& place, const OpenFile& file) {
  if (place.number != 0) return std::nullopt;
  auto handle = sys::naming_handle_of(file.fd);
  auto objects = WatchedObjects::in_mounts_of(root);
  if (!handle || !objects) return std::nullopt;
  std::filesystem::path old_path = without_deleted_mark(file.link);
  auto path = objects->search_around(old_path.parent_path().string(), *handle);
  if (!path || !leads_to(place, *path, file.status)) return std::nullopt;
  return *path;
}

void fill_identity(const struct stat& status, image::RegularFile& out) {
  image::FileIdentity& identity = *out.mutable_identity();
  identity.set_size(static_cast<uint64_t>(status.st_size));
  identity.set_mtime_ns(status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec);
  identity.set_mode(status.st_mode);
  if (is_device(status.st_mode)) identity.set_rdev(status.st_rdev);
  out.set_uid(status.st_uid);
  out.set_gid(status.st_gid);
  out.set_device(status.st_dev);
  out.set_inode(status.st_ino);
}

// A removed directory may report a link count of 1 on an overlay.
bool has_no_name(const OpenFile& file) {
  return file.status.st_nlink == 0 ||
         (S_ISDIR(file.status.st_mode) && file.link.ends_with(sys::kDeletedMark));
}

Result<void> capture_unlinked(CaptureContext& context, const OpenFile& file,
                              image::RegularFile& out) {
  out.set_unlinked(true);
  out.mutable_identity()->set_path(without_deleted_mark(file.link));
  for (const OpenFile& open : context.files())
    if (is_maker(open.flags) && same_file(open.status, file.status))
      out.set_made_with(static_cast<uint32_t>(open.flags));
  if (!S_ISREG(file.status.st_mode) || !is_first_of_its_file(context, file)) return {};
  return put_content(context, out, file.fd);
}

// What /proc/sys/net leads to depends on who looks: it shows the network of the looking thread.
Result<void> look_from_network_of(HostPid process, const std::string& path,
                                  const std::function<Result<void>()>& look) {
  if (!path.starts_with("/proc/sys/net/")) return look();
  constexpr auto kNetwork = sys::NamespaceKind::kNetwork;
  return sys::run_inside(TRY(sys::open_namespace(process, kNetwork)), kNetwork, look);
}

const ExternalFile* find_external(const ApplyContext& context, const std::string& name) {
  const auto& files = context.external_files();
  auto found = std::ranges::find(files, name, &ExternalFile::name);
  return found == files.end() ? nullptr : &*found;
}

Result<Fd> find_file(const ApplyContext& context, const image::RegularFile& file) {
  if (file.external().empty()) {
    const std::string& path = file.identity().path();
    Fd found;
    TRY(look_from_network_of(context.root(), path, [&]() -> Result<void> {
      found =
          TRY(context.mounts().open(file.identity().mount_namespace(), path, O_PATH | O_NOFOLLOW));
      return {};
    }));
    return found;
  }
  const ExternalFile* external = find_external(context, file.external());
  if (!external) return fail(Code::kNotFound, "this host supplies no file " + file.external());
  return open_file(external->path, O_PATH);
}

// The file was found with O_PATH, which opens nothing, so that a wrong device or FIFO in its place
// is not touched.
Result<void> check_identity(int fd, const image::RegularFile& file) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return fail_errno("stat");
  const image::FileIdentity& identity = file.identity();
  if ((status.st_mode & S_IFMT) != (identity.mode() & S_IFMT))
    return fail(Code::kUnsupported, "is a file of another type here");
  if (is_device(identity.mode()) && status.st_rdev != identity.rdev())
    return fail(Code::kUnsupported, "is another device here");
  return {};
}

Result<Fd> open_found(Fd found, uint32_t mode, int flags) {
  if (flags & O_PATH) return found;
  if (S_ISLNK(mode)) return fail(Code::kBadImage, "a symbolic link cannot be open for access");
  // An access mode and what open(2) keeps of its other flags. O_TMPFILE would make a new file.
  int wanted = flags & (O_ACCMODE | kStatusFlags | O_SYNC | O_DSYNC | O_LARGEFILE);
  if (S_ISDIR(mode)) wanted |= O_DIRECTORY;
  if (is_device(mode)) wanted |= O_NOCTTY;
  return reopen(found.get(), wanted);
}

}  // namespace

Result<image::RegularFile> capture_path_file(CaptureContext& context, const OpenFile& file) {
  image::RegularFile out;
  fill_identity(file.status, out);
  out.mutable_identity()->set_path(file.link);
  if (auto external = external_name(context, file)) {
    out.set_external(*external);
    return out;
  }
  const Place place{context.mounts(),
                    context.mounts().number_of(fmt::format("/proc/self/fd/{}", file.fd))};
  out.mutable_identity()->set_mount_namespace(place.number);
  bool is_there = false;
  TRY(look_from_network_of(context.root(), file.link, [&]() -> Result<void> {
    is_there = leads_to(place, file.link, file.status);
    return {};
  }));
  if (is_there) return out;
  if (has_no_name(file)) {
    TRY(capture_unlinked(context, file, out));
    return out;
  }
  auto name = other_name(place, file);
  if (!name) name = name_elsewhere(context.root(), place, file);
  if (!name)
    return fail(Code::kUnsupported,
                "its path does not lead to it inside the container, and no other name was found");
  out.mutable_identity()->set_path(*name);
  return out;
}

Result<Fd> open_path_file(ApplyContext& context, const image::RegularFile& file, int flags) {
  uint32_t mode = file.identity().mode();
  if (file.unlinked()) {
    int base = TRY(unlinked_file(context, file));
    if (flags & O_PATH) return reopen(base, O_PATH);
    if (is_maker(flags)) {
      Fd maker(::fcntl(base, F_DUPFD_CLOEXEC, 0));
      if (!maker.valid()) return fail_errno("duplicate");
      return maker;
    }
    return open_found(TRY(reopen(base, O_PATH)), mode, flags);
  }
  Fd found = TRY(find_file(context, file));
  TRY_IN(check_identity(found.get(), file), file.identity().path());
  return in_context(open_found(std::move(found), mode, flags), file.identity().path());
}

}  // namespace martlet::engine
