#include "engine/tasks/host_names.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <algorithm>
#include <map>

#include "engine/context.h"
#include "engine/program.h"
#include "engine/tasks/join_namespace.h"
#include "sys/procfs.h"
#include "sys/user_namespace.h"

namespace martlet::engine {
namespace {

Result<void> read_names(HostPid process, image::HostNames& out) {
  return run_in_namespace(process, "uts", [&]() -> Result<void> {
    utsname names{};
    if (::uname(&names) != 0) return fail_errno("read the host name");
    out.set_host(names.nodename);
    out.set_domain(names.domainname);
    return {};
  });
}

bool may_change_names(const FrozenProcess& process) {
  return (process.status.cap_bounding >> CAP_SYS_ADMIN & 1) != 0;
}

Result<void> make(const image::HostNames& names, bool is_new, Task& task) {
  if (std::max(names.host().size(), names.domain().size()) >= sizeof utsname::nodename)
    return fail(Code::kBadImage, "host names of an impossible length");
  Program program(task.arena());
  if (is_new) program.call("make a UTS namespace", SYS_unshare, {CLONE_NEWUTS});
  program.call("set the host name", SYS_sethostname,
               {program.put_string(names.host()), names.host().size()});
  program.call("set the domain name", SYS_setdomainname,
               {program.put_string(names.domain()), names.domain().size()});
  return task.run(program);
}

// Where the process has the right to change its names.
Result<uint32_t> user_namespace_of(const FrozenProcess& process, const UserNamespaces& known,
                                   const image::Tree& tree) {
  Fd own = TRY(open_file(sys::proc_path(process.living, "ns/uts"), O_RDONLY));
  Fd owner = TRY(sys::user_namespace_of(own));
  struct stat status{};
  if (::fstat(owner.get(), &status) != 0) return fail_errno("stat a namespace");
  auto found = known.find(status.st_ino);
  if (found == known.end() || !is_within(tree, known.at(process.user_namespace), found->second))
    return fail(Code::kUnsupported,
                fmt::format("the UTS namespace of process {} belongs to a user namespace that the "
                            "process is not in",
                            process.pid.value));
  return found->second;
}

}  // namespace

Result<void> describe_host_names(const std::vector<FrozenProcess>& processes, bool container,
                                 const UserNamespaces& user_namespaces, image::Tree& tree) {
  const FrozenProcess& root = processes.front();
  const bool root_has_own = user_namespaces.at(root.user_namespace) != 0 &&
                            TRY(user_namespace_of(root, user_namespaces, tree)) != 0;
  std::map<ino_t, image::HostNames*> known;
  for (const FrozenProcess& process : processes) {
    const bool of_group = process.uts_namespace == root.uts_namespace && !root_has_own;
    if (process.zombie || (of_group && (&process != &root || !container))) continue;
    if (of_group && !may_change_names(root)) continue;
    const uint32_t owner = of_group ? 0 : TRY(user_namespace_of(process, user_namespaces, tree));
    image::HostNames*& names = known[process.uts_namespace];
    if (names == nullptr) {
      names = tree.add_host_names();
      names->set_user_namespace(owner);
      TRY(read_names(process.living, *names));
    }
    names->add_processes(process.ns_pid.value);
  }
  return {};
}

HostNamesRestore::HostNamesRestore(const image::Tree& tree)
    : tree_(&tree), made_(static_cast<size_t>(tree.host_names_size())) {
  for (size_t i = 0; i < made_.size(); ++i)
    for (int32_t process : tree.host_names(static_cast<int>(i)).processes())
      of_process_[process] = i;
}

Result<void> HostNamesRestore::apply(Task& task, uint32_t user_namespace,
                                     DescriptorChannel& channel) {
  const int32_t process = task.process().value;
  auto found = of_process_.find(process);
  if (found == of_process_.end()) return {};
  const image::HostNames& names = tree_->host_names(static_cast<int>(found->second));
  if (names.user_namespace() != user_namespace) return {};
  Fd& made = made_[found->second];
  of_process_.erase(found);
  if (made.valid())
    return join_namespace(task, made, CLONE_NEWUTS, "enter a UTS namespace", channel);
  const bool is_new = process != tree_->processes(0).pid() || user_namespace != 0;
  TRY(make(names, is_new, task));
  made = TRY(open_file(sys::proc_path(task.host_pid(), "ns/uts"), O_RDONLY));
  return {};
}

Result<void> HostNamesRestore::finish() const {
  if (of_process_.empty()) return {};
  return fail(Code::kBadImage, "host names of no process");
}

}  // namespace martlet::engine
