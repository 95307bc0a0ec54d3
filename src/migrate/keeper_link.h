// An agent's end of the link to the keeper of a container's missing pages (page_keeper.h).
//
// A thread of its own listens to the keeper. put() and add() may be called from any thread; what is
// wanted is taken by one. A link that is destroyed leaves the keeper as it is, unless discard() was
// called before.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "checkpoint/group.h"
#include "engine/memory/arriving_memory.h"
#include "image/stream.h"
#include "migrate/keeper_frame.h"
#include "sys/program.h"

namespace martlet::migrate {

using MissingList = std::vector<std::pair<NsPid, engine::Ranges>>;

class KeeperLink {
 public:
  // Starts a keeper with its socket at `path`, whose directory is made if it is missing. Takes some
  // ten milliseconds.
  static Result<std::unique_ptr<KeeperLink>> start(const std::string& path);
  // To a keeper that an earlier agent started. kGone: it has ended before all pages had come.
  static Result<std::unique_ptr<KeeperLink>> reconnect(const std::string& path);
  ~KeeperLink();
  KeeperLink(const KeeperLink&) = delete;
  KeeperLink& operator=(const KeeperLink&) = delete;

  Result<void> add(const std::vector<checkpoint::LateMemory>& late);
  // Of a kPages or kZeroPages run.
  Result<void> put(const image::PageRun& run, std::span<const std::byte> pages);

  // What is missing now. All pages that are waited for are wanted again afterwards.
  Result<MissingList> report();
  std::vector<engine::MissingPage> take_wanted();

  enum class State { kMissing, kComplete, kLost };
  State state() const;
  // The state, as soon as it is final or at the deadline.
  State await_end(Nanoseconds timeout) const;
  // Readable whenever there is something wanted, or the state is final; for poll(2).
  int event() const { return event_.get(); }

  // Ends the keeper; for a container that was ended or is not to run.
  void discard();
  // Removes what is left of a keeper that has ended.
  void clean_up() const;

 private:
  KeeperLink(std::string path, Fd socket, std::optional<sys::RunningProgram> program);
  void listen();
  Result<void> hear();
  Result<void> hear_missing(const Frame& frame);
  void signal() const;

  const std::string path_;
  Fd socket_;
  Fd event_;
  std::optional<sys::RunningProgram> program_;
  std::mutex sending_;
  mutable std::mutex mutex_;  // guards what follows
  mutable std::condition_variable changed_;
  State state_ = State::kMissing;
  std::map<uint64_t, Fd> duplicates_;
  std::vector<engine::MissingPage> wanted_;
  MissingList reported_;
  uint64_t reports_ = 0;
  std::thread listener_;
};

}  // namespace martlet::migrate
