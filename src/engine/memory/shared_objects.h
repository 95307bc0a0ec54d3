// Shared memory objects of a group: shared anonymous memory, memfds and System V segments.
//
// An object is identified by device and inode, however many mappings and descriptors lead to it.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "engine/memory/sent_content.h"
#include "image/memory.pb.h"
#include "image/stream.h"
#include "sys/procfs.h"

namespace martlet::engine {

using SharedObjectIdentity = std::pair<uint64_t, uint64_t>;

// `link` is as for id_of().
Result<SharedObjectIdentity> identify_shared_object(int fd, const struct stat& status,
                                                    std::string_view link);
// Everything but its id.
image::SharedMemory describe_shared_object(int fd, const struct stat& status,
                                           const std::string& link);

// Objects found while capturing, in the order of their ids.
class SharedObjectTable {
 public:
  struct Object {
    image::SharedMemory message;
    Fd fd;  // leads to its content
    SharedObjectIdentity identity;
    SentContent* sent = nullptr;  // of rounds before
  };

  // The id of the object behind `fd`, whose link reads `link` ("/memfd:name (deleted)",
  // "/dev/zero (deleted)", "/SYSV00000001 (deleted)"). Takes the descriptor for a new object.
  Result<uint32_t> id_of(Fd fd, const std::string& link);
  // 0 if the object is not known.
  uint32_t find(uint64_t device, uint64_t inode) const;

  // The object was sent in rounds under this number; put() puts what has changed. `sent` is
  // borrowed.
  void build_on(uint32_t id, uint32_t staged, SentContent& sent);

  // Puts every object and its pages into the sink; returns the bytes of content.
  Result<uint64_t> put(image::Sink& sink) const;

  const std::vector<Object>& objects() const { return objects_; }

 private:
  std::vector<Object> objects_;  // object id n is at n - 1
  std::map<SharedObjectIdentity, uint32_t> ids_;
};

// The path of memory made with MAP_HUGETLB, in /proc/PID/maps and as a link.
inline constexpr std::string_view kAnonymousHugePages = "/anon_hugepage";

// The logarithm of the page size of a hugetlb file; 0 if the file is none.
Result<uint32_t> huge_page_bits_of(const std::string& path);

// Whether a path from /proc/PID/maps or /proc/PID/fd names a shared memory object.
bool is_shared_object_link(std::string_view link);

// Whether a mapping, which need not be shared itself, is of such an object.
bool maps_shared_object(const sys::Vma& vma);

// Objects while restoring. Created here, filled from page records, and passed to the tasks.
class SharedObjects {
 public:
  Result<void> create(const image::SharedMemory& message);
  // Takes an object made elsewhere: a System V segment. Without a descriptor it is never filled.
  void adopt(const image::SharedMemory& message, Fd fd);
  // Without `pages` the run is of zeros.
  Result<void> fill(const image::PageRun& run, std::span<const std::byte> pages);

  // For rounds: objects by the number that create() may name.
  Result<void> stage(const image::SharedMemory& message);
  Result<void> fill_staged(const image::PageRun& run, std::span<const std::byte> pages);
  void keep_staged(std::span<const uint32_t> numbers);

  // Seals memfds; nothing can be filled in afterwards.
  Result<void> finish();

  struct Object {
    image::SharedMemory message;
    Fd fd;  // not valid for a System V segment whose content is there already
  };
  Result<const Object*> get(uint32_t id) const;

 private:
  static Result<Fd> make(const image::SharedMemory& message);
  static Result<void> fill(const Object& object, const image::PageRun& run,
                           std::span<const std::byte> pages);
  Result<Fd> take_staged(const image::SharedMemory& message);
  Result<void> check_adopted(const image::SharedMemory& message) const;

  std::map<uint32_t, Object> objects_;
  std::map<uint32_t, Object> staged_;
};

}  // namespace martlet::engine
