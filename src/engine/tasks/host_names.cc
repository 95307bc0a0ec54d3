#include "engine/tasks/host_names.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <map>

#include "engine/context.h"
#include "engine/program.h"
#include "sys/procfs.h"

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

Result<void> join(const Fd& name_space, DescriptorChannel& channel, Task& task) {
  std::array<int, 1> wanted = {name_space.get()};
  int number = TRY(channel.send(task, wanted))[0];
  Program program(task.arena());
  program.call("enter a UTS namespace", SYS_setns, {number, CLONE_NEWUTS});
  program.call("close", SYS_close, {number});
  return task.run(program);
}

}  // namespace

Result<void> describe_host_names(const std::vector<FrozenProcess>& processes, bool container,
                                 image::Tree& tree) {
  const FrozenProcess& root = processes.front();
  std::map<ino_t, image::HostNames*> known;
  for (const FrozenProcess& process : processes) {
    const bool of_root = process.uts_namespace == root.uts_namespace;
    if (process.zombie || (of_root && (&process != &root || !container))) continue;
    if (of_root && !may_change_names(root)) continue;
    image::HostNames*& names = known[process.uts_namespace];
    if (names == nullptr) {
      names = tree.add_host_names();
      TRY(read_names(process.pid, *names));
    }
    names->add_processes(process.ns_pid.value);
  }
  return {};
}

Result<void> apply_host_names(const image::Tree& tree, DescriptorChannel& channel,
                              const std::function<Task*(int32_t)>& leader_of) {
  for (const image::HostNames& names : tree.host_names()) {
    Fd made;
    for (int32_t pid : names.processes()) {
      Task* task = leader_of(pid);
      if (task == nullptr) return fail(Code::kBadImage, "host names of no process");
      if (made.valid()) {
        TRY(join(made, channel, *task));
        continue;
      }
      TRY(make(names, pid != tree.processes(0).pid(), *task));
      made = TRY(open_file(sys::proc_path(task->host_pid(), "ns/uts"), O_RDONLY));
    }
  }
  return {};
}

}  // namespace martlet::engine
