#include "sys/user_namespace.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/nsfs.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <vector>

#include "sys/descriptor_passing.h"
#include "sys/outliving.h"
#include "sys/procfs.h"

namespace martlet::sys {
namespace {

constexpr unsigned kDeadlineSeconds = 30;

Result<Fd> related(const Fd& name_space, unsigned long relation, const char* what) {
  Fd found(::ioctl(name_space.get(), relation));
  if (!found.valid()) return fail_errno(what);
  ::fcntl(found.get(), F_SETFD, FD_CLOEXEC);
  return found;
}

Result<void> enter(const Fd& name_space) {
  if (!name_space.valid() || ::setns(name_space.get(), CLONE_NEWUSER) == 0) return {};
  return fail_errno("enter a user namespace");
}

// Keeps its capabilities, and its files of /proc within its reach.
Result<void> become(uint32_t user, uint32_t group) {
  if (::prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) != 0)
    return fail_errno("set secure bits");
  // Those of the C library ask all threads of this process's parent.
  if (::syscall(SYS_setresgid, group, group, group) != 0)
    return fail_errno(fmt::format("become group {}", group));
  if (::syscall(SYS_setresuid, user, user, user) != 0)
    return fail_errno(fmt::format("become user {}", user));
  if (::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) return fail_errno("set dumpable");
  return {};
}

// The first process of a new user namespace, which only waits for its end.
class Inhabitant {
 public:
  static Result<Inhabitant> make() {
    auto pid = static_cast<pid_t>(::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
    if (pid < 0) return fail_errno("make a user namespace");
    if (pid == 0) {
      ::alarm(kDeadlineSeconds);
      for (;;) ::pause();
    }
    return Inhabitant(pid);
  }
  Inhabitant(Inhabitant&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  Inhabitant& operator=(Inhabitant&&) = delete;
  ~Inhabitant() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  std::string path(std::string_view rest) const { return proc_path(HostPid(pid_), rest); }

 private:
  explicit Inhabitant(pid_t pid) : pid_(pid) {}
  pid_t pid_;
};

Result<void> write_maps(const Inhabitant& inside, const UserMaps& maps) {
  if (maps.denies_setgroups) TRY(write_file(inside.path("setgroups"), "deny"));
  if (!maps.users.empty()) TRY(write_file(inside.path("uid_map"), maps.users));
  if (!maps.groups.empty()) TRY(write_file(inside.path("gid_map"), maps.groups));
  return {};
}

Result<std::string> send_made(const std::string& path, const Fd& socket) {
  Fd made = TRY(open_file(path, O_RDONLY));
  const std::array<std::byte, 1> payload{};
  const std::array<int, 1> descriptors = {made.get()};
  TRY(send_descriptors(socket, payload, descriptors));
  return std::string();
}

// Who writes the maps must be in the parent of the new namespace.
Result<std::string> make_and_send(const Fd& parent, uint32_t owner, uint32_t group,
                                  const UserMaps& maps, const Fd& socket) {
  TRY(enter(parent));
  TRY(become(owner, group));
  Inhabitant inhabitant = TRY(Inhabitant::make());
  TRY(write_maps(inhabitant, maps));
  return send_made(inhabitant.path("ns/user"), socket);
}

Result<std::string> make_network_and_send(const Fd& user_namespace, const Fd& socket) {
  TRY(enter(user_namespace));
  if (::unshare(CLONE_NEWNET) != 0) return fail_errno("make a network namespace");
  return send_made("/proc/self/ns/net", socket);
}

// What a child makes in the user namespace, and sends through the socket that it gets.
Result<Fd> made_by_child(const Fd& user_namespace,
                         const std::function<Result<std::string>(const Fd&)>& make) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return fail_errno("create a socket pair");
  const Fd ours(ends[0]);
  const Fd theirs(ends[1]);
  std::vector<int> used = {theirs.get()};
  if (user_namespace.valid()) used.push_back(user_namespace.get());
  TRY(run_outliving(used, [&] { return make(theirs); }));
  Fd made;
  std::array<std::byte, 1> payload{};
  TRY(receive_descriptor(ours, payload, made));
  return made;
}

}  // namespace

Result<Fd> parent_of_namespace(const Fd& name_space) {
  return related(name_space, NS_GET_PARENT, "find the namespace above");
}

Result<Fd> user_namespace_of(const Fd& name_space) {
  return related(name_space, NS_GET_USERNS, "find the user namespace of a namespace");
}

Result<uint32_t> owner_of_user_namespace(const Fd& name_space) {
  uid_t owner = 0;
  if (::ioctl(name_space.get(), NS_GET_OWNER_UID, &owner) != 0)
    return fail_errno("find the owner of a user namespace");
  return owner;
}

Result<UserMaps> read_user_maps(const Fd& name_space) {
  const std::array<int, 1> used = {name_space.get()};
  std::string text = TRY(run_outliving(used, [&]() -> Result<std::string> {
    TRY(enter(name_space));
    return TRY(read_file("/proc/self/uid_map")) + '\0' + TRY(read_file("/proc/self/gid_map")) +
           '\0' + TRY(read_file("/proc/self/setgroups"));
  }));
  const size_t groups = text.find('\0') + 1;
  const size_t setgroups = text.find('\0', groups) + 1;
  return UserMaps{text.substr(0, groups - 1), text.substr(groups, setgroups - 1 - groups),
                  text.substr(setgroups).starts_with("deny")};
}

Result<Fd> make_user_namespace(const Fd& parent, uint32_t owner, uint32_t group,
                               const UserMaps& maps) {
  return made_by_child(
      parent, [&](const Fd& socket) { return make_and_send(parent, owner, group, maps, socket); });
}

Result<Fd> make_network_namespace(const Fd& user_namespace) {
  return made_by_child(user_namespace, [&](const Fd& socket) {
    return make_network_and_send(user_namespace, socket);
  });
}

}  // namespace martlet::sys
