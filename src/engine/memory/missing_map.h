// Which pages of one address space are still to come, and from where.
//
// At first each page comes from the same address of the process that was captured (its origin). The
// process may move mappings, drop pages and unmap them before they have come, and its children have
// maps of their own that begin as copies. A page has one place at most. Addresses are whole pages.
// No system calls.
#pragma once

#include <map>
#include <optional>

#include "engine/memory/ranges.h"

namespace martlet::engine {

class MissingMap {
 public:
  MissingMap() = default;
  explicit MissingMap(const Ranges& ranges);

  // Where the page at `address` comes from; nothing if it is not to come (any more).
  std::optional<uint64_t> origin_of(uint64_t address) const;
  // Where here pages of the captured process belong.
  struct Piece {
    sys::Range here;
    uint64_t origin;  // of the first page
  };
  // The first piece of the pages `origin`, if any of them is missing.
  std::optional<Piece> place_of(sys::Range origin) const;

  void move(sys::Range from, uint64_t to);
  void drop(sys::Range here);  // has come, was unmapped, or reads as zeros from now on

  // Origins of all that is missing here.
  Ranges origins() const;
  bool empty() const { return segments_.empty(); }

 private:
  struct Segment {
    uint64_t end;
    uint64_t origin;  // of its first page
  };
  void insert(sys::Range here, uint64_t origin);
  std::map<uint64_t, Segment> segments_;    // by start; without overlap
  std::map<uint64_t, uint64_t> by_origin_;  // the start of each segment
};

}  // namespace martlet::engine
