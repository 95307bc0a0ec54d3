#include "engine/tasks/injection.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <tuple>

#include "engine/tasks/return_frame.h"
#include "sys/target_memory.h"

namespace martlet::engine {
namespace {

constexpr size_t kDataSize = 64u << 10;
constexpr size_t kMappedSize = kArenaCodeSize + kDataSize + kReturnFrameSize;

// Every executable has the instruction somewhere; the vDSO has it for sure.
Result<TargetAddr> find_syscall_instruction(const FrozenProcess& process) {
  constexpr std::array kInstruction = {std::byte{0x0f}, std::byte{0x05}};
  auto in = [&](const sys::Vma& vma) -> Result<TargetAddr> {
    std::vector<std::byte> code(std::min<uint64_t>(vma.size(), 4u << 20));
    TRY(sys::read_memory(process.pid, TargetAddr(vma.start), code));
    auto found = std::ranges::search(code, kInstruction);
    if (found.empty()) return fail(Code::kNotFound, "no system call instruction");
    return TargetAddr(vma.start + static_cast<uint64_t>(found.begin() - code.begin()));
  };
  for (const sys::Vma& vma : process.vmas)
    if (vma.path == "[vdso]")
      if (auto found = in(vma)) return found;
  for (const sys::Vma& vma : process.vmas) {
    if ((vma.protection & PROT_EXEC) == 0 || vma.path == "[vsyscall]") continue;
    if (auto found = in(vma)) return found;
  }
  return fail(Code::kUnsupported,
              fmt::format("process {} has no system call instruction to use", process.pid.value));
}

// A signal that is ignored unless somebody handles it, and that is not waiting already.
int choose_done_signal(const FrozenProcess& process) {
  uint64_t taken = process.status.caught | process.status.shared_pending;
  for (const FrozenThread& thread : process.threads) taken |= thread.status.pending;
  for (int signal : {SIGURG, SIGWINCH, SIGCHLD})
    if ((taken & (1ull << (signal - 1))) == 0) return signal;
  return SIGURG;
}

// There is room for the way back of one thread only, so each has its own registers again as soon as
// it has made its calls.
template <typename Value>
Result<Value> give_back(FrozenThread& thread, Result<Value> outcome) {
  if (thread.tracee.tid().value == 0) return outcome;  // it ended
  auto given = load_own_state(thread);
  if (outcome && !given) return std::unexpected(std::move(given.error()));
  return outcome;
}

}  // namespace

Result<Injection> Injection::begin(FrozenProcess& process) {
  auto way_back = prepare_way_back(process, process.leader());
  if (!way_back) way_back = WayBack{TRY(find_syscall_instruction(process)), TargetAddr()};
  Injection injection(process, *way_back);
  TRY_IN(injection.map_arena(), "map arena");
  return injection;
}

Result<long> Injection::plain_call(long number, std::initializer_list<uint64_t> arguments) {
  FrozenThread& leader = process_->leader();
  leader.instrumented = true;
  // The task only borrows the tracee, and such a call needs no arena.
  const Arena no_arena = Arena::remote({}, {}, 0);
  Task task(std::move(leader.tracee), process_->ns_pid, leader.tid, no_arena);
  auto result = task.call_at(way_back_.syscall_instruction, way_back_.stack, number, arguments);
  leader.tracee = std::move(task.tracee());
  return give_back(leader, std::move(result));
}

Result<void> Injection::map_arena() {
  auto base = TRY(plain_call(
      SYS_mmap, {0, kMappedSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0}));
  arena_ = std::make_unique<Arena>(
      Arena::remote(process_->pid, TargetAddr(static_cast<uint64_t>(base)), kDataSize));
  TRY(arena_->write(arena_->code(), interpreter_code()));
  TRY(plain_call(SYS_mprotect,
                 {static_cast<uint64_t>(base), kArenaCodeSize, PROT_READ | PROT_EXEC}));
  return {};
}

Result<void> Injection::run(FrozenThread& thread, Program& program) {
  auto frame = write_return_frame(thread);
  if (!frame) return std::unexpected(frame.error());
  thread.instrumented = true;
  Task task(std::move(thread.tracee), process_->ns_pid, thread.tid, *arena_);
  task.set_done_signal(choose_done_signal(*process_));
  task.set_return_frame(*frame);
  auto outcome = task.run(program);
  thread.tracee = std::move(task.tracee());
  return give_back(thread, std::move(outcome));
}

Result<TargetAddr> Injection::write_return_frame(FrozenThread& thread) {
  TargetAddr place = arena_->data() + arena_->data_size();
  user_regs_struct registers = thread.registers;
  restart_from_arguments(registers);
  auto state = TRY(thread.tracee.extended_state());
  auto frame = make_return_frame(place, registers, thread.signal_mask, state);
  TRY(arena_->write(place, frame));
  return place;
}

Result<void> Injection::end() {
  auto arena = std::move(arena_);
  TRY(plain_call(SYS_munmap, {arena->code().value, kMappedSize}));
  for (FrozenThread& thread : process_->threads)
    if (thread.instrumented) TRY(put_back(thread));
  return {};
}

Injection::~Injection() {
  if (arena_ && arena_->code().value != 0) std::ignore = end();
}

}  // namespace martlet::engine
