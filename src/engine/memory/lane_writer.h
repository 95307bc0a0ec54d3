// Page contents of frozen processes, over several streams at once.
//
// The first lane is the main stream of the image, and the caller's thread writes it. Every other
// lane is a stream of its own that holds nothing but pages; it has a thread as long as an address
// space with many pages is put. A stream is used by one thread at a time. Which lane carries which
// page is decided by which one is free, so their contents differ from one capture to the next.
//
// A lane that fails makes put() fail with its cause, and the others stop at their next piece. The
// only waits are those of the sinks.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "engine/memory/pages.h"
#include "image/stream.h"

namespace martlet::engine {

class LaneWriter {
 public:
  // `main` and `lanes` are borrowed.
  LaneWriter(image::Sink& main, std::span<image::Sink* const> lanes);

  // Puts the record that a lane begins with. To be called before anything else.
  Result<void> begin(uint64_t image_id);
  // Puts pages of one process; returns the bytes put.
  Result<uint64_t> put(const PageReader& reader, std::span<const PagePiece> pieces);
  // Ends the address space of a process in every lane.
  Result<void> end_space(NsPid process);
  // Ends every lane but the main stream.
  Result<void> end();

 private:
  struct Lane {
    explicit Lane(image::Sink& into) : sink(into), writer(into) {}
    image::Sink& sink;
    PageWriter writer;
  };

  std::vector<Lane> lanes_;
};

}  // namespace martlet::engine
