// The destination's side of one migration.
//
// run() blocks on the thread that serves the control connection; that thread rebuilds the container
// and is therefore its tracer. Further connections of the migration are handed in from the server's
// other threads. Until the commit everything that was made here is removed on any failure, and on
// the loss of the source.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "migrate/environment.h"
#include "migrate/message_channel.h"
#include "migrate/packet_inbox.h"
#include "migrate/state_channels.h"

namespace martlet::migrate {

class DestinationSession {
 public:
  // `source` is the name in the peer's certificate. `cancellation` ends the session early.
  DestinationSession(const Environment& environment, MessageChannel control, std::string source,
                     const Cancellation& cancellation);
  ~DestinationSession();

  Result<void> run(const protocol::Offer& offer);

  // Takes a further connection: keeps the state stream for run(), serves files until their end.
  // Called on the thread of that connection.
  Result<void> serve_channel(const protocol::Channel& request,
                             std::unique_ptr<TlsConnection> channel);

  const std::string& source() const { return source_; }

 private:
  Result<void> move(const protocol::Offer& offer);
  Result<bool> consider(const protocol::Offer& offer);
  void begin(std::unique_ptr<ReservedContainer> reserved);
  void reached(Stage stage);
  Result<void> build_sandbox(const protocol::BuildSandbox& request);
  Result<protocol::Restore> answer_until_restore();
  void open_packets();
  Result<void> restore(const protocol::Restore& request);
  Result<void> commit();
  Result<void> decide();
  Result<void> run_container();
  Result<void> note_arrival();
  Result<void> take_late_memory();
  JournalEntry entry(JournalState state) const;
  bool connect();
  Result<void> write_journal(JournalState state);
  Result<std::unique_ptr<image::ByteReader>> await_state(uint32_t streams);
  Result<void> fault(const char* step);
  Result<void> receive_on(protocol::Channel::Kind kind, std::unique_ptr<TlsConnection> channel);
  Result<void> receive_packets(std::unique_ptr<TlsConnection> channel);
  void stop_channels();
  void remove_everything();
  using Step = Result<void> (DestinationSession::*)();
  Result<void> insist(Step step, const char* what);
  Result<void> wait_after(const char* what, const Error& error);

  const Environment& environment_;
  MessageChannel control_;
  const std::string source_;
  const Cancellation& cancellation_;
  std::string migration_;
  std::string container_name_;
  std::unique_ptr<ReservedContainer> container_;
  std::unique_ptr<RestoredContainer> restored_;
  std::unique_ptr<KeeperLink> keeper_;      // of memory that is still to come
  std::shared_ptr<MemoryArrival> arrival_;  // the same, once it runs
  bool begun_ = false;                      // an observer was told of it
  bool announced_ = false;                  // the network knows that the container is here
  bool removable_ = true;  // no reader of the journal can take the container for ours
  PacketInbox packets_;
  StateChannels state_channels_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::vector<FileTree> trees_;
  std::set<TlsConnection*> file_channels_;  // being served by other threads
  bool closing_ = false;
};

// Answers Forget: the source has nothing left of the container. Only a migration that arrived, or
// that is forgotten already, can be forgotten.
Result<void> serve_forget(const Journal& journal, const std::string& migration,
                          MessageChannel& channel);

}  // namespace martlet::migrate
