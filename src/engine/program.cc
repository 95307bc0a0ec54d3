#include "engine/program.h"

#include <algorithm>

#include "base/check.h"

namespace martlet::engine {
namespace {

constexpr size_t kAlignment = 8;

size_t operation_space(const Arena& arena) {
  return arena.data_size() / 4;
}

}  // namespace

Program::Program(const Arena& arena) : arena_(arena) {}

TargetAddr Program::data_address() const {
  return arena_.data() + operation_space(arena_);
}

Program::Call Program::call(const char* what, long number,
                            std::initializer_list<Argument> arguments, OnError on_error) {
  CHECK(arguments.size() <= 6 && fits(1, 0));
  Operation operation{};
  operation.number = static_cast<uint64_t>(number);
  operation.result = -ECANCELED;
  operation.flags = on_error == OnError::kGoOn ? 1 : 0;
  size_t position = 0;
  for (const Argument& argument : arguments) {
    operation.arguments[position] = argument.value;
    if (argument.passed != nullptr) {
      CHECK(operation.pass_from == 0);
      operation.pass_from = (operations_address() + argument.passed->index * sizeof(Operation) +
                             offsetof(Operation, result))
                                .value;
      operation.pass_into = offsetof(Operation, arguments) + position * sizeof(uint64_t);
    }
    ++position;
  }
  operations_.push_back(operation);
  names_.push_back(what);
  return {operations_.size() - 1};
}

void Program::pause() {
  CHECK(!pause_);
  pause_ = call("pause", SYS_tgkill, {}, OnError::kGoOn).index;
}

TargetAddr Program::put(std::span<const std::byte> bytes) {
  TargetAddr address = reserve(bytes.size());
  std::copy(bytes.begin(), bytes.end(),
            data_.begin() + static_cast<ptrdiff_t>(address.value - data_address().value));
  return address;
}

TargetAddr Program::put_string(std::string_view text) {
  std::vector<std::byte> bytes(text.size() + 1);
  std::ranges::copy(std::as_bytes(std::span(text)), bytes.begin());
  return put(bytes);
}

TargetAddr Program::reserve(size_t size) {
  CHECK(fits(0, size));
  TargetAddr address = data_address() + data_.size();
  data_.resize((data_.size() + size + kAlignment - 1) / kAlignment * kAlignment);
  return address;
}

bool Program::fits(size_t calls, size_t bytes) const {
  size_t code = (operations_.size() + calls + 1) * sizeof(Operation);
  size_t data = data_.size() + bytes + kAlignment;
  return code <= operation_space(arena_) && data <= arena_.data_size() - operation_space(arena_);
}

long Program::result(Call call) const {
  return operations_[call.index].result;
}

std::span<const std::byte> Program::output(TargetAddr address, size_t size) const {
  size_t offset = address.value - data_address().value;
  CHECK(offset + size <= data_.size());
  return std::span(data_).subspan(offset, size);
}

Result<void> Program::upload(const Operation& closing) const {
  TRY(arena_.write(closing_address(), std::as_bytes(std::span(&closing, 1))));
  TRY(arena_.write(operations_address(), std::as_bytes(std::span(operations_))));
  if (data_.empty()) return {};
  return arena_.write(data_address(), data_);
}

Result<void> Program::download() {
  TRY(arena_.read(operations_address(), std::as_writable_bytes(std::span(operations_))));
  if (data_.empty()) return {};
  return arena_.read(data_address(), data_);
}

Result<void> Program::first_error(size_t count) const {
  for (size_t i = 0; i < count; ++i) {
    int64_t result = operations_[i].result;
    if (result < 0 && result >= -4095 && (operations_[i].flags & 1) == 0)
      return std::unexpected(Error::from_errno(static_cast<int>(-result), names_[i]));
  }
  return {};
}

}  // namespace martlet::engine
