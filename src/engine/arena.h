// The few pages inside a target that Martlet works in: the interpreter's code and a data area for
// system call lists. While capturing they are private memory of each process, while restoring one
// memory file shared by this process and all tasks of the group.
#pragma once

#include <cstddef>
#include <span>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"

namespace martlet::engine {

inline constexpr uint64_t kArenaCodeSize = kPageSize;

// The interpreter's machine code (blob/interpreter.S).
std::span<const std::byte> interpreter_code();

class Arena {
 public:
  // An arena already mapped in `pid` at `base` and reached by process_vm_readv and -writev.
  static Arena remote(HostPid pid, TargetAddr base, size_t data_size);
  // A new memory file for `base`, mapped here too.
  static Result<Arena> create_shared(TargetAddr base, size_t data_size);

  TargetAddr code() const { return base_; }
  TargetAddr data() const { return base_ + kArenaCodeSize; }
  size_t data_size() const { return data_size_; }
  size_t total_size() const { return kArenaCodeSize + data_size_; }
  const Fd& file() const { return file_; }  // shared arenas only

  Result<void> write(TargetAddr to, std::span<const std::byte> bytes) const;
  Result<void> read(TargetAddr from, std::span<std::byte> into) const;

  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&& other) noexcept;
  ~Arena();

 private:
  Arena(HostPid pid, TargetAddr base, size_t data_size)
      : pid_(pid), base_(base), data_size_(data_size) {}
  HostPid pid_;
  TargetAddr base_;
  size_t data_size_;
  Fd file_;
  std::byte* local_ = nullptr;  // of a shared arena: where it is mapped here
};

}  // namespace martlet::engine
