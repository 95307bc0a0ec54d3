#include "sys/target_memory.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "sys/procfs.h"

namespace martlet::sys {
namespace {

constexpr size_t kPlacesAtOnce = 128;

std::string place(HostPid pid, uint64_t address) {
  char text[64];
  std::snprintf(text, sizeof text, "memory of process %d at 0x%lx", pid.value, address);
  return text;
}

using Transfer = ssize_t (*)(pid_t, const iovec*, unsigned long, const iovec*, unsigned long,
                             unsigned long);

Result<void> transfer_all(Transfer transfer, const char* verb, HostPid pid, TargetAddr remote,
                          std::byte* local, size_t size) {
  size_t done = 0;
  while (done < size) {
    iovec here{local + done, size - done};
    iovec there{reinterpret_cast<void*>(remote.value + done), size - done};
    ssize_t moved = transfer(pid.value, &here, 1, &there, 1, 0);
    if (moved <= 0) return fail_errno(verb + place(pid, remote.value + done));
    done += static_cast<size_t>(moved);
  }
  return {};
}

Result<void> transfer_places(Transfer transfer, const char* verb, HostPid pid,
                             std::span<const Range> places, std::byte* local) {
  std::array<iovec, kPlacesAtOnce> there;
  while (!places.empty()) {
    const auto some = places.first(std::min(places.size(), there.size()));
    size_t wanted = 0;
    for (size_t i = 0; i < some.size(); ++i) {
      there[i] = {reinterpret_cast<void*>(some[i].start), some[i].size()};
      wanted += some[i].size();
    }
    iovec here{local, wanted};
    ssize_t moved = transfer(pid.value, &here, 1, there.data(), some.size(), 0);
    if (moved < 0) return fail_errno(verb + place(pid, some.front().start));
    if (moved != static_cast<ssize_t>(wanted))
      return std::unexpected(Error::from_errno(EFAULT, verb + place(pid, some.front().start)));
    local += wanted;
    places = places.subspan(some.size());
  }
  return {};
}

}  // namespace

Result<void> read_memory(HostPid pid, TargetAddr from, std::span<std::byte> into) {
  return transfer_all(::process_vm_readv, "read ", pid, from, into.data(), into.size());
}

Result<void> write_memory(HostPid pid, TargetAddr to, std::span<const std::byte> bytes) {
  return transfer_all(::process_vm_writev, "write ", pid, to, const_cast<std::byte*>(bytes.data()),
                      bytes.size());
}

Result<void> read_memory(HostPid pid, std::span<const Range> from, std::span<std::byte> into) {
  return transfer_places(::process_vm_readv, "read ", pid, from, into.data());
}

Result<void> write_memory(HostPid pid, std::span<const Range> to,
                          std::span<const std::byte> bytes) {
  return transfer_places(::process_vm_writev, "write ", pid, to,
                         const_cast<std::byte*>(bytes.data()));
}

Result<ForcedMemory> ForcedMemory::open(HostPid pid) {
  return ForcedMemory(TRY(open_file(proc_path(pid, "mem"), O_RDWR)));
}

Result<void> ForcedMemory::read(TargetAddr from, std::span<std::byte> into) const {
  size_t done = 0;
  while (done < into.size()) {
    ssize_t got = ::pread(fd_.get(), into.data() + done, into.size() - done,
                          static_cast<off_t>(from.value + done));
    if (got <= 0) return fail_errno("read target memory");
    done += static_cast<size_t>(got);
  }
  return {};
}

Result<void> ForcedMemory::write(TargetAddr to, std::span<const std::byte> bytes) const {
  size_t done = 0;
  while (done < bytes.size()) {
    ssize_t put = ::pwrite(fd_.get(), bytes.data() + done, bytes.size() - done,
                           static_cast<off_t>(to.value + done));
    if (put <= 0) return fail_errno("write target memory");
    done += static_cast<size_t>(put);
  }
  return {};
}

}  // namespace martlet::sys
