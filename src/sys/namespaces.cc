#include "sys/namespaces.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <thread>

namespace martlet::sys {
namespace {

struct Facts {
  const char* name;
  int flag;
};

Facts facts_of(NamespaceKind kind) {
  switch (kind) {
    case NamespaceKind::kNetwork: return {"net", CLONE_NEWNET};
    case NamespaceKind::kMount: return {"mnt", CLONE_NEWNS};
    case NamespaceKind::kIpc: return {"ipc", CLONE_NEWIPC};
    case NamespaceKind::kUts: return {"uts", CLONE_NEWUTS};
  }
  return {"", 0};
}

Result<void> enter(const Fd& name_space, NamespaceKind kind) {
  // A thread that shares its root and working directory with others cannot change mount namespace.
  if (kind == NamespaceKind::kMount && unshare(CLONE_FS) != 0) return fail_errno("unshare");
  if (setns(name_space.get(), facts_of(kind).flag) != 0)
    return fail_errno(fmt::format("entering a {} namespace", facts_of(kind).name));
  return {};
}

}  // namespace

Result<Fd> open_namespace(HostPid process, NamespaceKind kind) {
  return open_file(fmt::format("/proc/{}/ns/{}", process.value, facts_of(kind).name), O_RDONLY);
}

Result<ino_t> number_of_namespace(const Fd& name_space) {
  struct stat status{};
  if (::fstat(name_space.get(), &status) != 0) return fail_errno("stat a namespace");
  return status.st_ino;
}

Result<Fd> new_namespace(NamespaceKind kind) {
  Result<Fd> made;
  std::thread thread([&]() {
    made = unshare(facts_of(kind).flag) == 0
               ? open_file(fmt::format("/proc/thread-self/ns/{}", facts_of(kind).name), O_RDONLY)
               : fail_errno(fmt::format("a new {} namespace", facts_of(kind).name));
  });
  thread.join();
  return made;
}

Result<Fd> network_of_socket(int socket) {
  Fd found(::ioctl(socket, SIOCGSKNS));
  if (!found.valid()) return fail_errno("find the network namespace of a socket");
  ::fcntl(found.get(), F_SETFD, FD_CLOEXEC);
  return found;
}

// Linux before 5.14 tells no cookie.
Result<uint64_t> network_number_of_socket(int socket) {
  uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (::getsockopt(socket, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) == 0) return cookie;
  return number_of_namespace(TRY(network_of_socket(socket)));
}

Result<void> run_inside(const Fd& name_space, NamespaceKind kind,
                        const std::function<Result<void>()>& work) {
  Result<void> result;
  std::thread thread([&] {
    result = enter(name_space, kind);
    if (result) result = work();
  });
  thread.join();
  return result;
}

}  // namespace martlet::sys
