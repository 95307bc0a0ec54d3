#include "engine/tasks/return_frame.h"

#include <asm/sigcontext.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace martlet::engine {
namespace {

// struct ucontext of the kernel (asm/ucontext.h clashes with glibc's).
struct KernelContext {
  uint64_t flags;
  uint64_t link;
  struct {
    uint64_t address;
    int32_t flags;
    uint64_t size;
  } stack;
  sigcontext_64 registers;
  uint64_t signal_mask;
};
static_assert(sizeof(KernelContext) == 304);

constexpr uint64_t kHasExtendedState = 0x1;       // UC_FP_XSTATE
constexpr uint64_t kHasStackSegment = 0x2 | 0x4;  // UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS
constexpr uint16_t kUserStackSegment = 0x2b;
constexpr size_t kStateOffset = 320;     // behind the context, 64-byte aligned
constexpr size_t kSoftwareOffset = 464;  // of the bytes that describe the extended state

void set_registers(sigcontext_64& out, const user_regs_struct& in) {
  out.r8 = in.r8;
  out.r9 = in.r9;
  out.r10 = in.r10;
  out.r11 = in.r11;
  out.r12 = in.r12;
  out.r13 = in.r13;
  out.r14 = in.r14;
  out.r15 = in.r15;
  out.di = in.rdi;
  out.si = in.rsi;
  out.bp = in.rbp;
  out.bx = in.rbx;
  out.dx = in.rdx;
  out.ax = in.rax;
  out.cx = in.rcx;
  out.sp = in.rsp;
  out.ip = in.rip;
  out.flags = in.eflags;
  out.cs = static_cast<uint16_t>(in.cs);
  out.ss = kUserStackSegment;
}

}  // namespace

size_t return_frame_size(std::span<const std::byte> extended_state) {
  return kStateOffset + extended_state.size() + sizeof(uint32_t);
}

std::vector<std::byte> make_return_frame(TargetAddr place, const user_regs_struct& registers,
                                         uint64_t signal_mask,
                                         std::span<const std::byte> extended_state) {
  static_assert(kStateOffset >= sizeof(KernelContext) && kStateOffset % 64 == 0);
  CHECK(place.value % 64 == 0);
  std::vector<std::byte> frame(return_frame_size(extended_state));
  CHECK(frame.size() <= kReturnFrameSize);
  // The alternate stack in it has size zero, which the kernel takes as "leave it as it is".
  KernelContext context{};
  context.flags = kHasExtendedState | kHasStackSegment;
  context.signal_mask = signal_mask;
  set_registers(context.registers, registers);
  context.registers.fpstate = (place + kStateOffset).value;
  std::memcpy(frame.data(), &context, sizeof context);
  std::ranges::copy(extended_state, frame.begin() + kStateOffset);
  // The register set has the mask of saved features where a frame has its description.
  _fpx_sw_bytes software{};
  std::memcpy(&software.xfeatures, extended_state.data() + kSoftwareOffset, sizeof(uint64_t));
  software.magic1 = FP_XSTATE_MAGIC1;
  software.xstate_size = static_cast<uint32_t>(extended_state.size());
  software.extended_size = software.xstate_size + sizeof(uint32_t);
  std::memcpy(frame.data() + kStateOffset + kSoftwareOffset, &software, sizeof software);
  uint32_t magic = FP_XSTATE_MAGIC2;
  std::memcpy(frame.data() + kStateOffset + extended_state.size(), &magic, sizeof magic);
  return frame;
}

}  // namespace martlet::engine
