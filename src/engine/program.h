// A list of system calls to be performed by a target in one go.
//
//   Program program(arena);
//   auto opened = program.call("open", SYS_openat, {AT_FDCWD, program.put_string("/x"), O_RDONLY});
//   program.call("move", SYS_dup2, {opened, 7});
//   TRY(task.run(program));
//
// Buffers handed to the calls live in the arena; addresses are valid for this program only.
#pragma once

#include <sys/syscall.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "engine/arena.h"

namespace martlet::engine {

class Program {
 public:
  struct Call {
    size_t index;
  };

  // A number, a target address, or the result of an earlier call of the same program.
  struct Argument {
    uint64_t value = 0;
    const Call* passed = nullptr;
    template <typename Number>
      requires std::is_integral_v<Number> || std::is_enum_v<Number>
    Argument(Number number) : value(static_cast<uint64_t>(number)) {}  // NOLINT
    Argument(TargetAddr address) : value(address.value) {}             // NOLINT
    Argument(const Call& earlier) : passed(&earlier) {}                // NOLINT
  };

  enum class OnError { kStop, kGoOn };

  explicit Program(const Arena& arena);

  // Appends a call; `what` names it in errors. At most one argument may be an earlier result.
  Call call(const char* what, long number, std::initializer_list<Argument> arguments,
            OnError on_error = OnError::kStop);

  // Where the program waits for the tracer, who then looks at what came before and lets it go on.
  // If the tracer has died it goes on by itself. At most one.
  void pause();

  // Copies input for a call into the arena / sets space aside for its output (8-byte aligned).
  TargetAddr put(std::span<const std::byte> bytes);
  TargetAddr put_string(std::string_view text);  // with its terminating zero
  TargetAddr reserve(size_t size);
  template <typename Value>
  TargetAddr put_value(const Value& value) {
    return put(std::as_bytes(std::span(&value, 1)));
  }

  // Whether `calls` more calls and `bytes` more data fit.
  bool fits(size_t calls, size_t bytes) const;
  bool empty() const { return operations_.empty(); }

  // After the run: what a call returned (negative errno on error), and output buffers.
  long result(Call call) const;
  std::span<const std::byte> output(TargetAddr address, size_t size) const;
  template <typename Value>
  Value output_value(TargetAddr address) const {
    Value value;
    auto bytes = output(address, sizeof value);
    std::copy(bytes.begin(), bytes.end(), reinterpret_cast<std::byte*>(&value));
    return value;
  }

 private:
  friend class Task;

  // As blob/interpreter.S reads it.
  struct Operation {
    uint64_t number;
    uint64_t arguments[6];
    int64_t result;
    uint64_t flags;
    uint64_t pass_from;
    uint64_t pass_into;
    uint64_t unused;
  };
  static_assert(sizeof(Operation) == 96);

  TargetAddr operations_address() const { return arena_.data() + sizeof(Operation); }
  TargetAddr closing_address() const { return arena_.data(); }
  TargetAddr data_address() const;
  Result<void> upload(const Operation& closing) const;
  Result<void> download();
  Result<void> first_error(size_t count) const;  // of so many calls

  const Arena& arena_;
  std::vector<Operation> operations_;
  std::vector<const char*> names_;
  std::optional<size_t> pause_;  // its place among the operations
  std::vector<std::byte> data_;
};

}  // namespace martlet::engine
