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

// Between the heap and the libraries of every usual layout.
constexpr uint64_t kFirstPlace = 0x6d61'7274'0000;
constexpr uint64_t kPlaceDistance = 16u << 20;
constexpr uint64_t kPlaces = 16;

bool is_place(uint64_t address) {
  return address >= kFirstPlace && (address - kFirstPlace) % kPlaceDistance == 0 &&
         (address - kFirstPlace) / kPlaceDistance < kPlaces;
}

// A place that is free, with room around it; 0 if none is, for wherever the kernel likes.
uint64_t choose_place(const std::vector<sys::Vma>& vmas) {
  for (uint64_t i = 0; i < kPlaces; ++i) {
    const uint64_t place = kFirstPlace + i * kPlaceDistance;
    const auto is_near = [&](const sys::Vma& vma) {
      return vma.start <= place + kMappedSize && place <= vma.end;
    };
    if (std::ranges::none_of(vmas, is_near)) return place;
  }
  return 0;
}

// All of an arena before its code is protected, or its code alone.
bool is_arena(const sys::Vma& vma) {
  const uint32_t before = PROT_READ | PROT_WRITE;
  const uint32_t code = PROT_READ | PROT_EXEC;
  return is_place(vma.start) && !vma.shared && vma.inode == 0 && vma.path.empty() &&
         ((vma.size() == kMappedSize && vma.protection == before) ||
          (vma.size() == kArenaCodeSize && vma.protection == code));
}

// Every executable has the instruction somewhere; the vDSO has it for sure.
Result<TargetAddr> find_syscall_instruction(const FrozenProcess& process) {
  constexpr std::array kInstruction = {std::byte{0x0f}, std::byte{0x05}};
  auto in = [&](const sys::Vma& vma) -> Result<TargetAddr> {
    std::vector<std::byte> code(std::min<uint64_t>(vma.size(), 4u << 20));
    TRY(sys::read_memory(process.living, TargetAddr(vma.start), code));
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

std::vector<TargetAddr> find_abandoned_arenas(HostPid pid) {
  std::vector<TargetAddr> found;
  auto vmas = sys::read_maps(sys::living_thread(pid));
  if (!vmas) return found;  // it ended
  for (const sys::Vma& vma : *vmas)
    if (is_arena(vma)) found.emplace_back(vma.start);
  return found;
}

bool is_in_arena(const user_regs_struct& registers) {
  const uint64_t at = registers.rip;
  return at >= kFirstPlace && (at - kFirstPlace) / kPlaceDistance < kPlaces &&
         (at - kFirstPlace) % kPlaceDistance < kMappedSize;
}

Injection::Injection(FrozenProcess& process, FrozenProcess& holder, WayBack way_back)
    : process_(&process),
      holder_(&holder),
      way_back_(way_back),
      done_signal_(choose_done_signal(process)) {}

Result<Injection> Injection::enter(FrozenProcess& process, FrozenProcess& holder) {
  auto way_back = prepare_way_back(holder, holder.leader());
  if (!way_back) way_back = WayBack{TRY(find_syscall_instruction(holder)), TargetAddr()};
  return Injection(process, holder, *way_back);
}

Result<Injection> Injection::begin(FrozenProcess& process, FrozenProcess& holder) {
  Injection injection = TRY(enter(process, holder));
  auto mapped = injection.map_arena();
  if (!mapped) return_borrowed(holder, injection.way_back_);
  TRY_IN(mapped, "map arena");
  return injection;
}

Result<void> Injection::remove_abandoned(FrozenProcess& process, TargetAddr arena) {
  Injection injection = TRY(enter(process, process));
  return injection.unmap(arena);
}

Result<long> Injection::plain_call(long number, std::initializer_list<uint64_t> arguments) {
  FrozenThread& leader = holder_->leader();
  leader.instrumented = true;
  // The task only borrows the tracee, and such a call needs no arena.
  const Arena no_arena = Arena::remote({}, {}, 0);
  Task task(std::move(leader.tracee), holder_->numbers(), leader.numbers(), no_arena);
  auto result = task.call_at(way_back_.syscall_instruction, way_back_.stack, number, arguments);
  leader.tracee = std::move(task.tracee());
  return give_back(leader, std::move(result));
}

Result<void> Injection::map_arena() {
  const uint64_t place = choose_place(holder_->vmas);
  const uint64_t flags = MAP_PRIVATE | MAP_ANONYMOUS | (place != 0 ? MAP_FIXED_NOREPLACE : 0);
  auto base =
      TRY(plain_call(SYS_mmap, {place, kMappedSize, PROT_READ | PROT_WRITE, flags, ~0ull, 0}));
  arena_ = std::make_unique<Arena>(
      Arena::remote(holder_->living, TargetAddr(static_cast<uint64_t>(base)), kDataSize));
  TRY(arena_->write(arena_->code(), interpreter_code()));
  TRY(plain_call(SYS_mprotect,
                 {static_cast<uint64_t>(base), kArenaCodeSize, PROT_READ | PROT_EXEC}));
  return {};
}

Result<void> Injection::run(FrozenThread& thread, Program& program,
                            const std::function<Result<void>()>& meanwhile) {
  auto frame = write_return_frame(thread);
  if (!frame) return std::unexpected(frame.error());
  thread.instrumented = true;
  Task task(std::move(thread.tracee), process_->numbers(), thread.numbers(), *arena_);
  task.set_done_signal(done_signal_);
  task.set_return_frame(*frame);
  auto outcome = task.run(program, meanwhile);
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
  return unmap(arena->code());
}

Result<void> Injection::unmap(TargetAddr arena) {
  auto unmapped = plain_call(SYS_munmap, {arena.value, kMappedSize});
  return_borrowed(*holder_, way_back_);
  TRY(unmapped);
  return {};
}

Injection::~Injection() {
  if (arena_ && arena_->code().value != 0) std::ignore = end();
}

}  // namespace martlet::engine
