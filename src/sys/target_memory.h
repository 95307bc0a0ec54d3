// Reading and writing the memory of another process.
#pragma once

#include <cstddef>
#include <span>
#include <type_traits>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "sys/pagemap.h"

namespace martlet::sys {

// process_vm_readv / process_vm_writev: fast, obeys the protections of the mappings.
// Errors: kGone, kSystem with EFAULT for an address that is not mapped (or not accessible).
Result<void> read_memory(HostPid pid, TargetAddr from, std::span<std::byte> into);
// Several places at once; `into`, and `bytes` below, have the size of all of them together. After
// an error some of them may have been read or written.
Result<void> read_memory(HostPid pid, std::span<const Range> from, std::span<std::byte> into);
Result<void> write_memory(HostPid pid, TargetAddr to, std::span<const std::byte> bytes);
Result<void> write_memory(HostPid pid, std::span<const Range> to, std::span<const std::byte> bytes);

// /proc/PID/mem: also reads what the process itself may not, and writes into read-only private
// mappings (copy on write). Needs ptrace access.
class ForcedMemory {
 public:
  static Result<ForcedMemory> open(HostPid pid);
  Result<void> read(TargetAddr from, std::span<std::byte> into) const;
  Result<void> write(TargetAddr to, std::span<const std::byte> bytes) const;

 private:
  explicit ForcedMemory(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

template <typename Value>
Result<Value> read_value(HostPid pid, TargetAddr from) {
  static_assert(std::is_trivially_copyable_v<Value>);
  Value value{};
  TRY(read_memory(pid, from, std::as_writable_bytes(std::span(&value, 1))));
  return value;
}

}  // namespace martlet::sys
