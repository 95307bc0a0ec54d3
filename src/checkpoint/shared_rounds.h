// Shared memory of a running group, sent ahead of its capture: see memory_rounds.h.
//
// Anonymous memory and memfds that a process has mapped. System V segments, and memfds that nobody
// has mapped, are left to the capture.
#pragma once

#include <map>
#include <vector>

#include "base/fd.h"
#include "base/ids.h"
#include "engine/memory/sent_content.h"
#include "engine/memory/shared_objects.h"
#include "image/stream.h"
#include "sys/procfs.h"

namespace martlet::checkpoint {

class SharedRounds {
 public:
  // The objects that there are for the next round: begin(), and find() for each process.
  void begin();
  void find(HostPid pid, const std::vector<sys::Vma>& vmas);
  // What is left of those from the round before goes; the numbers of those that are left.
  std::vector<uint32_t> settle_objects();

  // Puts what has changed since the last time; returns the bytes of pages.
  Result<uint64_t> send(image::Sink& sink);
  // What is to be sent now, while the group runs, and how long it takes to find it.
  engine::SentContent::Outlook outlook() const;

  // The capture puts only what has changed since.
  void build_on(engine::SharedObjectTable& table);

 private:
  struct Object {
    image::SharedMemory message;
    Fd fd;
    engine::SentContent sent;
    bool found = true;
  };
  Result<void> add(HostPid pid, const sys::Vma& vma);

  std::map<engine::SharedObjectIdentity, Object> objects_;
  uint32_t next_number_ = 1;
};

}  // namespace martlet::checkpoint
