#include "engine/memory/shared_objects.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "engine/memory/huge_pages.h"
#include "sys/file_handle.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

constexpr std::string_view kMemfdPrefix = "/memfd:";
constexpr std::string_view kSysvPrefix = "/SYSV";
constexpr uint64_t kMaxSize = 1ull << 46;
constexpr uint32_t kMostHugePageBits = 40;

void classify(const std::string& link, const struct stat& status, image::SharedMemory& message) {
  std::string_view name = link;
  if (name.ends_with(sys::kDeletedMark)) name.remove_suffix(sys::kDeletedMark.size());
  if (name.starts_with(kMemfdPrefix)) {
    message.set_kind(image::SHARED_MEMFD);
    message.set_name(std::string(name.substr(kMemfdPrefix.size())));
  } else if (name.starts_with(kSysvPrefix)) {
    message.set_kind(image::SHARED_SYSV);
    message.set_sysv_id(static_cast<int32_t>(status.st_ino));
  } else {
    message.set_kind(image::SHARED_ANONYMOUS);
  }
}

std::string own_path(int fd) {
  return fmt::format("/proc/self/fd/{}", fd);
}

Result<uint64_t> put_content(image::Sink& sink, const image::SharedMemory& object,
                             ContentReader& reader) {
  uint64_t total = 0;
  for (const sys::Range& range : TRY(reader.data()))
    TRY(reader.read(range, [&](uint64_t at, std::span<const std::byte> pages) -> Result<void> {
      image::PageRun run{object.id(), image::PageRun::kSharedMemoryOwner, at, pages.size()};
      total += pages.size();
      return image::put_pages(sink, run, pages);
    }));
  return total;
}

// Files of huge pages cannot be written to, only mapped.
Result<void> fill_huge(int fd, uint64_t page, uint64_t at, std::span<const std::byte> bytes) {
  uint64_t start = at / page * page;
  uint64_t size = (at + bytes.size() - start + page - 1) / page * page;
  void* place =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(start));
  if (place == MAP_FAILED) return fail_errno("map huge pages");
  std::memcpy(static_cast<std::byte*>(place) + (at - start), bytes.data(), bytes.size());
  ::munmap(place, size);
  return {};
}

// Shared anonymous memory has a file behind it that only a mapping can make; /proc/self/map_files
// opens it.
Result<Fd> create_anonymous(const image::SharedMemory& message) {
  uint64_t size = message.size();
  int flags = MAP_SHARED | MAP_ANONYMOUS;
  uint32_t bits = message.huge_page_bits();
  flags |= bits == 0 ? MAP_NORESERVE : MAP_HUGETLB | static_cast<int>(bits << MAP_HUGE_SHIFT);
  void* place = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (place == MAP_FAILED)
    return name_lack_of_pages(bits, std::move(fail_errno("map shared memory").error()));
  auto address = reinterpret_cast<uint64_t>(place);
  auto fd = open_file(
      fmt::format("/proc/self/map_files/{:x}-{:x}", address, address + page_end(size)), O_RDWR);
  ::munmap(place, size);
  return fd;
}

Result<Fd> create_memfd(const image::SharedMemory& message) {
  unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  if (uint32_t bits = message.huge_page_bits()) flags |= MFD_HUGETLB | bits << MAP_HUGE_SHIFT;
  Fd fd(::memfd_create(message.name().c_str(), flags));
  if (!fd.valid()) return fail_errno("create memory file " + message.name());
  if (::ftruncate(fd.get(), static_cast<off_t>(message.size())) != 0)
    return fail_errno("size memory file " + message.name());
  if (::fchmod(fd.get(), message.mode() & 07777) != 0) return fail_errno("chmod memory file");
  return fd;
}

// All of the object is a hole again where there were pages.
Result<void> punch(int fd, uint64_t at, uint64_t size) {
  if (::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(at),
                  static_cast<off_t>(size)) != 0)
    return fail_errno("punch a hole into shared memory");
  return {};
}

}  // namespace

