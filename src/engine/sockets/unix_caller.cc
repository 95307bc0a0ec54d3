#include "engine/sockets/unix_caller.h"

#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <array>
#include <cstddef>
#include <filesystem>

#include "engine/sockets/unix_name.h"
#include "engine/tasks/join_namespace.h"
#include "sys/pidfd.h"
#include "sys/socket_address.h"

namespace martlet::engine {
namespace {

int type_of_pair(const image::UnixSocket& as) {
  return static_cast<int>(as.type()) | SOCK_CLOEXEC;
}

// Puts the user's calls of a program between two changes of user. If one of them fails the rest is
// left out, and with it the task's restore.
class AsUser {
 public:
  AsUser(Program& program, const image::UnixSocket& as)
      : program_(program), changes_(as.credentials_uid() != 0 || as.credentials_gid() != 0) {
    if (!changes_) return;
    program.call("keep rights", SYS_prctl, {PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0});
    program.call("take group", SYS_setresgid, {kUnchanged, as.credentials_gid(), kUnchanged});
    program.call("take user", SYS_setresuid, {kUnchanged, as.credentials_uid(), kUnchanged});
  }
  ~AsUser() {
    if (!changes_) return;
    program_.call("leave user", SYS_setresuid, {kUnchanged, kRoot, kUnchanged});
    program_.call("leave group", SYS_setresgid, {kUnchanged, kRoot, kUnchanged});
    program_.call("tie rights to the user", SYS_prctl, {PR_SET_SECUREBITS, 0, 0, 0, 0});
  }
  AsUser(const AsUser&) = delete;
  AsUser& operator=(const AsUser&) = delete;

 private:
  static constexpr int kUnchanged = -1;
  static constexpr int kRoot = 0;
  Program& program_;
  bool changes_;
};

std::string parent_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent;
}

}  // namespace

Result<UnixTarget> UnixTarget::find(const std::string& address) {
  if (is_abstract(address)) return UnixTarget{address, Fd()};
  std::string path = path_of(address);
  if (::chmod(path.c_str(), 0777) != 0) return fail_errno("set the mode of socket " + path);
  const std::string parent = parent_of(path);
  if (::chmod(parent.c_str(), 0755) != 0) return fail_errno("set the mode of " + parent);
  return at(address);
}

Result<UnixTarget> UnixTarget::at(const std::string& address) {
  const std::string path = path_of(address);
  std::string seen(address, 0, offsetof(sockaddr_un, sun_path));
  seen.append(std::filesystem::path(path).filename());
  seen.push_back('\0');
  return UnixTarget{seen, TRY(open_file(parent_of(path), O_PATH | O_DIRECTORY))};
}

Result<UnixEnds> LocalUnixCaller::make_pair(const image::UnixSocket& as, uint32_t network) {
  int fds[2] = {-1, -1};
  auto make = [&]() -> Result<void> {
    if (::socketpair(AF_UNIX, type_of_pair(as), 0, fds) != 0)
      return fail_errno("create a pair of sockets");
    return {};
  };
  TRY(networks_.run_inside(network, [&] { return run_with_credentials(as, make); }));
  return UnixEnds{Fd(fds[0]), Fd(fds[1])};
}

Result<void> LocalUnixCaller::listen(const image::UnixSocket& as, int fd, int backlog) {
  return run_with_credentials(as, [&]() -> Result<void> {
    if (::listen(fd, backlog) != 0) return fail_errno("listen");
    return {};
  });
}

Result<void> LocalUnixCaller::connect(const image::UnixSocket& as, int fd,
                                      const UnixTarget& target) {
  auto connect = [&] { return sys::connect_address(fd, target.address); };
  if (!target.directory.valid()) return run_with_credentials(as, connect);
  return run_in_directory(target.directory, [&] { return run_with_credentials(as, connect); });
}

Result<Task*> TaskUnixCaller::task_for(const image::UnixSocket& as) {
  if (!as.has_credentials() || as.credentials_pid() <= 0) return nullptr;
  return task_of_(as.credentials_pid());
}

// The task is still in the root's.
Result<UnixEnds> TaskUnixCaller::make_pair(const image::UnixSocket& as, uint32_t network) {
  Task* task = TRY(task_for(as));
  if (task == nullptr) return local_.make_pair(as, network);
  if (network == 0) return make_pair_in(*task, as);
  constexpr const char* kWhat = "enter a network namespace";
  const Fd back = TRY(networks_.open(0));  // which the root's process leads to, who may be this one
  TRY(join_namespace(*task, TRY(networks_.open(network)), CLONE_NEWNET, kWhat, channel_));
  UnixEnds ends = TRY(make_pair_in(*task, as));
  TRY(join_namespace(*task, back, CLONE_NEWNET, kWhat, channel_));
  return ends;
}

Result<UnixEnds> TaskUnixCaller::make_pair_in(Task& task, const image::UnixSocket& as) {
  Program program(task.arena());
  TargetAddr made = program.reserve(2 * sizeof(int));
  {
    AsUser user(program, as);
    program.call("create a pair of sockets", SYS_socketpair, {AF_UNIX, type_of_pair(as), 0, made});
  }
  TRY(task.run(program));
  auto numbers = program.output_value<std::array<int, 2>>(made);
  Fd process = TRY(sys::open_pidfd(task.host_pid()));
  UnixEnds ends{TRY(sys::duplicate_descriptor(process, numbers[0])),
                TRY(sys::duplicate_descriptor(process, numbers[1]))};
  Program close(task.arena());
  for (int number : numbers) close.call("close a socket", SYS_close, {number});
  TRY(task.run(close));
  return ends;
}

Result<void> TaskUnixCaller::listen(const image::UnixSocket& as, int fd, int backlog) {
  Task* task = TRY(task_for(as));
  if (task == nullptr) return local_.listen(as, fd, backlog);
  std::array passed = {fd};
  int number = TRY(channel_.send(*task, passed)).front();
  Program program(task->arena());
  {
    AsUser user(program, as);
    program.call("listen", SYS_listen, {number, backlog});
  }
  program.call("close a socket", SYS_close, {number});
  return task->run(program);
}

// The working directory is set for good later on.
Result<void> TaskUnixCaller::connect(const image::UnixSocket& as, int fd,
                                     const UnixTarget& target) {
  Task* task = TRY(task_for(as));
  if (task == nullptr) return local_.connect(as, fd, target);
  std::vector<int> passed = {fd};
  if (target.directory.valid()) passed.push_back(target.directory.get());
  auto numbers = TRY(channel_.send(*task, passed));
  Program program(task->arena());
  if (target.directory.valid()) program.call("enter a directory", SYS_fchdir, {numbers[1]});
  {
    AsUser user(program, as);
    TargetAddr address = program.put(std::as_bytes(std::span(target.address)));
    program.call("connect", SYS_connect, {numbers[0], address, target.address.size()});
  }
  if (target.directory.valid()) program.call("leave it", SYS_chdir, {program.put_string("/")});
  for (int number : numbers) program.call("close a descriptor", SYS_close, {number});
  return task->run(program);
}

}  // namespace martlet::engine
