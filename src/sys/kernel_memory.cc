#include "sys/kernel_memory.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <algorithm>
#include <array>
#include <span>

#include "base/ids.h"

namespace martlet::sys {
namespace {

constexpr int32_t kWindowBytes = kPageSize;

constexpr bpf_insn load(uint8_t into, uint8_t from, int16_t offset) {
  return {BPF_LDX | BPF_MEM | BPF_DW, into, from, offset, 0};
}
constexpr bpf_insn copy(uint8_t into, uint8_t from) {
  return {BPF_ALU64 | BPF_MOV | BPF_X, into, from, 0, 0};
}
constexpr bpf_insn call(int32_t function) {
  return {BPF_JMP | BPF_CALL, 0, 0, 0, function};
}
constexpr bpf_insn leave() {
  return {BPF_JMP | BPF_EXIT, 0, 0, 0, 0};
}

// The kernel lets only programs under a licence that is compatible with its own read its memory,
// so these instructions alone may also be used under GPL-2.0.
constexpr const char* kProgramLicence = "Dual MIT/GPL";

constexpr bpf_insn set(uint8_t into, int32_t value) {
  return {BPF_ALU64 | BPF_MOV | BPF_K, into, 0, 0, value};
}

// Called with {address, bytes}: copies them into the window, or the address of the calling task if
// there is no address. Returns 0 if that was possible.
auto instructions(int window) {
  return std::array{
      load(BPF_REG_6, BPF_REG_1, 0),                             // address
      load(BPF_REG_7, BPF_REG_1, 8),                             // bytes
      bpf_insn{BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, -4, 0},  // key
      copy(BPF_REG_2, BPF_REG_10),
      bpf_insn{BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -4},
      bpf_insn{BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, window},
      bpf_insn{},
      call(BPF_FUNC_map_lookup_elem),
      bpf_insn{BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 12, 0},             // to "not possible"
      bpf_insn{BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_6, 0, 6, 0},              // to "the task"
      bpf_insn{BPF_JMP | BPF_JGT | BPF_K, BPF_REG_7, 0, 10, kWindowBytes},  // to "not possible"
      copy(BPF_REG_1, BPF_REG_0),
      copy(BPF_REG_2, BPF_REG_7),
      copy(BPF_REG_3, BPF_REG_6),
      call(BPF_FUNC_probe_read_kernel),
      leave(),
      copy(BPF_REG_7, BPF_REG_0),  // the task
      call(BPF_FUNC_get_current_task),
      bpf_insn{BPF_STX | BPF_MEM | BPF_DW, BPF_REG_7, BPF_REG_0, 0, 0},
      set(BPF_REG_0, 0),
      leave(),
      set(BPF_REG_0, 1),  // not possible
      leave(),
  };
}

// Called with {processor}: puts the address of the value that `map` has for it into the window.
// Returns 0 if there is such a processor.
auto per_cpu_instructions(int window, int map) {
  return std::array{
      load(BPF_REG_6, BPF_REG_1, 0),                             // processor
      bpf_insn{BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, -4, 0},  // key
      copy(BPF_REG_2, BPF_REG_10),
      bpf_insn{BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -4},
      bpf_insn{BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, window},
      bpf_insn{},
      call(BPF_FUNC_map_lookup_elem),
      bpf_insn{BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 11, 0},  // to "not possible"
      copy(BPF_REG_7, BPF_REG_0),
      copy(BPF_REG_2, BPF_REG_10),
      bpf_insn{BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -4},
      bpf_insn{BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map},
      bpf_insn{},
      copy(BPF_REG_3, BPF_REG_6),
      call(BPF_FUNC_map_lookup_percpu_elem),
      bpf_insn{BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 3, 0},  // to "not possible"
      bpf_insn{BPF_STX | BPF_MEM | BPF_DW, BPF_REG_7, BPF_REG_0, 0, 0},
      set(BPF_REG_0, 0),
      leave(),
      set(BPF_REG_0, 1),  // not possible
      leave(),
  };
}

Result<Fd> load_program(std::span<const bpf_insn> body) {
  Fd program(bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "kernel_memory", kProgramLicence,
                           body.data(), body.size(), nullptr));
  if (!program.valid()) return fail_errno("load the BPF program that reads kernel memory");
  return program;
}

}  // namespace

