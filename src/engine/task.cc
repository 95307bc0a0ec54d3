#include "engine/task.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace martlet::engine {
namespace {

uint64_t all_but(int signal) {
  return ~(1ull << (signal - 1));
}

Error ended(NsPid process) {
  return Error(Code::kGone, "process " + to_string(process) + " ended while it was instrumented");
}

}  // namespace

Result<void> Task::run(Program& program, const std::function<Result<void>()>& meanwhile) {
  if (program.operations_.empty()) return {};
  CHECK(program.pause_.has_value() == static_cast<bool>(meanwhile));
  Program::Operation closing{};
  closing.number = SYS_tgkill;
  closing.arguments[0] = static_cast<uint64_t>(process_.own().value);
  closing.arguments[1] = static_cast<uint64_t>(tid_.own().value);
  closing.arguments[2] = static_cast<uint64_t>(done_signal_);
  if (program.pause_)
    std::ranges::copy(closing.arguments, program.operations_[*program.pause_].arguments);
  TRY(program.upload(closing));
  TRY(start(program));
  TRY(wait_until_done());
  TRY(program.download());
  Result<void> looked = meanwhile ? take_pause(program, meanwhile) : Result<void>();
  TRY_IN(program.first_error(program.operations_.size()), "process " + to_string(process()));
  return looked;
}

// A call that failed before the pause has ended the program instead.
Result<void> Task::take_pause(Program& program, const std::function<Result<void>()>& meanwhile) {
  if (!program.first_error(*program.pause_)) return {};
  auto looked = meanwhile();
  TRY(tracee_.resume());
  TRY(wait_until_done());
  TRY(program.download());
  return looked;
}

Result<void> Task::run_to_end(const Program& program) {
  TRY(program.upload({}));
  TRY(start(program));
  for (;;) {
    sys::Stop stop = TRY(tracee_.wait());
    if (stop.kind == sys::Stop::Kind::kExited) break;
    TRY(tracee_.resume(stop.signal));
  }
  tracee_.forget();
  return {};
}

Result<void> Task::let_go_with(const Program& program) {
  TRY(program.upload({}));
  TRY(load(program));
  TRY(tracee_.set_signal_mask(~0ull));
  return tracee_.detach();
}

Result<void> Task::load(const Program& program) {
  user_regs_struct registers = TRY(tracee_.registers());
  registers.rip = arena_->code().value;
  registers.rbx = program.operations_address().value;
  registers.r13 = program.operations_.size();
  registers.r14 = return_frame_.value;
  registers.r15 = program.closing_address().value;
  registers.rsp = (arena_->data() + arena_->data_size()).value;
  registers.orig_rax = ~0ull;  // no system call to restart
  registers.eflags = 0x202;
  return tracee_.set_registers(registers);
}

Result<void> Task::start(const Program& program) {
  TRY(load(program));
  TRY(tracee_.set_signal_mask(all_but(done_signal_)));
  return tracee_.resume();
}

Result<void> Task::wait_until_done() {
  for (;;) {
    sys::Stop stop = TRY(tracee_.wait());
    switch (stop.kind) {
      case sys::Stop::Kind::kExited: tracee_.forget(); return std::unexpected(ended(process()));
      case sys::Stop::Kind::kClone:
        created_.push_back(stop.created);
        TRY(tracee_.resume());
        break;
      case sys::Stop::Kind::kSignal:
        if (stop.signal == done_signal_) return {};
        if (stop.signal == SIGSEGV || stop.signal == SIGILL || stop.signal == SIGBUS) {
          auto registers = TRY(tracee_.registers());
          return fail(Code::kSystem, fmt::format("process {} took signal {} at {:#x} while it was "
                                                 "instrumented",
                                                 process().value, stop.signal, registers.rip));
        }
        TRY(tracee_.resume());
        break;
      case sys::Stop::Kind::kInterrupt:
      case sys::Stop::Kind::kGroupStop:
      case sys::Stop::Kind::kSyscall: TRY(tracee_.resume()); break;
    }
  }
}

Result<long> Task::call(const char* what, long number,
                        std::initializer_list<Program::Argument> args) {
  Program program(*arena_);
  auto call = program.call(what, number, args);
  TRY(run(program));
  return program.result(call);
}

Result<long> Task::call_at(TargetAddr syscall_instruction, TargetAddr stack, long number,
                           std::initializer_list<uint64_t> arguments) {
  user_regs_struct registers = TRY(tracee_.registers());
  uint64_t words[6] = {};
  std::ranges::copy(arguments, words);
  registers.rip = syscall_instruction.value;
  if (stack.value != 0) registers.rsp = stack.value;
  registers.rax = static_cast<uint64_t>(number);
  registers.orig_rax = ~0ull;
  registers.rdi = words[0];
  registers.rsi = words[1];
  registers.rdx = words[2];
  registers.r10 = words[3];
  registers.r8 = words[4];
  registers.r9 = words[5];
  registers.eflags = 0x202;
  TRY(tracee_.set_registers(registers));
  TRY(tracee_.set_signal_mask(~0ull));
  for (int stops = 0; stops < 2;) {  // entry, exit
    TRY(tracee_.resume_to_syscall_stop());
    sys::Stop stop = TRY(tracee_.wait());
    if (stop.kind == sys::Stop::Kind::kExited) {
      tracee_.forget();
      return std::unexpected(ended(process()));
    }
    if (stop.kind == sys::Stop::Kind::kSyscall) ++stops;
  }
  registers = TRY(tracee_.registers());
  auto result = static_cast<long>(registers.rax);
  if (result < 0 && result >= -4095)
    return std::unexpected(
        Error::from_errno(static_cast<int>(-result),
                          fmt::format("system call {} in process {}", number, process().value)));
  return result;
}

}  // namespace martlet::engine
