// Shared memory objects of a group: shared anonymous memory, memfds and System V segments.
//
// An object is identified by device and inode, however many mappings and descriptors lead to it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "image/memory.pb.h"
#include "image/stream.h"

namespace martlet::engine {

// Objects found while capturing, in the order of their ids.
class SharedObjectTable {
 public:
  struct Object {
    image::SharedMemory message;
    Fd fd;  // leads to its content
  };

  // The id of the object behind `fd`, whose link reads `link` ("/memfd:name (deleted)",
  // "/dev/zero (deleted)", "/SYSV00000001 (deleted)"). Takes the descriptor for a new object.
  Result<uint32_t> id_of(Fd fd, const std::string& link);
  // 0 if the object is not known.
  uint32_t find(uint64_t device, uint64_t inode) const;

  // Puts every object and its pages into the sink; returns the bytes of content.
  Result<uint64_t> put(image::Sink& sink) const;

  const std::vector<Object>& objects() const { return objects_; }

 private:
  std::vector<Object> objects_;  // object id n is at n - 1
  std::map<std::pair<uint64_t, uint64_t>, uint32_t> ids_;
};

// Whether a path from /proc/PID/maps or /proc/PID/fd names a shared memory object.
bool is_shared_object_link(std::string_view link);

// Objects while restoring. Created here, filled from page records, and passed to the tasks.
class SharedObjects {
 public:
  Result<void> create(const image::SharedMemory& message);
  // Takes an object made elsewhere: a System V segment. Without a descriptor it is never filled.
  void adopt(const image::SharedMemory& message, Fd fd);
  Result<void> fill(const image::PageRun& run, std::span<const std::byte> pages);
  // Seals memfds; nothing can be filled in afterwards.
  Result<void> finish();

  struct Object {
    image::SharedMemory message;
    Fd fd;  // not valid for a System V segment whose content is there already
  };
  Result<const Object*> get(uint32_t id) const;

 private:
  Result<void> check_adopted(const image::SharedMemory& message) const;

  std::map<uint32_t, Object> objects_;
};

}  // namespace martlet::engine
