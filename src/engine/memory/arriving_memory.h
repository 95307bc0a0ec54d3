// The memory of processes that run while a part of it is still to come.
//
// Each process has a userfaultfd. A task that touches a missing page waits until it is put; a page
// that is neither there nor to come is given as zeros at once. Processes may fork, move, drop and
// unmap while pages are missing: what they do is told as events, and a page that comes is put
// wherever it belongs by then, into a process and into those that were forked from it without it. A
// page is forgotten only when it was put into every one of them, or the process gave it up.
//
// Holding the descriptors is what keeps missing pages from reading as zeros: this object must not
// be destroyed before complete(), unless the processes have ended. One thread uses it; it is woken
// by poll(2) on descriptors().
#pragma once

#include <cstddef>
#include <list>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "engine/memory/missing_map.h"
#include "sys/userfaultfd.h"

namespace martlet::engine {

// A page as the process was captured with it.
struct MissingPage {
  NsPid process;
  uint64_t address = 0;
  auto operator<=>(const MissingPage&) const = default;
};

class ArrivingMemory {
 public:
  // The mappings with the missing pages are registered, and nothing is there in their place.
  void add(NsPid process, sys::Userfaultfd userfaultfd, const Ranges& missing);

  // Pages have come. Those that nobody misses (any more) are passed over. kNoSpace: there is no
  // memory for them; may be repeated.
  Result<void> put(NsPid process, uint64_t address, std::span<const std::byte> pages);
  Result<void> put_zeros(NsPid process, sys::Range range);

  // Everything that the descriptors have to tell.
  Result<void> handle_events();
  // Whether something has to be tried again soon, although no descriptor may tell.
  bool has_deferred() const;
  // Forgets processes that have ended.
  Result<void> forget_ended();

  // Pages that tasks have begun to wait for since the last call.
  std::vector<MissingPage> take_wanted();
  // The next take_wanted() begins with all that are waited for.
  void want_again();
  uint64_t faults() const { return faults_; }

  // What each process that was captured is still missing, or one forked from it.
  std::vector<std::pair<NsPid, Ranges>> missing() const;
  bool complete() const;

  // For poll(2) and for keeping duplicates; a number names one for good. Changes with
  // handle_events(), put() and forget_ended().
  struct Descriptor {
    uint64_t number;
    int fd;
  };
  std::vector<Descriptor> descriptors() const;

 private:
  struct Space {
    uint64_t number;
    NsPid process;
    sys::Userfaultfd userfaultfd;
    MissingMap missing;
    std::set<uint64_t> deferred;  // faults that could not be answered yet
    bool gone = false;
  };
  enum class Progress { kDone, kRepeat };

  Result<Progress> put_into(Space& space, uint64_t address, std::span<const std::byte> pages);
  Result<void> handle_events(Space& space);
  Result<void> answer_fault(Space& space, uint64_t page);
  Result<void> await_events() const;

  std::list<Space> spaces_;
  uint64_t next_number_ = 1;
  std::set<MissingPage> wanted_;
  std::vector<MissingPage> fresh_;  // of these, not told yet
  uint64_t faults_ = 0;
};

}  // namespace martlet::engine
