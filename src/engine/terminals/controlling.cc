#include "engine/terminals/controlling.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <array>

#include "engine/files/descriptions.h"
#include "engine/terminals/terminal_kinds.h"
#include "sys/pidfd.h"
#include "sys/pseudo_terminal.h"

namespace martlet::engine {
namespace {

// The number inside of a session or process group that is known by its number here.
NsPid number_inside(const std::vector<FrozenProcess>& processes, HostPid id,
                    std::vector<NsPid> sys::TaskStatus::* numbers) {
  for (const FrozenProcess& process : processes) {
    const auto& known = process.status.*numbers;
    if (!known.empty() && known.front().value == id.value) return known.back();
  }
  return NsPid();
}

Result<void> describe_terminal(const OpenFile& master, const std::vector<FrozenProcess>& processes,
                               image::Tree& tree) {
  HostPid session = sys::terminal_session(master.fd);
  if (session.value == 0) return {};
  std::string path = TRY(slave_path(master));
  NsPid inside = number_inside(processes, session, &sys::TaskStatus::ns_sessions);
  if (inside.value == 0)
    return fail(Code::kUnsupported, fmt::format("terminal {} is of session {} outside of the group",
                                                path, session.value));
  image::ControllingTerminal& terminal = *tree.add_terminals();
  terminal.set_terminal(std::move(path));
  terminal.set_session(inside.value);
  terminal.set_foreground(
      number_inside(processes, sys::foreground_group(master.fd), &sys::TaskStatus::ns_groups)
          .value);
  for (size_t i = 0; i < processes.size(); ++i)
    if (processes[i].status.ns_sessions.back() == inside && processes[i].stat.terminal != 0)
      tree.mutable_processes(static_cast<int>(i))->set_has_terminal(true);
  return {};
}

// Passes a slave to the task, where `request` is made of it.
Result<void> request_of_slave(ApplyContext& context, DescriptorChannel& channel, Task& task,
                              const std::string& terminal, const char* what, unsigned long request,
                              const int32_t* argument) {
  Fd slave = TRY(sys::open_slave(TRY(terminal_master(context, terminal)), O_RDWR));
  std::array<int, 1> passed = {slave.get()};
  int number = TRY(channel.send(task, passed)).front();
  Program program(task.arena());
  TargetAddr value = argument == nullptr ? TargetAddr() : program.put_value(*argument);
  program.call(what, SYS_ioctl, {number, request, value});
  program.call("close terminal", SYS_close, {number});
  return task.run(program);
}

// As the task opens it.
Result<Fd> open_dev_tty(Task& task, int flags) {
  Program program(task.arena());
  auto opened =
      program.call("open /dev/tty", SYS_openat,
                   {AT_FDCWD, program.put_string("/dev/tty"), flags & (O_ACCMODE | kStatusFlags)});
  TRY(task.run(program));
  auto number = static_cast<int>(program.result(opened));
  auto duplicate = sys::duplicate_descriptor(TRY(sys::open_pidfd(task.host_pid())), number);
  TRY(task.call("close /dev/tty", SYS_close, {number}));
  return duplicate;
}

}  // namespace

Result<void> describe_terminals(CaptureContext& context,
                                const std::vector<FrozenProcess>& processes, image::Tree& tree) {
  for (const OpenFile& file : context.files())
    if (is_terminal_master(file)) TRY(describe_terminal(file, processes, tree));
  return {};
}

Result<void> take_terminal(ApplyContext& context, DescriptorChannel& channel, Task& leader,
                           const image::ControllingTerminal& terminal) {
  TRY(request_of_slave(context, channel, leader, terminal.terminal(), "take terminal", TIOCSCTTY,
                       nullptr));
  for (const auto& [id, file] : context.files())
    if (file.terminal_slave().through_dev_tty() &&
        file.terminal_slave().terminal() == terminal.terminal())
      context.set_description(id, TRY(open_dev_tty(leader, static_cast<int>(file.flags()))));
  return {};
}

Result<void> leave_terminal(Task& task) {
  Program program(task.arena());
  constexpr auto kAnyway = Program::OnError::kGoOn;  // it may have none
  auto opened = program.call("open /dev/tty", SYS_openat,
                             {AT_FDCWD, program.put_string("/dev/tty"), O_RDWR}, kAnyway);
  program.call("leave terminal", SYS_ioctl, {opened, TIOCNOTTY, 0}, kAnyway);
  program.call("close /dev/tty", SYS_close, {opened}, kAnyway);
  return task.run(program);
}

Result<void> set_foreground_group(ApplyContext& context, DescriptorChannel& channel, Task& leader,
                                  const image::ControllingTerminal& terminal, NsPid number) {
  int32_t group = number.value;
  if (group == 0) return {};
  return request_of_slave(context, channel, leader, terminal.terminal(), "set foreground group",
                          TIOCSPGRP, &group);
}

}  // namespace martlet::engine
