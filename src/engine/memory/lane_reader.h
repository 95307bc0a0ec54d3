// Page contents from several streams at once, into processes that are being rebuilt.
//
// The main stream of an image is read by the thread that builds; each page lane beside it is read
// by a thread of its own, which writes the pages into the processes. Every lane names the address
// spaces in the order of the main stream. A lane that is ahead waits until the space that its next
// pages belong to is built (open_space), and the builder waits until all lanes are through with a
// space (finish_space), before a child is forked from it.
//
// A lane that fails makes the next call fail with its cause. Nothing here waits for something that
// cannot happen any more: a lane waits for the builder, which opens the space, finishes, or
// destroys the reader; the builder waits for lanes that read, and reading has its end or the
// source's deadline. The destructor ends all lanes and joins their threads.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "engine/memory/page_filler.h"
#include "image/stream.h"

namespace martlet::engine {

// One stream of pages. `source` is borrowed and used by the lane's thread.
struct PageLane {
  std::string name;  // for messages
  image::Source* source = nullptr;
  // Makes a call of source->next() that waits for a peer return; empty for a source that does not
  // wait. Called from another thread.
  std::function<void()> interrupt;
};

class LaneReader {
 public:
  LaneReader(std::vector<PageLane> lanes, uint64_t image_id);
  ~LaneReader();
  LaneReader(const LaneReader&) = delete;
  LaneReader& operator=(const LaneReader&) = delete;

  // The process's mappings are there: its pages may be written.
  void open_space(NsPid process, FillTarget target);
  // Waits until every lane is through with the space that was opened last.
  Result<void> finish_space();
  // Waits for the end of every lane. Returns the bytes of pages that came over the lanes.
  Result<uint64_t> finish();

 private:
  struct Space {
    uint32_t owner;
    FillTarget target;
  };
  struct Lane {
    PageLane stream;
    uint32_t number;              // from 1
    std::vector<uint32_t> ended;  // owners of the spaces it is through with
    uint64_t bytes = 0;
    bool at_end = false;
    std::jthread thread;
  };

  void run(Lane& lane);
  Result<void> read_lane(Lane& lane);
  Result<void> check_beginning(const Lane& lane, const image::Record& record) const;
  Result<void> fill_in(Lane& lane, const image::Record& record);
  Result<void> end_space(Lane& lane, const image::Record& record);
  // The space that the lane's next pages belong to, once it is open.
  Result<Space> await_space(const Lane& lane);
  bool is_through(const Lane& lane) const;

  const uint64_t image_id_;
  std::mutex mutex_;  // guards everything below, but for the streams and threads of the lanes
  std::condition_variable changed_;
  std::vector<Space> spaces_;   // in the order in which they were opened
  std::optional<Error> error_;  // the first one
  bool complete_ = false;       // no further space will be opened
  bool stopped_ = false;
  std::vector<Lane> lanes_;
};

}  // namespace martlet::engine
