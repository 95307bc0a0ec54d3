#include "engine/tasks/thread_state.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <unistd.h>

#include <cstring>

#include "engine/tasks/credentials.h"
#include "engine/tasks/limits.h"
#include "engine/tasks/signals.h"

namespace martlet::engine {
namespace {

constexpr uint64_t kUserCodeSegment = 0x33;

Result<void> capture_robust_list(HostPid tid, image::Thread& out) {
  uint64_t head = 0;
  uint64_t size = 0;
  if (::syscall(SYS_get_robust_list, tid.value, &head, &size) != 0)
    return fail_errno("read robust list of task " + to_string(tid));
  out.set_robust_list(head);
  out.set_robust_list_size(size);
  return {};
}

}  // namespace

Result<void> capture_thread(FrozenThread& frozen, image::Thread& out) {
  HostPid tid = frozen.tracee.tid();
  out.set_tid(frozen.tid.value);
  for (NsPid inner : frozen.inner_tids) out.add_inner_tids(inner.value);
  out.set_creator(frozen.creator.value);
  out.set_name(frozen.status.name);
  if (frozen.registers.cs != kUserCodeSegment)
    return fail(Code::kUnsupported, fmt::format("task {} runs 32-bit code", tid.value));
  user_regs_struct registers = frozen.registers;
  restart_from_arguments(registers);
  out.set_registers(std::string(reinterpret_cast<const char*>(&registers), sizeof registers));
  auto state = TRY(frozen.tracee.extended_state());
  out.set_xsave(std::string(reinterpret_cast<const char*>(state.data()), state.size()));
  out.set_signal_mask(frozen.signal_mask);
  TRY(capture_robust_list(tid, out));
  if (auto area = frozen.tracee.rseq()) {
    out.mutable_rseq()->set_address(area->address);
    out.mutable_rseq()->set_size(area->size);
    out.mutable_rseq()->set_signature(area->signature);
    out.mutable_rseq()->set_flags(area->flags);
  }
  return capture_scheduling(tid, *out.mutable_scheduling());
}

std::vector<Answer> ask_thread(Program& program, const FrozenThread& frozen, image::Thread& out) {
  std::vector<Answer> answers;
  answers.push_back(ask_alternate_stack(program, out));
  answers.push_back(ask_credentials(program, frozen.status, *out.mutable_credentials()));
  TargetAddr clear_tid = program.reserve(sizeof(uint64_t));
  TargetAddr death = program.reserve(sizeof(int32_t));
  program.call("read tid address", SYS_prctl, {PR_GET_TID_ADDRESS, clear_tid, 0, 0, 0});
  program.call("read parent-death signal", SYS_prctl, {PR_GET_PDEATHSIG, death, 0, 0, 0});
  auto slack = program.call("read timer slack", SYS_prctl, {PR_GET_TIMERSLACK, 0, 0, 0, 0});
  answers.push_back([=, &out](const Program& ran) -> Result<void> {
    out.set_clear_child_tid(ran.output_value<uint64_t>(clear_tid));
    out.set_parent_death_signal(static_cast<uint32_t>(ran.output_value<int32_t>(death)));
    out.mutable_scheduling()->set_timer_slack_ns(static_cast<uint64_t>(ran.result(slack)));
    return {};
  });
  return answers;
}

Result<void> apply_thread(Task& task, const image::Thread& thread) {
  Program program(task.arena());
  apply_alternate_stack(program, thread);
  program.call("set name", SYS_prctl,
               {PR_SET_NAME, program.put_string(thread.name().substr(0, 15)), 0, 0, 0});
  program.call("set tid address", SYS_set_tid_address, {thread.clear_child_tid()});
  if (thread.robust_list() != 0)
    program.call("set robust list", SYS_set_robust_list,
                 {thread.robust_list(), thread.robust_list_size()});
  if (thread.has_rseq())
    program.call("register restartable sequences", SYS_rseq,
                 {thread.rseq().address(), thread.rseq().size(), thread.rseq().flags(),
                  thread.rseq().signature()});
  program.call("set timer slack", SYS_prctl,
               {PR_SET_TIMERSLACK, thread.scheduling().timer_slack_ns(), 0, 0, 0});
  TRY(task.run(program));
  TRY(apply_pending(task, thread));
  return apply_scheduling(task.host_pid(), thread.scheduling());
}

Result<void> load_registers(Task& task, const image::Thread& thread) {
  user_regs_struct registers{};
  if (thread.registers().size() != sizeof registers) return fail(Code::kBadImage, "registers");
  std::memcpy(&registers, thread.registers().data(), sizeof registers);
  TRY(settle(task.tracee()));
  TRY(task.tracee().set_extended_state(std::as_bytes(std::span(thread.xsave()))));
  TRY(task.tracee().set_registers(registers));
  return task.tracee().set_signal_mask(thread.signal_mask());
}

}  // namespace martlet::engine
