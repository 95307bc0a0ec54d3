// The kernel's memory, read through a BPF program. Nothing is changed by it, and an address that is
// not mapped is an error and no fault; but what is read may have been freed at any moment, so only
// structures that stand still may be followed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "sys/kernel_types.h"

namespace martlet::sys {

// An address of the kernel. It cannot be dereferenced here.
struct KernelAddress {
  uint64_t value = 0;
  KernelAddress operator+(uint64_t offset) const { return {value + offset}; }
  bool operator==(const KernelAddress&) const = default;
  explicit operator bool() const { return value != 0; }
};

// The bytes of a structure.
class KernelObject {
 public:
  explicit KernelObject(std::string bytes) : bytes_(std::move(bytes)) {}
  // `offset` and the value's size must lie inside of what was read.
  template <typename Value>
  Value at(uint32_t offset) const {
    static_assert(std::is_trivially_copyable_v<Value>);
    Value value;
    std::memcpy(&value, bytes_.data() + offset, sizeof value);
    return value;
  }

 private:
  std::string bytes_;
};

// Any thread.
class KernelMemory {
 public:
  // Errors: kSystem where the kernel does not let this process use such a program.
  static Result<KernelMemory> load(const KernelTypes& types);

  Result<std::string> read(KernelAddress from, size_t bytes) const;
  Result<KernelObject> read_object(KernelAddress from, size_t bytes) const {
    return KernelObject(TRY(read(from, bytes)));
  }
  template <typename Value>
  Result<Value> read_value(KernelAddress from) const {
    return TRY(read_object(from, sizeof(Value))).template at<Value>(0);
  }

  // The kernel's struct file behind a descriptor of this process, and what its kind keeps with it:
  // of a socket its struct socket, of /proc/PID/mem the process's struct mm_struct.
  Result<KernelAddress> file_of(int fd) const;
  Result<KernelAddress> private_data_of(int fd) const;

  // What to add to an address of per-CPU memory (__percpu), for each processor that there may be.
  Result<std::vector<uint64_t>> per_cpu_offsets(const KernelTypes& types) const;

 private:
  struct Offsets {
    uint32_t files, table, descriptors, private_data;
  };
  KernelMemory(Fd program, Fd window, Offsets offsets)
      : program_(std::move(program)), window_(std::move(window)), offsets_(offsets) {}
  Result<void> look(KernelAddress from, std::span<std::byte> into) const;
  Result<void> run(const Fd& program, std::span<const uint64_t> arguments,
                   std::span<std::byte> into) const;
  Result<KernelAddress> own_task() const;

  Fd program_;
  Fd window_;  // the map through which the program hands over what it has read
  Offsets offsets_;
  std::unique_ptr<std::mutex> window_use_ = std::make_unique<std::mutex>();
};

}  // namespace martlet::sys
