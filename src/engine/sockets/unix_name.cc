#include "engine/sockets/unix_name.h"

#include <linux/securebits.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <thread>

#include "base/fd.h"
#include "sys/socket_address.h"

namespace martlet::engine {
namespace {

constexpr size_t kNameOffset = offsetof(sockaddr_un, sun_path);

Result<void> enter_root(const std::string& root, const std::string& directory) {
  if (::unshare(CLONE_FS) != 0) return fail_errno("separate a thread's root directory");
  if (::chroot(root.c_str()) != 0) return fail_errno("enter root directory " + root);
  const char* inside = directory.empty() ? "/" : directory.c_str();
  if (::chdir(inside) != 0) return fail_errno(std::string("enter directory ") + inside);
  return {};
}

Result<void> run_in_root(const std::string& root, const std::string& directory, const Work& work) {
  Result<void> outcome;
  std::thread([&] {
    outcome = enter_root(root, directory);
    if (outcome) outcome = work();
  }).join();
  return outcome;
}

// Of the calling thread alone, which is why the C library's functions are not used.
Result<void> become(uid_t uid, gid_t gid) {
  if (::prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) != 0)
    return fail_errno("keep the capabilities of a thread");
  if (::syscall(SYS_setresgid, -1, gid, -1) != 0 || ::syscall(SYS_setresuid, -1, uid, -1) != 0)
    return fail_errno("change the user of a thread");
  return {};
}

Result<void> make_parents(const std::string& name) {
  auto parent = std::filesystem::path(path_of(name)).parent_path();
  if (parent.empty() || parent == "/") return {};
  std::error_code error;
  std::filesystem::create_directories(parent, error);
  if (error) return fail(Code::kSystem, "create directory " + parent.string());
  return {};
}

// A socket of any type that is bound to the file answers something else.
bool is_abandoned(const std::string& name) {
  Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(name.data()),
                   static_cast<socklen_t>(name.size())) != 0 &&
         errno == ECONNREFUSED;
}

Result<void> remove_abandoned(const std::string& name) {
  std::string path = path_of(name);
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode))
    return fail(Code::kAlreadyExists, path + " exists and is not a socket");
  if (!is_abandoned(name)) return fail(Code::kAlreadyExists, "a process uses socket " + path);
  if (::unlink(path.c_str()) != 0) return fail_errno("remove abandoned socket " + path);
  return {};
}

}  // namespace

std::string named_or_empty(const std::string& address) {
  return address.size() > kNameOffset ? address : std::string();
}

bool is_abstract(const std::string& address) {
  return address.size() > kNameOffset && address[kNameOffset] == '\0';
}

std::string path_of(const std::string& address) {
  if (address.size() <= kNameOffset || is_abstract(address)) return {};
  return address.substr(kNameOffset).c_str();
}

Result<void> run_in_root_of(const MountViews& views, const image::UnixSocket& socket,
                            const Work& work) {
  Fd root = TRY(views.root_of(socket.mount_namespace()));
  return run_in_root("/proc/self/fd/" + std::to_string(root.get()), socket.directory(), work);
}

Result<void> run_in_directory(const Fd& directory, const Work& work) {
  Result<void> outcome;
  std::thread([&] {
    if (::unshare(CLONE_FS) != 0 || ::fchdir(directory.get()) != 0)
      outcome = fail_errno("enter a directory");
    else
      outcome = work();
  }).join();
  return outcome;
}

Result<EmptyRoot> EmptyRoot::make(const std::vector<std::string>& names) {
  std::string path = std::filesystem::temp_directory_path() / "martlet-names-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) return fail_errno("create directory " + path);
  EmptyRoot made(std::move(path));
  TRY(made.run([&]() -> Result<void> {
    for (const std::string& name : names) TRY(make_parents(name));
    return {};
  }));
  return made;
}

Result<void> EmptyRoot::run(const Work& work) const {
  return run_in_root(path_, "", work);
}

EmptyRoot::~EmptyRoot() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

Result<void> run_in_empty_root(const std::vector<std::string>& names, const Work& work) {
  auto root = TRY(EmptyRoot::make(names));
  return root.run(work);
}

Result<void> run_with_credentials(const image::UnixSocket& socket, const Work& work) {
  uid_t uid = socket.credentials_uid();
  gid_t gid = socket.credentials_gid();
  if (!socket.has_credentials() || (uid == ::geteuid() && gid == ::getegid())) return work();
  Result<void> outcome;
  std::thread([&] {
    outcome = become(uid, gid);
    if (outcome) outcome = work();
  }).join();
  return outcome;
}

Result<void> bind_with_file(int fd, const image::UnixSocket& socket) {
  std::string path = path_of(socket.name());
  TRY(remove_abandoned(socket.name()));
  TRY(sys::bind_address(fd, socket.name()));
  if (::lchown(path.c_str(), socket.file_uid(), socket.file_gid()) != 0)
    return fail_errno("set the owner of socket " + path);
  if (::chmod(path.c_str(), socket.mode() & 07777) != 0)
    return fail_errno("set the mode of socket " + path);
  return {};
}

}  // namespace martlet::engine
