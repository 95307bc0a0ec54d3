// Containers that run on this host while memory of them is still on the one they came from.
//
// Each has a keeper (page_keeper.h), which outlives the agent; what comes over the connections of
// the source is passed on to it, and what its tasks wait for is asked of the source. When nothing
// is missing any more the journal says that the container has arrived. If the keeper, or the memory
// on the source, is lost, the container cannot go on: it is ended, and shows why.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/clock.h"
#include "migrate/cancellation.h"
#include "migrate/host.h"
#include "migrate/journal.h"
#include "migrate/keeper_link.h"
#include "migrate/message_channel.h"

namespace martlet::migrate {

class MemoryArrival {
 public:
  // `entry` is in the journal with the state kArriving. What is borrowed outlives this.
  MemoryArrival(Host& host, const Journal& journal, const Cancellation& stopping,
                JournalEntry entry, std::unique_ptr<KeeperLink> keeper);
  ~MemoryArrival();
  MemoryArrival(const MemoryArrival&) = delete;
  MemoryArrival& operator=(const MemoryArrival&) = delete;

  const std::string& source() const { return entry_.peer; }

  // Serve the source's connections, each until it ends or nothing is missing. A connection of
  // either kind takes the place of an earlier one.
  Result<void> serve_memory(std::unique_ptr<TlsConnection> connection);
  Result<void> serve_push(std::unique_ptr<TlsConnection> connection);

  // Until the journal says that it has arrived, with all of its memory or without. kCancelled: the
  // agent stops.
  Result<void> wait();
  bool is_settled();

 private:
  void watch();
  Result<void> settle();
  void lose(const std::string& reason);
  Result<void> list_missing(MessageChannel& messages);
  Result<void> converse(MessageChannel& messages);
  Result<void> hear(MessageChannel& messages);
  Result<void> put(const image::PageRun& run, std::span<const std::byte> pages);
  void describe();

  Host& host_;
  const Journal& journal_;
  const Cancellation& stopping_;
  JournalEntry entry_;
  std::unique_ptr<KeeperLink> keeper_;
  std::atomic<uint64_t> left_ = 0;  // bytes that are missing, about

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::string lost_;  // why, if it is
  bool settled_ = false;
  TlsConnection* memory_connection_ = nullptr;  // being served
  std::thread watcher_;
};

class MemoryArrivals {
 public:
  // `directory` is for the keepers' sockets. What is borrowed outlives this.
  MemoryArrivals(Host& host, const Journal& journal, const Cancellation& stopping,
                 std::string directory)
      : host_(host), journal_(journal), stopping_(stopping), directory_(std::move(directory)) {}

  Result<std::unique_ptr<KeeperLink>> start_keeper(const std::string& migration) const;
  // Whether the keeper of an earlier agent's migration still holds its memory.
  bool is_kept(const std::string& migration) const;

  // The container runs, and the journal says `entry`.
  std::shared_ptr<MemoryArrival> begin(JournalEntry entry, std::unique_ptr<KeeperLink> keeper);
  // The same for what an earlier agent left. Without its keeper the container is ended.
  Result<void> resume(const JournalEntry& entry);
  // Null: not (any more) under way.
  std::shared_ptr<MemoryArrival> find(const std::string& migration) const;

 private:
  std::string path_of(const std::string& migration) const { return directory_ + "/" + migration; }

  Host& host_;
  const Journal& journal_;
  const Cancellation& stopping_;
  const std::string directory_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<MemoryArrival>> arrivals_;  // by migration
};

}  // namespace martlet::migrate
