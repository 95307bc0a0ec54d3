#include "migrate/file_node.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <map>
#include <memory>

#include "migrate/overlay_notes.h"

namespace martlet::migrate {

namespace {

constexpr mode_t kPermissions = 07777;

// The way to calls that take a path for a descriptor that may be O_PATH. It leads to a symbolic
// link itself if that is what was opened.
std::string way_to(const Fd& file) {
  return "/proc/self/fd/" + std::to_string(file.get());
}

// Of the namespaces trusted, security and user, and POSIX access control lists. What is not carried
// is as if it were not there.
bool is_carried(std::string_view name) {
  return (!name.starts_with("system.") || name.starts_with("system.posix_acl_")) &&
         !is_overlay_note(name);
}

Result<std::string> read_xattr(const std::string& file, const std::string& name) {
  for (std::string value(256, '\0');;) {
    ssize_t length = ::getxattr(file.c_str(), name.c_str(), value.data(), value.size());
    if (length < 0 && errno == ERANGE && value.size() < XATTR_SIZE_MAX) {
      value.resize(XATTR_SIZE_MAX);
      continue;
    }
    if (length < 0) return fail_errno("read attribute " + name);
    value.resize(static_cast<size_t>(length));
    return value;
  }
}

using Xattrs = std::map<std::string, std::string, std::less<>>;

Result<Xattrs> read_xattrs(const std::string& file) {
  std::string names(1024, '\0');
  ssize_t length = ::listxattr(file.c_str(), names.data(), names.size());
  if (length < 0 && errno == ERANGE) {
    names.resize(XATTR_LIST_MAX);
    length = ::listxattr(file.c_str(), names.data(), names.size());
  }
  if (length < 0 && errno == EOPNOTSUPP) return Xattrs{};
  if (length < 0) return fail_errno("list attributes");
  names.resize(static_cast<size_t>(length));
  Xattrs attributes;
  for (size_t at = 0; at < names.size();) {
    std::string name = names.c_str() + at;
    at += name.size() + 1;
    if (!is_carried(name)) continue;
    auto value = read_xattr(file, name);
    if (!value && value.error().error_number() == ENODATA) continue;  // removed meanwhile
    attributes.emplace(std::move(name), TRY(std::move(value)));
  }
  return attributes;
}

Result<void> apply_xattrs(const std::string& file, const protocol::FileAttributes& wanted) {
  Xattrs left = TRY(read_xattrs(file));
  for (const auto& xattr : wanted.xattrs()) {
    if (!is_carried(xattr.name()))
      return fail(Code::kBadImage, "attribute " + xattr.name() + " is not carried");
    auto existing = left.find(xattr.name());
    bool same = existing != left.end() && existing->second == xattr.value();
    if (existing != left.end()) left.erase(existing);
    if (same) continue;
    if (::setxattr(file.c_str(), xattr.name().c_str(), xattr.value().data(), xattr.value().size(),
                   0) != 0)
      return fail_errno("set attribute " + xattr.name());
  }
  for (const auto& [name, value] : left)
    if (::removexattr(file.c_str(), name.c_str()) != 0 && errno != ENODATA)
      return fail_errno("remove attribute " + name);
  return {};
}

}  // namespace

Result<Fd> open_beneath(const Fd& root, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC | O_NOFOLLOW);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const char* name = path.empty() ? "." : path.c_str();
  for (;;) {
    auto fd = static_cast<int>(::syscall(SYS_openat2, root.get(), name, &how, sizeof how));
    if (fd >= 0) return Fd(fd);
    if (errno == EINTR || errno == EAGAIN) continue;  // something on the way was just renamed
    if (errno == ENOTDIR || errno == ELOOP) return fail(Code::kNotFound, "nothing is at " + path);
    return fail_errno("open " + path);
  }
}

Result<struct stat> status_beneath(const Fd& root, const std::string& path) {
  Fd file = TRY(open_beneath(root, path, O_PATH));
  struct stat status;
  if (::fstat(file.get(), &status) != 0) return fail_errno("stat of " + path);
  return status;
}

Result<std::vector<std::string>> read_directory(const Fd& directory) {
  Fd own(::openat(directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!own.valid()) return fail_errno("open a directory");
  std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(own.get()), &::closedir);
  if (!entries) return fail_errno("read a directory");
  (void)own.release();
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(entries.get())) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  if (errno != 0 && errno != ENOENT) return fail_errno("read a directory");
  return names;
}

Result<void> remove_entry(const Fd& directory, const std::string& name) {
  if (::unlinkat(directory.get(), name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return fail_errno("remove " + name);
  Fd inner(
      ::openat(directory.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!inner.valid()) return fail_errno("open " + name);
  for (const std::string& below : TRY(read_directory(inner))) TRY(remove_entry(inner, below));
  if (::unlinkat(directory.get(), name.c_str(), AT_REMOVEDIR) != 0)
    return fail_errno("remove " + name);
  return {};
}

bool is_whiteout(const struct stat& status) {
  return S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0);
}

Result<protocol::FileAttributes> read_attributes(const Fd& file) {
  struct stat status;
  if (::fstat(file.get(), &status) != 0) return fail_errno("stat");
  protocol::FileAttributes attributes;
  attributes.set_mode(status.st_mode);
  attributes.set_uid(status.st_uid);
  attributes.set_gid(status.st_gid);
  attributes.set_mtime_s(status.st_mtim.tv_sec);
  attributes.set_mtime_ns(static_cast<uint32_t>(status.st_mtim.tv_nsec));
  if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) attributes.set_rdev(status.st_rdev);
  if (S_ISLNK(status.st_mode)) {
    std::string target(PATH_MAX, '\0');
    ssize_t length = ::readlinkat(file.get(), "", target.data(), target.size());
    if (length < 0) return fail_errno("read a link");
    target.resize(static_cast<size_t>(length));
    attributes.set_target(std::move(target));
  }
  for (auto& [name, value] : TRY(read_xattrs(way_to(file)))) {
    auto* xattr = attributes.add_xattrs();
    xattr->set_name(name);
    xattr->set_value(std::move(value));
  }
  return attributes;
}

// A change of owner takes the set-user-id bits and capabilities away, one of the mode changes the
// access control list: hence this order.
Result<void> apply_attributes(const Fd& file, const protocol::FileAttributes& wanted) {
  const std::string way = way_to(file);
  struct stat status;
  if (::fstat(file.get(), &status) != 0) return fail_errno("stat");
  bool owned = status.st_uid == wanted.uid() && status.st_gid == wanted.gid();
  if (!owned && ::fchownat(file.get(), "", wanted.uid(), wanted.gid(), AT_EMPTY_PATH) != 0)
    return fail_errno("change owner");
  if (!S_ISLNK(status.st_mode) && ::chmod(way.c_str(), wanted.mode() & kPermissions) != 0)
    return fail_errno("change mode");
  TRY(apply_xattrs(way, wanted));
  const timespec times[] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
                            {.tv_sec = wanted.mtime_s(), .tv_nsec = wanted.mtime_ns()}};
  if (::utimensat(AT_FDCWD, way.c_str(), times, 0) != 0) return fail_errno("set times");
  return {};
}

}  // namespace martlet::migrate