// A System V segment has its id as inode number, in the same file system in which memfds are
// numbered by a counter, so segments are kept apart from those. Ids of two IPC namespaces can be
// the same, which the inode's generation tells apart: a handle begins with it. Files of huge pages
// have neither, but the time at which they were made.
Result<SharedObjectIdentity> identify_shared_object(int fd, const struct stat& status,
                                                    std::string_view link) {
  constexpr uint64_t kSegments = ~uint64_t{0} << 32;
  if (!link.starts_with(kSysvPrefix)) return SharedObjectIdentity{status.st_dev, status.st_ino};
  if (TRY(huge_page_bits_of(own_path(fd))) != 0)
    return SharedObjectIdentity{kSegments | static_cast<uint64_t>(status.st_ctim.tv_nsec),
                                status.st_ino};
  auto handle = TRY(sys::handle_of(fd, ""));
  uint32_t generation = 0;
  std::memcpy(&generation, handle.bytes.data(), std::min(handle.bytes.size(), sizeof generation));
  return SharedObjectIdentity{kSegments | generation, status.st_ino};
}

image::SharedMemory describe_shared_object(int fd, const struct stat& status,
                                           const std::string& link) {
  image::SharedMemory message;
  classify(link, status, message);
  message.set_size(static_cast<uint64_t>(status.st_size));
  message.set_mode(status.st_mode);
  if (message.kind() == image::SHARED_MEMFD) {
    int seals = ::fcntl(fd, F_GET_SEALS);
    message.set_seals(seals > 0 ? static_cast<uint32_t>(seals) : 0);
  }
  return message;
}

Result<uint32_t> huge_page_bits_of(const std::string& path) {
  struct statfs system{};
  if (::statfs(path.c_str(), &system) != 0) return fail_errno("stat " + path);
  if (system.f_type != HUGETLBFS_MAGIC) return 0;
  return static_cast<uint32_t>(std::countr_zero(static_cast<uint64_t>(system.f_bsize)));
}

bool is_shared_object_link(std::string_view link) {
  return link.starts_with(kMemfdPrefix) || link.starts_with(kSysvPrefix) ||
         link == "/dev/zero (deleted)";
}

bool maps_shared_object(const sys::Vma& vma) {
  return is_shared_object_link(vma.path) || vma.path.starts_with("[anon_shmem:") ||
         (vma.shared && vma.path.starts_with(kAnonymousHugePages));
}

Result<uint32_t> SharedObjectTable::id_of(Fd fd, const std::string& link) {
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return fail_errno("stat " + link);
  auto key = TRY_IN(identify_shared_object(fd.get(), status, link), link);
  if (uint32_t known = find(key.first, key.second)) return known;
  auto id = static_cast<uint32_t>(objects_.size() + 1);
  Object object{describe_shared_object(fd.get(), status, link), std::move(fd), key, nullptr};
  object.message.set_id(id);
  object.message.set_huge_page_bits(TRY(huge_page_bits_of(own_path(object.fd.get()))));
  objects_.push_back(std::move(object));
  ids_.emplace(key, id);
  return id;
}

uint32_t SharedObjectTable::find(uint64_t device, uint64_t inode) const {
  auto known = ids_.find({device, inode});
  return known == ids_.end() ? 0 : known->second;
}

void SharedObjectTable::build_on(uint32_t id, uint32_t staged, SentContent& sent) {
  Object& object = objects_.at(id - 1);
  object.message.set_staged(staged);
  object.sent = &sent;
}

Result<uint64_t> SharedObjectTable::put(image::Sink& sink) const {
  uint64_t total = 0;
  for (const auto& [message, fd, identity, sent] : objects_) {
    TRY(image::put_message(sink, image::RecordType::kSharedMemory, message));
    auto reader = TRY(ContentReader::open(fd.get()));
    total += TRY(sent != nullptr ? sent->put_changes(sink, message.id(), reader)
                                 : put_content(sink, message, reader));
  }
  return total;
}

Result<Fd> SharedObjects::make(const image::SharedMemory& message) {
  uint32_t bits = message.huge_page_bits();
  bool whole = bits == 0 || (bits < kMostHugePageBits && message.size() % (1ull << bits) == 0);
  if (message.size() > kMaxSize || !whole)
    return fail(Code::kBadImage, "shared memory of absurd size");
  switch (message.kind()) {
    case image::SHARED_ANONYMOUS: return create_anonymous(message);
    case image::SHARED_MEMFD: return create_memfd(message);
    default: return fail(Code::kBadImage, "shared memory of an unknown kind");
  }
}

Result<void> SharedObjects::create(const image::SharedMemory& message) {
  if (message.kind() == image::SHARED_SYSV) return check_adopted(message);
  Object object{message, {}};
  object.fd = message.staged() == 0 ? TRY(make(message)) : TRY(take_staged(message));
  objects_.insert_or_assign(message.id(), std::move(object));
  return {};
}

