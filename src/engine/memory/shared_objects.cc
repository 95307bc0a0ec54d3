#include "engine/memory/shared_objects.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace martlet::engine {
namespace {

constexpr std::string_view kMemfdPrefix = "/memfd:";
constexpr std::string_view kSysvPrefix = "/SYSV";
constexpr std::string_view kDeleted = " (deleted)";
constexpr size_t kChunk = 1u << 20;

// A System V segment has its id as inode number, in the same file system in which memfds are
// numbered by a counter, so segments are kept apart from those.
std::pair<uint64_t, uint64_t> identity(const struct stat& status, std::string_view link) {
  constexpr uint64_t kSegments = ~uint64_t{0};
  return {link.starts_with(kSysvPrefix) ? kSegments : status.st_dev, status.st_ino};
}

void classify(const std::string& link, const struct stat& status, image::SharedMemory& message) {
  std::string_view name = link;
  if (name.ends_with(kDeleted)) name.remove_suffix(kDeleted.size());
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

// Calls `visit` with each part of the file that holds data.
template <typename Visit>
Result<void> for_each_extent(int fd, uint64_t size, Visit visit) {
  off_t position = 0;
  while (position < static_cast<off_t>(size)) {
    off_t data = ::lseek(fd, position, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return {};
    if (data < 0) return fail_errno("seek in shared memory");
    off_t hole = ::lseek(fd, data, SEEK_HOLE);
    if (hole < 0) return fail_errno("seek in shared memory");
    TRY(visit(static_cast<uint64_t>(data), static_cast<uint64_t>(hole)));
    position = hole;
  }
  return {};
}

uint64_t round_up(uint64_t size) {
  return (size + kPageSize - 1) / kPageSize * kPageSize;
}

Result<uint64_t> put_content(image::Sink& sink, const SharedObjectTable::Object& object) {
  uint64_t total = 0;
  std::vector<std::byte> buffer(kChunk);
  // Looking for data moves the file offset, and object.fd may share one with the group.
  Fd file = TRY(open_file(fmt::format("/proc/self/fd/{}", object.fd.get()), O_RDONLY));
  TRY(for_each_extent(
      file.get(), object.message.size(), [&](uint64_t start, uint64_t end) -> Result<void> {
        for (uint64_t at = start; at < end; at += buffer.size()) {
          auto part = std::span(buffer).first(std::min<uint64_t>(buffer.size(), end - at));
          ssize_t got = ::pread(file.get(), part.data(), part.size(), static_cast<off_t>(at));
          if (got < 0) return fail_errno("read shared memory");
          auto whole = part.first(round_up(static_cast<uint64_t>(got)));
          std::ranges::fill(whole.subspan(static_cast<size_t>(got)), std::byte{0});
          image::PageRun run{object.message.id(), image::PageRun::kSharedMemoryOwner, at,
                             whole.size()};
          TRY(image::put_pages(sink, run, whole));
          total += whole.size();
        }
        return {};
      }));
  return total;
}

// Shared anonymous memory has a file behind it that only a mapping can make; /proc/self/map_files
// opens it.
Result<Fd> create_anonymous(uint64_t size) {
  void* place = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED) return fail_errno("map shared memory");
  auto address = reinterpret_cast<uint64_t>(place);
  auto fd = open_file(
      fmt::format("/proc/self/map_files/{:x}-{:x}", address, address + round_up(size)), O_RDWR);
  ::munmap(place, size);
  return fd;
}

Result<Fd> create_memfd(const image::SharedMemory& message) {
  Fd fd(::memfd_create(message.name().c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return fail_errno("create memory file " + message.name());
  if (::ftruncate(fd.get(), static_cast<off_t>(message.size())) != 0)
    return fail_errno("size memory file " + message.name());
  if (::fchmod(fd.get(), message.mode() & 07777) != 0) return fail_errno("chmod memory file");
  return fd;
}

}  // namespace

bool is_shared_object_link(std::string_view link) {
  return link.starts_with(kMemfdPrefix) || link.starts_with(kSysvPrefix) ||
         link == "/dev/zero (deleted)";
}

Result<uint32_t> SharedObjectTable::id_of(Fd fd, const std::string& link) {
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return fail_errno("stat " + link);
  auto key = identity(status, link);
  if (uint32_t known = find(key.first, key.second)) return known;
  Object object;
  classify(link, status, object.message);
  auto id = static_cast<uint32_t>(objects_.size() + 1);
  object.message.set_id(id);
  object.message.set_size(static_cast<uint64_t>(status.st_size));
  object.message.set_mode(status.st_mode);
  if (object.message.kind() == image::SHARED_MEMFD) {
    int seals = ::fcntl(fd.get(), F_GET_SEALS);
    object.message.set_seals(seals > 0 ? static_cast<uint32_t>(seals) : 0);
  }
  object.fd = std::move(fd);
  objects_.push_back(std::move(object));
  ids_.emplace(key, id);
  return id;
}

uint32_t SharedObjectTable::find(uint64_t device, uint64_t inode) const {
  auto known = ids_.find({device, inode});
  return known == ids_.end() ? 0 : known->second;
}

Result<uint64_t> SharedObjectTable::put(image::Sink& sink) const {
  uint64_t total = 0;
  for (const Object& object : objects_) {
    TRY(image::put_message(sink, image::RecordType::kSharedMemory, object.message));
    total += TRY(put_content(sink, object));
  }
  return total;
}

Result<void> SharedObjects::create(const image::SharedMemory& message) {
  Object object{message, {}};
  if (message.size() > (1ull << 46)) return fail(Code::kBadImage, "shared memory of absurd size");
  switch (message.kind()) {
    case image::SHARED_ANONYMOUS: object.fd = TRY(create_anonymous(message.size())); break;
    case image::SHARED_MEMFD: object.fd = TRY(create_memfd(message)); break;
    case image::SHARED_SYSV: return check_adopted(message);
    default: return fail(Code::kBadImage, "shared memory of an unknown kind");
  }
  objects_.insert_or_assign(message.id(), std::move(object));
  return {};
}

void SharedObjects::adopt(const image::SharedMemory& message, Fd fd) {
  objects_.insert_or_assign(message.id(), Object{message, std::move(fd)});
}

Result<void> SharedObjects::check_adopted(const image::SharedMemory& message) const {
  const Object* object = TRY(get(message.id()));
  if (object->message.kind() != message.kind() || object->message.size() != message.size() ||
      object->message.sysv_id() != message.sysv_id())
    return fail(Code::kBadImage, "System V shared memory is not as announced");
  return {};
}

Result<void> SharedObjects::fill(const image::PageRun& run, std::span<const std::byte> pages) {
  const Object* object = TRY(get(run.owner));
  if (!object->fd.valid()) return {};
  uint64_t limit = round_up(object->message.size());
  if (run.address > limit || pages.size() > limit - run.address)
    return fail(Code::kBadImage, "page outside of its shared memory");
  uint64_t size = std::min<uint64_t>(pages.size(), object->message.size() - run.address);
  size_t done = 0;
  while (done < size) {
    ssize_t put = ::pwrite(object->fd.get(), pages.data() + done, size - done,
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
