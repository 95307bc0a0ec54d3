#include "engine/files/watched_object.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "engine/files/descriptions.h"
#include "engine/files/paths.h"

namespace martlet::engine {
namespace {

// A search through more names than this would keep the group frozen for too long.
constexpr size_t kMostNames = 20'000;

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

bool has_handle(int fd, const sys::FileHandle& handle) {
  auto found = sys::naming_handle_of(fd);
  return found && *found == handle;
}

// Opens a name of a directory, if it is on the same mount.
Fd open_on_mount(int directory, const char* name, int flags) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_NOFOLLOW | O_CLOEXEC);
  how.resolve = RESOLVE_NO_XDEV | RESOLVE_BENEATH;
  return Fd(static_cast<int>(::syscall(SYS_openat2, directory, name, &how, sizeof how)));
}

// Goes through the names below one mount point.
class NameSearch {
 public:
  explicit NameSearch(const sys::FileHandle& wanted) : wanted_(wanted) {}

  // The path below `directory`; empty if the object was not found.
  std::string below(int directory, const std::string& path) {
    std::unique_ptr<DIR, CloseDirectory> names(
        ::fdopendir(open_on_mount(directory, ".", O_RDONLY | O_DIRECTORY).release()));
    if (!names) return {};
    while (const dirent* entry = ::readdir(names.get())) {
      std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (++looked_at_ > kMostNames) return {};
      std::string found = visit(directory, name, path + "/" + name);
      if (!found.empty()) return found;
    }
    return {};
  }

 private:
  std::string visit(int directory, const std::string& name, const std::string& path) {
    Fd object = open_on_mount(directory, name.c_str(), O_PATH);
    struct stat status{};
    if (!object.valid() || ::fstat(object.get(), &status) != 0) return {};
    if (has_handle(object.get(), wanted_)) return path;
    return S_ISDIR(status.st_mode) ? below(object.get(), path) : std::string();
  }

  const sys::FileHandle& wanted_;
  size_t looked_at_ = 0;
};

}  // namespace

Result<WatchedObjects> WatchedObjects::in_mounts_of(HostPid root) {
  return WatchedObjects(root, TRY(read_mounts(root)));
}

Result<std::string> WatchedObjects::known_path(dev_t device, const sys::FileHandle& handle) const {
  for (const Mount& mount : mounts_) {
    if (mount.device != device) continue;
    auto path = open_and_ask(mount, handle);
    if (path || path.error().code() == Code::kGone) return path;
  }
  return fail(Code::kNotFound, "the kernel knows no path to it");
}

Result<std::string> WatchedObjects::search(dev_t device, const sys::FileHandle& handle) const {
  NameSearch search(handle);
  for (const Mount& mount : mounts_) {
    if (mount.device != device) continue;
    Fd point = TRY(open_below_root(root_, mount.point, O_PATH));
    std::string below = mount.point == "/" ? std::string() : mount.point;
    std::string path = search.below(point.get(), below);
    if (!path.empty()) return path;
  }
  return fail(Code::kNotFound, "no path to it was found");
}

Result<std::string> WatchedObjects::search_around(const std::string& directory,
                                                  const sys::FileHandle& handle) const {
  NameSearch search(handle);
  for (std::filesystem::path at = directory; !at.empty(); at = at.parent_path()) {
    bool is_root = at == at.root_path();
    if (auto start = open_below_root(root_, at.string(), O_PATH)) {  // it may be gone
      std::string path = search.below(start->get(), is_root ? std::string() : at.string());
      if (!path.empty()) return path;
    }
    if (is_root) break;
  }
  return fail(Code::kNotFound, "no path to it was found");
}

// The path is only believed if it leads to the object: a mount may cover it, and the kernel may
// know the object without a name.
Result<std::string> WatchedObjects::open_and_ask(const Mount& mount,
                                                 const sys::FileHandle& handle) const {
  Fd point = TRY(open_below_root(root_, mount.point, O_PATH));
  if (has_handle(point.get(), handle)) return mount.point;
  struct stat type{};
  if (::fstat(point.get(), &type) != 0) return fail_errno("stat " + mount.point);
  // To open a device may do something.
  if (!S_ISDIR(type.st_mode) && !S_ISREG(type.st_mode))
    return fail(Code::kNotFound, mount.point + " is a device");
  Fd opened = TRY(reopen(point.get(), O_RDONLY | O_NONBLOCK));
  auto object = sys::open_handle(opened.get(), handle, O_PATH);
  // A file system without handles says the same of all as others say of what was removed.
  if (!object) return fail(Code::kNotFound, object.error().cause());
  std::string path = TRY(sys::path_of(*object));
  struct stat wanted{}, there{};
  if (::fstat(object->get(), &wanted) != 0) return fail_errno("stat " + path);
  if (wanted.st_nlink == 0) return fail(Code::kGone, path + " was removed");
  Fd found = TRY(open_below_root(root_, path, O_PATH | O_NOFOLLOW));
  if (::fstat(found.get(), &there) != 0) return fail_errno("stat " + path);
  if (!same_file(wanted, there)) return fail(Code::kNotFound, path + " is something else");
  return path;
}

}  // namespace martlet::engine
