#include "engine/tasks/way_back.h"

#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <vector>

#include "engine/tasks/return_frame.h"
#include "sys/target_memory.h"

namespace martlet::engine {
namespace {

// syscall; ret
constexpr std::array<uint8_t, 3> kCallAndReturn = {0x0f, 0x05, 0xc3};
// mov $15 (rt_sigreturn), %rax; syscall: as glibc and musl write it
constexpr std::array<uint8_t, 9> kReturnFromSignal = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
// The library has both near its beginning.
constexpr uint64_t kSearchedBytes = 2u << 20;
constexpr uint64_t kSearchedAtATime = 64u << 10;
constexpr uint64_t kRedZone = 128;
constexpr uint64_t kFrameAlignment = 64;

bool is_c_library(const sys::Vma& vma) {
  std::string_view name = std::string_view(vma.path).substr(vma.path.rfind('/') + 1);
  return (vma.protection & PROT_EXEC) != 0 &&
         (name.starts_with("libc.so") || name.starts_with("libc-2") || name.starts_with("ld-musl"));
}

// Notes where `wanted` is, unless that is known. `code` is at `offset` in the library.
template <size_t size>
void find(std::span<const std::byte> code, uint64_t offset, const std::array<uint8_t, size>& wanted,
          std::optional<uint64_t>& found) {
  if (found) return;
  const void* at = ::memmem(code.data(), code.size(), wanted.data(), size);
  if (at != nullptr)
    found = offset + static_cast<uint64_t>(static_cast<const std::byte*>(at) - code.data());
}

template <size_t size>
bool has_code(HostPid pid, uint64_t address, const std::array<uint8_t, size>& wanted) {
  std::array<uint8_t, size> found{};
  return sys::read_memory(pid, TargetAddr(address), std::as_writable_bytes(std::span(found))) &&
         found == wanted;
}

std::optional<ReturnCode> search(HostPid pid, const sys::Vma& vma) {
  std::array<std::byte, kSearchedAtATime> code;
  std::optional<uint64_t> call, signal;
  const uint64_t end = std::min(vma.size(), kSearchedBytes);
  // Each part begins with the end of the last one, where a sequence may have begun.
  for (uint64_t offset = 0; offset < end; offset += code.size() - kReturnFromSignal.size()) {
    auto part = std::span(code).first(std::min(end - offset, code.size()));
    if (!sys::read_memory(pid, TargetAddr(vma.start + offset), part)) return std::nullopt;
    find(part, offset, kCallAndReturn, call);
    find(part, offset, kReturnFromSignal, signal);
    if (call && signal) return ReturnCode{.call_and_return = *call, .return_from_signal = *signal};
  }
  return std::nullopt;
}

// A library differs in nothing between the processes of a group, unless one changed its own copy.
bool is_there(HostPid pid, const sys::Vma& vma, const ReturnCode& code) {
  return has_code(pid, vma.start + code.call_and_return, kCallAndReturn) &&
         has_code(pid, vma.start + code.return_from_signal, kReturnFromSignal);
}

std::optional<ReturnCode> find_code(FrozenProcess& process, const sys::Vma& vma) {
  ReturnCodes& known = *process.return_codes;
  auto key = std::tuple(vma.device, vma.inode, vma.offset);
  if (!known.contains(key)) known.emplace(key, search(process.living, vma));
  auto code = known.at(key);
  if (!code || !is_there(process.living, vma, *code)) return std::nullopt;
  return code;
}

// The part of the main stack below everything that the thread uses; no value if it is elsewhere.
std::optional<TargetAddr> place_for(const FrozenProcess& process, uint64_t stack_pointer,
                                    uint64_t size) {
  for (const sys::Vma& vma : process.vmas) {
    if (vma.path != "[stack]" || stack_pointer <= vma.start || stack_pointer > vma.end) continue;
    uint64_t place = (stack_pointer - kRedZone - size) & ~(kFrameAlignment - 1);
    if (place - sizeof(uint64_t) >= vma.start && place < stack_pointer) return TargetAddr(place);
  }
  return std::nullopt;
}

// What an earlier capture has left there, if its process died, is as good as zeros.
std::optional<TargetAddr> place_on_left_stack(const FrozenProcess& process, uint64_t size,
                                              uint64_t signal_return) {
  auto stack = std::ranges::find(process.vmas, "[stack]", &sys::Vma::path);
  if (stack == process.vmas.end() || stack->size() < kFrameAlignment + size) return std::nullopt;
  const uint64_t place = stack->start + kFrameAlignment;
  std::vector<uint64_t> words((sizeof(uint64_t) + size) / sizeof(uint64_t));
  if (!sys::read_memory(process.living, TargetAddr(place - sizeof(uint64_t)),
                        std::as_writable_bytes(std::span(words))))
    return std::nullopt;
  const bool free = words.front() == signal_return ||
                    std::ranges::all_of(words, [](uint64_t word) { return word == 0; });
  return free ? std::optional(TargetAddr(place)) : std::nullopt;
}

}  // namespace

void return_borrowed(const FrozenProcess& process, const WayBack& way_back) {
  const std::vector<std::byte> zeros(way_back.borrowed);
  std::ignore = sys::write_memory(process.living, way_back.stack, zeros);
}

bool is_on_way_back(HostPid pid, const user_regs_struct& registers) {
  constexpr uint64_t kCall = 2;       // the bytes of `syscall`
  constexpr uint64_t kSetNumber = 7;  // of what precedes it in the return from a signal
  const uint64_t rip = registers.rip;
  for (uint64_t done : {uint64_t{0}, kSetNumber})
    if (has_code(pid, rip - done, kReturnFromSignal)) return true;
  auto returns_to = sys::read_value<uint64_t>(pid, TargetAddr(registers.rsp));
  return returns_to && has_code(pid, *returns_to, kReturnFromSignal) &&
         (has_code(pid, rip, kCallAndReturn) || has_code(pid, rip - kCall, kCallAndReturn));
}

std::optional<WayBack> prepare_way_back(FrozenProcess& process, FrozenThread& thread) {
  auto library = std::ranges::find_if(process.vmas, is_c_library);
  if (library == process.vmas.end()) return std::nullopt;
  auto code = find_code(process, *library);
  auto state = thread.tracee.extended_state();
  if (!code || !state) return std::nullopt;
  const uint64_t signal_return = library->start + code->return_from_signal;
  const uint64_t size = return_frame_size(*state);
  auto place = place_for(process, thread.registers.rsp, size);
  const bool borrows = !place;
  if (borrows) place = place_on_left_stack(process, size, signal_return);
  if (!place) return std::nullopt;
  user_regs_struct registers = thread.registers;
  restart_from_arguments(registers);
  auto frame = make_return_frame(*place, registers, thread.signal_mask, *state);
  TargetAddr stack(place->value - sizeof signal_return);
  if (!sys::write_memory(process.living, stack, std::as_bytes(std::span(&signal_return, 1))) ||
      !sys::write_memory(process.living, *place, frame))
    return std::nullopt;
  const size_t borrowed = borrows ? sizeof signal_return + frame.size() : 0;
  return WayBack{TargetAddr(library->start + code->call_and_return), stack, borrowed};
}

}  // namespace martlet::engine
