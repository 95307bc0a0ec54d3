#include "engine/tasks/signals.h"

#include <signal.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/batch.h"

namespace martlet::engine {
namespace {

constexpr int kSignals = 64;

// The kernel's struct sigaction on x86-64.
struct KernelAction {
  uint64_t handler;
  uint64_t flags;
  uint64_t restorer;
  uint64_t mask;
};

bool can_be_handled(int signal) {
  return signal != SIGKILL && signal != SIGSTOP;
}

void put_pending(const std::vector<siginfo_t>& queue,
                 google::protobuf::RepeatedPtrField<image::PendingSignal>& out) {
  for (const siginfo_t& info : queue)
    out.Add()->set_siginfo(std::string(reinterpret_cast<const char*>(&info), sizeof info));
}

uint64_t signals_in(const google::protobuf::RepeatedPtrField<image::PendingSignal>& queue) {
  uint64_t set = 0;
  for (const image::PendingSignal& pending : queue) {
    siginfo_t info{};
    std::memcpy(&info, pending.siginfo().data(), std::min(pending.siginfo().size(), sizeof info));
    if (info.si_signo >= 1 && info.si_signo <= kSignals) set |= 1ull << (info.si_signo - 1);
  }
  return set;
}

// The task sends the signals to itself, since only to itself a task may send them as the kernel
// does.
Result<void> queue_signals(Task& task, long number,
                           const google::protobuf::RepeatedPtrField<image::PendingSignal>& queue) {
  const pid_t process = task.process_numbers().own().value;
  Batch batch(task);
  for (const image::PendingSignal& pending : queue) {
    siginfo_t info{};
    if (pending.siginfo().size() != sizeof info) return fail(Code::kBadImage, "pending signal");
    std::memcpy(&info, pending.siginfo().data(), sizeof info);
    Program* program = TRY(batch.room(1, sizeof info));
    TargetAddr where = program->put_value(info);
    if (number == SYS_rt_tgsigqueueinfo)
      program->call("queue signal", number,
                    {process, task.numbers().own().value, info.si_signo, where});
    else
      program->call("queue signal", number, {process, info.si_signo, where});
  }
  return batch.finish();
}

}  // namespace

Answer ask_signal_actions(Program& program, image::Process& out) {
  std::vector<std::pair<int, TargetAddr>> slots;
  for (int signal = 1; signal <= kSignals; ++signal) {
    if (!can_be_handled(signal)) continue;
    TargetAddr slot = program.reserve(sizeof(KernelAction));
    program.call("read signal action", SYS_rt_sigaction, {signal, 0, slot, sizeof(uint64_t)});
    slots.emplace_back(signal, slot);
  }
  return [slots, &out](const Program& ran) -> Result<void> {
    for (auto [signal, slot] : slots) {
      auto action = ran.output_value<KernelAction>(slot);
      if (action.handler == 0 && action.flags == 0 && action.mask == 0) continue;
      auto* saved = out.add_actions();
      saved->set_signal(static_cast<uint32_t>(signal));
      saved->set_handler(action.handler);
      saved->set_flags(action.flags);
      saved->set_restorer(action.restorer);
      saved->set_mask(action.mask);
    }
    return {};
  };
}

Result<void> apply_signal_actions(Task& leader, const image::Process& process) {
  Batch batch(leader);
  for (const image::SignalAction& saved : process.actions()) {
    KernelAction action{saved.handler(), saved.flags(), saved.restorer(), saved.mask()};
    Program* program = TRY(batch.room(1, sizeof action));
    program->call("set signal action", SYS_rt_sigaction,
                  {saved.signal(), program->put_value(action), 0, sizeof(uint64_t)});
  }
  return batch.finish();
}

Answer ask_alternate_stack(Program& program, image::Thread& out) {
  TargetAddr slot = program.reserve(sizeof(stack_t));
  program.call("read alternate stack", SYS_sigaltstack, {0, slot});
  return [slot, &out](const Program& ran) -> Result<void> {
    auto stack = ran.output_value<stack_t>(slot);
    auto* saved = out.mutable_alternate_stack();
    saved->set_address(reinterpret_cast<uint64_t>(stack.ss_sp));
    saved->set_size(stack.ss_size);
    saved->set_flags(static_cast<uint32_t>(stack.ss_flags));
    return {};
  };
}

void apply_alternate_stack(Program& program, const image::Thread& thread) {
  const auto& saved = thread.alternate_stack();
  if ((saved.flags() & SS_DISABLE) != 0 || saved.size() == 0) return;
  stack_t stack{};
  stack.ss_sp = reinterpret_cast<void*>(saved.address());
  stack.ss_size = saved.size();
  stack.ss_flags = static_cast<int>(saved.flags() & ~static_cast<uint32_t>(SS_ONSTACK));
  program.call("set alternate stack", SYS_sigaltstack, {program.put_value(stack), 0});
}

Result<void> capture_pending(FrozenProcess& process, image::Process& out) {
  using Queue = sys::Tracee::Queue;
  put_pending(TRY(process.leader().tracee.pending_signals(Queue::kProcess)),
              *out.mutable_pending());
  for (size_t i = 0; i < process.threads.size(); ++i)
    put_pending(TRY(process.threads[i].tracee.pending_signals(Queue::kThread)),
                *out.mutable_threads(static_cast<int>(i))->mutable_pending());
  return {};
}

int unused_signal(const image::Process& process) {
  uint64_t pending = signals_in(process.pending());
  for (const image::Thread& thread : process.threads()) pending |= signals_in(thread.pending());
  constexpr std::array kPreferred = {SIGURG, SIGWINCH, SIGIO, SIGPWR, SIGUSR1, SIGUSR2};
  for (int signal : kPreferred)
    if ((pending & (1ull << (signal - 1))) == 0) return signal;
  for (int signal = kSignals; signal > SIGSYS; --signal)
    if ((pending & (1ull << (signal - 1))) == 0) return signal;
  return SIGURG;
}

Result<void> apply_pending(Task& task, const image::Thread& thread) {
  return queue_signals(task, SYS_rt_tgsigqueueinfo, thread.pending());
}

Result<void> apply_process_pending(Task& leader, const image::Process& process) {
  return queue_signals(leader, SYS_rt_sigqueueinfo, process.pending());
}

}  // namespace martlet::engine
