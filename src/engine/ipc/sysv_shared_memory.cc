#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "engine/ipc/sysv_kinds.h"
#include "engine/ipc/sysv_permission.h"
#include "engine/memory/huge_pages.h"

namespace martlet::engine {
namespace {

constexpr uint32_t kOrdinaryPageBits = 12;
constexpr std::array kPageBits = {kOrdinaryPageBits, 21u, 30u};

uint64_t size_in_pages(uint64_t size, uint32_t bits) {
  return (size + (1ull << bits) - 1) >> bits << bits;
}

// The file behind a segment of huge pages has whole pages.
uint64_t file_size(const image::SysvSharedMemory& segment) {
  uint32_t bits = segment.huge_page_bits();
  return bits == 0 ? segment.size() : size_in_pages(segment.size(), bits);
}

int page_flags(const image::SysvSharedMemory& segment) {
  uint32_t bits = segment.huge_page_bits();
  return bits == 0 ? 0 : SHM_HUGETLB | static_cast<int>(bits << MAP_HUGE_SHIFT);
}

Result<void> check_page_size(const image::SysvSharedMemory& segment) {
  uint32_t bits = segment.huge_page_bits();
  bool possible = bits == 0 || std::ranges::find(kPageBits.begin() + 1, kPageBits.end(), bits) !=
                                   kPageBits.end();
  if (possible) return {};
  return fail(Code::kBadImage, "a System V segment of pages of an absurd size");
}

std::string describe_segment(int id) {
  return fmt::format("System V shared memory {}", id);
}

// Where a mapping of so many bytes may end: at a page of one of the sizes that there are.
Result<Fd> open_mapped(uint64_t start, size_t size, int flags) {
  Result<Fd> fd;
  for (uint32_t bits : kPageBits) {
    fd = open_file(
        fmt::format("/proc/self/map_files/{:x}-{:x}", start, start + size_in_pages(size, bits)),
        flags);
    if (fd || fd.error().error_number() != ENOENT) break;
  }
  return fd;
}

// The file behind a segment. Only a mapping leads to it.
Result<Fd> open_segment(int id, size_t size, int flags) {
  void* place = ::shmat(id, nullptr, flags == O_RDONLY ? SHM_RDONLY : 0);
  if (place == reinterpret_cast<void*>(-1)) return fail_errno("attach " + describe_segment(id));
  auto fd = open_mapped(reinterpret_cast<uint64_t>(place), size, flags);
  ::shmdt(place);
  return fd;
}

// The segment that has this id now, if it is the image's.
Result<bool> is_there(const image::SysvSharedMemory& segment, shmid_ds& status) {
  const image::IpcPermission& permission = segment.permission();
  if (::shmctl(permission.id(), IPC_STAT, &status) != 0) return false;
  if (status.shm_perm.__key == permission.key() && status.shm_segsz == segment.size()) return true;
  return fail(Code::kAlreadyExists, describe_segment(permission.id()) + ": its id is taken");
}

Result<void> make_segment(const image::SysvSharedMemory& segment) {
  const image::IpcPermission& permission = segment.permission();
  auto made = make_with_id("shm", permission, remove_segment, [&](key_t key, int flags) {
    return ::shmget(key, segment.size(), flags | page_flags(segment));
  });
  if (!made) return name_lack_of_pages(segment.huge_page_bits(), std::move(made.error()));
  shmid_ds status{};
  set_owner(permission, status.shm_perm);
  if (::shmctl(permission.id(), IPC_SET, &status) != 0)
    return fail_errno("set the owner of " + describe_segment(permission.id()));
  if (segment.locked() && ::shmctl(permission.id(), SHM_LOCK, nullptr) != 0)
    return fail_errno("lock " + describe_segment(permission.id()));
  return {};
}

// Hands the segment over to be filled. Without a descriptor it keeps the content it has.
Result<void> hand_over(ApplyContext& context, const image::SysvSharedMemory& segment, Fd content) {
  image::SharedMemory object;
  object.set_id(segment.object());
  object.set_kind(image::SHARED_SYSV);
  object.set_size(file_size(segment));
  object.set_huge_page_bits(segment.huge_page_bits());
  object.set_sysv_id(segment.permission().id());
  context.shared_objects().adopt(object, std::move(content));
  return {};
}

}  // namespace

std::vector<int> list_segments() {
  std::vector<int> ids;
  shm_info info{};
  int last = ::shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&info));
  for (int index = 0; index <= last; ++index) {
    shmid_ds status{};
    if (int id = ::shmctl(index, SHM_STAT, &status); id >= 0) ids.push_back(id);
  }
  return ids;
}

Result<image::SysvSharedMemory> capture_segment(CaptureContext& context, int id) {
  shmid_ds status{};
  if (::shmctl(id, IPC_STAT, &status) != 0) return fail_errno("read " + describe_segment(id));
  image::SysvSharedMemory segment;
  fill_permission(id, status.shm_perm, *segment.mutable_permission());
  segment.set_size(status.shm_segsz);
  segment.set_removed((status.shm_perm.mode & SHM_DEST) != 0);
  segment.set_locked((status.shm_perm.mode & SHM_LOCKED) != 0);
  Fd content = TRY(open_segment(id, status.shm_segsz, O_RDONLY));
  segment.set_huge_page_bits(
      TRY(huge_page_bits_of(fmt::format("/proc/self/fd/{}", content.get()))));
  segment.set_object(TRY(context.shared_objects().id_of(
      std::move(content), fmt::format("/SYSV{:08x} (deleted)", status.shm_perm.__key))));
  return segment;
}

Result<bool> create_segment(ApplyContext& context, const image::SysvSharedMemory& segment) {
  TRY(check_page_size(segment));
  shmid_ds status{};
  int id = segment.permission().id();
  bool there = TRY(is_there(segment, status));
  if (there && status.shm_nattch > 0) {
    TRY(hand_over(context, segment, Fd()));
    return false;
  }
  if (!there) TRY(make_segment(segment));
  Fd content = TRY(open_segment(id, segment.size(), O_RDWR));
  if (there && ::fallocate(content.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                           static_cast<off_t>(file_size(segment))) != 0)
    return fail_errno("clear " + describe_segment(id));
  TRY(hand_over(context, segment, std::move(content)));
  return !there;
}

int remove_segment(int id) {
  return ::shmctl(id, IPC_RMID, nullptr);
}

}  // namespace martlet::engine