Result<KernelMemory> KernelMemory::load(const KernelTypes& types) {
  Offsets offsets{
      TRY(types.offset_of("task_struct", "files")), TRY(types.offset_of("files_struct", "fdt")),
      TRY(types.offset_of("fdtable", "fd")), TRY(types.offset_of("file", "private_data"))};
  Fd window(bpf_map_create(BPF_MAP_TYPE_ARRAY, "kernel_memory", sizeof(uint32_t), kWindowBytes, 1,
                           nullptr));
  if (!window.valid()) return fail_errno("create a BPF map");
  Fd program = TRY(load_program(instructions(window.get())));
  KernelMemory memory(std::move(program), std::move(window), offsets);
  TRY(memory.own_task());
  return memory;
}

Result<void> KernelMemory::look(KernelAddress from, std::span<std::byte> into) const {
  const std::array<uint64_t, 2> arguments = {from.value, into.size()};
  return run(program_, arguments, into);
}

Result<void> KernelMemory::run(const Fd& program, std::span<const uint64_t> arguments,
                               std::span<std::byte> into) const {
  std::lock_guard alone(*window_use_);
  bpf_test_run_opts run{};
  run.sz = sizeof run;
  run.ctx_in = arguments.data();
  run.ctx_size_in = static_cast<uint32_t>(arguments.size_bytes());
  if (bpf_prog_test_run_opts(program.get(), &run) != 0)
    return fail_errno("run the BPF program that reads kernel memory");
  if (run.retval != 0) return fail(Code::kSystem, "an address of the kernel is not mapped");
  std::array<std::byte, kWindowBytes> seen;
  const uint32_t key = 0;
  if (bpf_map_lookup_elem(window_.get(), &key, seen.data()) != 0)
    return fail_errno("read a BPF map");
  std::copy_n(seen.begin(), into.size(), into.begin());
  return {};
}

Result<std::string> KernelMemory::read(KernelAddress from, size_t bytes) const {
  if (!from) return fail(Code::kSystem, "a pointer of the kernel is null");
  std::string seen(bytes, '\0');
  for (size_t at = 0; at < bytes; at += kWindowBytes) {
    auto part = std::as_writable_bytes(std::span(seen)).subspan(at);
    TRY(look(from + at, part.first(std::min<size_t>(part.size(), kWindowBytes))));
  }
  return seen;
}

Result<KernelAddress> KernelMemory::own_task() const {
  KernelAddress task;
  TRY(look({}, std::as_writable_bytes(std::span(&task, 1))));
  return task;
}

Result<KernelAddress> KernelMemory::file_of(int fd) const {
  auto files = TRY(read_value<KernelAddress>(TRY(own_task()) + offsets_.files));
  auto table = TRY(read_value<KernelAddress>(files + offsets_.table));
  auto descriptors = TRY(read_value<KernelAddress>(table + offsets_.descriptors));
  const size_t number = static_cast<size_t>(fd);
  return read_value<KernelAddress>(descriptors + number * sizeof(KernelAddress));
}

Result<KernelAddress> KernelMemory::private_data_of(int fd) const {
  return read_value<KernelAddress>(TRY(file_of(fd)) + offsets_.private_data);
}

// A map that has a value for each processor keeps one per-CPU address for them, and a program may
// see where each of them is.
Result<std::vector<uint64_t>> KernelMemory::per_cpu_offsets(const KernelTypes& types) const {
  const int processors = libbpf_num_possible_cpus();
  if (processors < 0) return fail(Code::kSystem, "count the processors");
  Fd map(bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "per_cpu", sizeof(uint32_t), sizeof(uint64_t), 1,
                        nullptr));
  if (!map.valid()) return fail_errno("create a BPF map");
  const auto array = TRY(private_data_of(map.get()));
  const uint32_t values = TRY(types.offset_of("bpf_array", "pptrs"));
  const auto common = TRY(read_value<uint64_t>(array + values));
  Fd program = TRY(load_program(per_cpu_instructions(window_.get(), map.get())));
  std::vector<uint64_t> offsets(static_cast<size_t>(processors));
  for (uint64_t number = 0; number < offsets.size(); ++number) {
    uint64_t address = 0;
    TRY(run(program, std::span(&number, 1), std::as_writable_bytes(std::span(&address, 1))));
    offsets[number] = address - common;
  }
  return offsets;
}

}  // namespace martlet::sys