Result<Fd> SharedObjects::take_staged(const image::SharedMemory& message) {
  TRY(stage(message));
  auto staged = staged_.extract(message.staged());
  int fd = staged.mapped().fd.get();
  if (message.kind() == image::SHARED_MEMFD && ::fchmod(fd, message.mode() & 07777) != 0)
    return fail_errno("chmod memory file");
  return std::move(staged.mapped().fd);
}

Result<void> SharedObjects::stage(const image::SharedMemory& message) {
  if (message.staged() == 0) return fail(Code::kBadImage, "shared memory without a number");
  auto known = staged_.find(message.staged());
  if (known == staged_.end()) {
    staged_.emplace(message.staged(), Object{message, TRY(make(message))});
    return {};
  }
  Object& object = known->second;
  if (object.message.kind() != message.kind() || object.message.name() != message.name() ||
      message.size() > kMaxSize)
    return fail(Code::kBadImage, "shared memory has become another");
  if (message.size() != object.message.size() &&
      ::ftruncate(object.fd.get(), static_cast<off_t>(message.size())) != 0)
    return fail_errno("size shared memory");
  object.message = message;
  return {};
}

void SharedObjects::keep_staged(std::span<const uint32_t> numbers) {
  std::erase_if(staged_, [&](const auto& object) {
    return std::ranges::find(numbers, object.first) == numbers.end();
  });
}

void SharedObjects::adopt(const image::SharedMemory& message, Fd fd) {
  objects_.insert_or_assign(message.id(), Object{message, std::move(fd)});
}

Result<void> SharedObjects::check_adopted(const image::SharedMemory& message) const {
  const Object* object = TRY(get(message.id()));
  if (object->message.kind() != message.kind() || object->message.size() != message.size() ||
      object->message.sysv_id() != message.sysv_id() ||
      object->message.huge_page_bits() != message.huge_page_bits())
    return fail(Code::kBadImage, "System V shared memory is not as announced");
  return {};
}

Result<void> SharedObjects::fill(const image::PageRun& run, std::span<const std::byte> pages) {
  return fill(*TRY(get(run.owner)), run, pages);
}

Result<void> SharedObjects::fill_staged(const image::PageRun& run,
                                        std::span<const std::byte> pages) {
  auto object = staged_.find(run.owner);
  if (object == staged_.end())
    return fail(Code::kBadImage, fmt::format("no staged shared memory {}", run.owner));
  return fill(object->second, run, pages);
}

Result<void> SharedObjects::fill(const Object& object, const image::PageRun& run,
                                 std::span<const std::byte> pages) {
  if (!object.fd.valid()) return {};
  uint64_t limit = page_end(object.message.size());
  if (run.address > limit || run.length > limit - run.address)
    return fail(Code::kBadImage, "page outside of its shared memory");
  if (pages.empty()) return punch(object.fd.get(), run.address, run.length);
  uint64_t size = std::min<uint64_t>(pages.size(), object.message.size() - run.address);
  if (uint32_t bits = object.message.huge_page_bits())
    return fill_huge(object.fd.get(), 1ull << bits, run.address, pages.first(size));
  size_t done = 0;
  while (done < size) {
    ssize_t put = ::pwrite(object.fd.get(), pages.data() + done, size - done,
                           static_cast<off_t>(run.address + done));
    if (put < 0) return fail_errno("fill shared memory");
    done += static_cast<size_t>(put);
  }
  return {};
}

Result<void> SharedObjects::finish() {
  for (auto& [id, object] : objects_) {
    uint32_t seals = object.message.seals();
    if (object.message.kind() != image::SHARED_MEMFD) continue;
    // A memfd made without MFD_ALLOW_SEALING carries F_SEAL_SEAL alone.
    if (seals != 0 && ::fcntl(object.fd.get(), F_ADD_SEALS, seals) != 0)
      return fail_errno("seal memory file " + object.message.name());
  }
  return {};
}

Result<const SharedObjects::Object*> SharedObjects::get(uint32_t id) const {
  auto found = objects_.find(id);
  if (found == objects_.end())
    return fail(Code::kBadImage, fmt::format("no shared memory object {}", id));
  return &found->second;
}

}  // namespace martlet::engine
