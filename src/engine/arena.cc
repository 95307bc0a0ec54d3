#include "engine/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "base/check.h"
#include "sys/target_memory.h"

extern "C" {
extern const std::byte martlet_interpreter[];
extern const std::byte martlet_interpreter_end[];
}

namespace martlet::engine {

std::span<const std::byte> interpreter_code() {
  return {martlet_interpreter, martlet_interpreter_end};
}

Arena Arena::remote(HostPid pid, TargetAddr base, size_t data_size) {
  return {pid, base, data_size};
}

Result<Arena> Arena::create_shared(TargetAddr base, size_t data_size) {
  Arena arena({}, base, data_size);
  arena.file_ = Fd(::memfd_create("martlet-arena", MFD_CLOEXEC));
  if (!arena.file_.valid()) return fail_errno("create arena");
  if (::ftruncate(arena.file_.get(), static_cast<off_t>(arena.total_size())) != 0)
    return fail_errno("size arena");
  void* local =
      ::mmap(nullptr, arena.total_size(), PROT_READ | PROT_WRITE, MAP_SHARED, arena.file_.get(), 0);
  if (local == MAP_FAILED) return fail_errno("map arena");
  arena.local_ = static_cast<std::byte*>(local);
  auto code = interpreter_code();
  std::memcpy(arena.local_, code.data(), code.size());
  return arena;
}

Result<void> Arena::write(TargetAddr to, std::span<const std::byte> bytes) const {
  if (local_ == nullptr) return sys::write_memory(pid_, to, bytes);
  CHECK(to >= base_ && to.value + bytes.size() <= base_.value + total_size());
  std::memcpy(local_ + (to.value - base_.value), bytes.data(), bytes.size());
  return {};
}

Result<void> Arena::read(TargetAddr from, std::span<std::byte> into) const {
  if (local_ == nullptr) return sys::read_memory(pid_, from, into);
  CHECK(from >= base_ && from.value + into.size() <= base_.value + total_size());
  std::memcpy(into.data(), local_ + (from.value - base_.value), into.size());
  return {};
}

Arena::Arena(Arena&& other) noexcept
    : pid_(other.pid_),
      base_(other.base_),
      data_size_(other.data_size_),
      file_(std::move(other.file_)),
      local_(std::exchange(other.local_, nullptr)) {}

Arena& Arena::operator=(Arena&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(base_, other.base_);
  std::swap(data_size_, other.data_size_);
  std::swap(file_, other.file_);
  std::swap(local_, other.local_);
  return *this;
}

Arena::~Arena() {
  if (local_ != nullptr) ::munmap(local_, total_size());
}

}  // namespace martlet::engine
