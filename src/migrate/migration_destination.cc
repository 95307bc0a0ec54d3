#include "migrate/migration_destination.h"

#include "base/log.h"
#include "image/byte_stream.h"
#include "migrate/change_receiver.h"
#include "migrate/clock_sync.h"
#include "migrate/file_sync.h"
#include "migrate/peer.h"
#include "migrate/prepared_source.h"
#include "migrate/requirements.h"
#include "migrate/striped_reader.h"

namespace martlet::migrate {

namespace {

constexpr std::chrono::seconds kChannelTimeout{10};
// The first copy may take hours, and only the source talks then. Its death shows as a lost
// connection.
constexpr std::chrono::milliseconds kIdleTimeout = std::chrono::hours(24);
// Between two attempts at something that has to succeed.
constexpr std::chrono::milliseconds kRetryInterval{500};

}  // namespace

DestinationSession::DestinationSession(const Environment& environment, MessageChannel control,
                                       std::string source, const Cancellation& cancellation)
    : environment_(environment),
      control_(std::move(control)),
      source_(std::move(source)),
      cancellation_(cancellation) {}

DestinationSession::~DestinationSession() = default;

Result<void> DestinationSession::run(const protocol::Offer& offer) {
  migration_ = offer.migration();
  container_name_ = offer.container();
  control_.connection().set_limits({.timeout = kIdleTimeout, .cancellation = &cancellation_});
  auto moved = in_context(move(offer), "container " + container_name_ + " from " + source_);
  if (removable_) {
    if (!moved) (void)control_.send(make_failure(moved.error()));  // it may be gone
    remove_everything();
  }
  if (begun_ && environment_.arrivals)
    environment_.arrivals->on_end(migration_, removable_ ? moved : Result<void>());
  return moved;
}

void DestinationSession::begin(std::unique_ptr<ReservedContainer> reserved) {
  container_ = std::move(reserved);
  begun_ = true;
  if (environment_.arrivals) environment_.arrivals->on_begin(migration_, container_name_, source_);
  reached(Stage::kFirstCopy);
}

void DestinationSession::reached(Stage stage) {
  if (environment_.arrivals) environment_.arrivals->on_stage(migration_, stage);
}

Result<void> DestinationSession::fault(const char* step) {
  return environment_.faults.reached(std::string("destination.") + step, cancellation_);
}

Result<void> DestinationSession::move(const protocol::Offer& offer) {
  if (!TRY(consider(offer))) return {};
  TRY(fault("accepted"));
  TRY(restore(TRY(answer_until_restore())));
  TRY(control_.expect(protocol::Message::kCommit));
  TRY(fault("commit"));
  return commit();
}

// Whether this host takes the container; if so, its name and addresses are reserved.
Result<bool> DestinationSession::consider(const protocol::Offer& offer) {
  Host& host = environment_.host;
  auto capabilities = TRY(read_capabilities(host.file_store()));
  auto problems = find_missing(offer.requirements(), capabilities, host.base_layer(offer.record()));
  for (std::string& problem : host.problems_with(offer.record()))
    problems.push_back(std::move(problem));
  if (problems.empty() && !offer.check_only()) {
    TRY(write_journal(JournalState::kPrepared));
    auto reserved = host.reserve(offer.record(), migration_);
    if (reserved)
      begin(std::move(*reserved));
    else
      problems.push_back(reserved.error().to_string());
  }
  protocol::Message verdict;
  verdict.mutable_verdict();
  for (std::string& problem : problems) verdict.mutable_verdict()->add_problems(std::move(problem));
  if (container_) {
    std::lock_guard lock(mutex_);
    trees_ = container_->files();
    for (const FileTree& tree : trees_)
      *verdict.mutable_verdict()->add_trees() = describe_target(tree);
  }
  TRY(control_.send(verdict));
  return container_ != nullptr;
}

Result<protocol::Restore> DestinationSession::answer_until_restore() {
  for (;;) {
    auto message = TRY(control_.receive());
    switch (message.kind_case()) {
      case protocol::Message::kClockQuery: TRY(answer_clock_query(control_)); break;
      case protocol::Message::kBuildSandbox: TRY(build_sandbox(message.build_sandbox())); break;
      case protocol::Message::kRestore: return message.restore();
      case protocol::Message::kAbort:
        return fail(Code::kCancelled, "the source gave up: " + message.abort().reason());
      default:
        return fail(Code::kBadImage, "the source sent message " +
                                         std::to_string(message.kind_case()) + " out of turn");
    }
  }
}

Result<void> DestinationSession::build_sandbox(const protocol::BuildSandbox& request) {
  sys::ClockReading now = read_own_clocks();
  auto offsets = TRY(
      sys::offsets_to_show({.monotonic = now.monotonic + Nanoseconds(request.monotonic_offset_ns()),
                            .boottime = now.boottime + Nanoseconds(request.boottime_offset_ns())}));
  TRY(container_->build_sandbox(offsets));
  TRY(container_
          ->adopt());  // before the freeze, because it syncs; the journal still says "prepared"
  open_packets();
  if (request.late_memory()) {
    if (environment_.memory == nullptr)
      return fail(Code::kUnsupported, "memory cannot follow a container to this host");
    keeper_ = TRY(environment_.memory->start_keeper(migration_));
  }
  TRY(fault("sandbox"));
  protocol::Message ready;
  ready.mutable_sandbox_ready();
  return control_.send(ready);
}

// Without them the container moves all the same; its peers send again what they lose.
void DestinationSession::open_packets() {
  auto port = container_->network();
  if (!port) return;
  if (auto opened = packets_.open(std::move(*port)); !opened)
    spdlog::warn("container {}: packets that arrive during the pause are lost: {}", container_name_,
                 opened.error().to_string());
}

Result<void> DestinationSession::restore(const protocol::Restore& request) {
  auto state = TRY(await_state(request.streams()));
  TRY(fault("restoring"));
  reached(Stage::kRestore);
  auto source = image::make_source(*state);
  if (request.prepares())
    source = std::make_unique<PreparedSource>(std::move(source), [this] {
      protocol::Message prepared;
      prepared.mutable_prepared();
      return control_.send(prepared);
    });
  auto scope = keeper_ ? checkpoint::MemoryScope::kUrgent : checkpoint::MemoryScope::kComplete;
  restored_ = TRY(container_->restore(*source, scope));
  TRY(take_late_memory());
  TRY(fault("restored"));
  auto stats = restored_->stats();
  protocol::Message message;
  message.mutable_restored()->set_processes(stats.processes);
  message.mutable_restored()->set_threads(stats.threads);
  message.mutable_restored()->set_memory_bytes(stats.memory_bytes);
  message.mutable_restored()->set_build_seconds(stats.build_seconds);
  return control_.send(message);
}

// From here on the keeper stands for every missing page. Without one it is not needed.
Result<void> DestinationSession::take_late_memory() {
  auto late = restored_->take_late_memory();
  if (!late.empty()) return keeper_->add(late);
  if (keeper_) keeper_->discard();
  keeper_.reset();
  return {};
}

// Everything up to the journal can be undone, and a crash undoes it: the frozen tasks are not the
// container's yet. With the journal written they are, and run() only has to be repeated. The source
// hears of it when the journal says that it has run: it may forget the container then.
Result<void> DestinationSession::commit() {
  reached(Stage::kResume);
  TRY(restored_->detach_frozen());
  TRY(fault("committing"));
  if (container_->init().value == 0) return fail(Code::kGone, "it ended while it was rebuilt");
  TRY(decide());
  TRY(insist(&DestinationSession::run_container, "let it run"));
  protocol::Message answer;
  answer.mutable_committed()->set_thawed_monotonic_ns(read_own_clocks().monotonic.count());
  TRY(insist(&DestinationSession::note_arrival, "note that it runs here"));
  TRY(fault("arrived"));
  auto told = control_.send(answer);
  packets_.settle();
  if (arrival_) reached(Stage::kLateMemory);
  TRY(told);
  TRY(fault("answered"));
  restored_.reset();
  if (arrival_) TRY(arrival_->wait());
  auto forget = TRY(control_.receive());
  if (!forget.has_forget()) return fail(Code::kBadImage, "the source sent something else");
  stop_channels();
  container_.reset();  // its next move may begin as soon as the source is told
  TRY(serve_forget(environment_.journal, migration_, control_));
  return fault("forgotten");
}

// The commit point. A write that failed may have happened; as long as the journal says that it did,
// nothing may be removed, because the next agent would run what is left.
Result<void> DestinationSession::decide() {
  removable_ = false;
  auto written = write_journal(JournalState::kCommitted);
  while (!written && !removable_) {
    TRY(wait_after("take the commit back", written.error()));
    removable_ = write_journal(JournalState::kPrepared).has_value();
  }
  return written;
}

// Past the commit there is no way back, so everything is repeated until it works.
Result<void> DestinationSession::insist(Step step, const char* what) {
  for (;;) {
    auto done = (this->*step)();
    if (done) return {};
    TRY(wait_after(what, done.error()));
  }
}

Result<void> DestinationSession::run_container() {
  TRY(fault("committed"));
  if (container_->init().value == 0) return {};  // it has run, and ended
  announced_ = announced_ || connect();
  if (!announced_) TRY(container_->announce());
  announced_ = true;
  TRY(container_->run());
  packets_.deliver();
  return {};
}

// Whether the network knows that the container is here. It is this host's by now and runs whatever
// fails here.
bool DestinationSession::connect() {
  if (!packets_.is_open()) return false;
  auto connected = [this]() -> Result<void> {
    TRY(packets_.take_over());
    TRY(container_->attach());
    return packets_.announce();
  }();
  if (!connected) spdlog::error("container {}: {}", container_name_, connected.error().to_string());
  return connected.has_value();
}

Result<void> DestinationSession::note_arrival() {
  TRY(fault("running"));
  if (!keeper_) return write_journal(JournalState::kArrived);
  TRY(write_journal(JournalState::kArriving));
  JournalEntry arriving = entry(JournalState::kArriving);
  arrival_ = environment_.memory->begin(std::move(arriving), std::move(keeper_));
  container_.reset();  // its operator may stop it, or end it, meanwhile
  return {};
}

// Only the end of the agent is an error; the next one goes on from the journal.
Result<void> DestinationSession::wait_after(const char* what, const Error& error) {
  spdlog::error("container {}: {}: {}; trying again", container_name_, what, error.to_string());
  return cancellation_.sleep(kRetryInterval);
}

Result<void> DestinationSession::write_journal(JournalState state) {
  return environment_.journal.write(entry(state));
}

JournalEntry DestinationSession::entry(JournalState state) const {
  return {.migration = migration_,
          .container = container_name_,
          .incarnation = migration_,
          .state = state,
          .peer = source_,
          .late_memory = keeper_ != nullptr};
}

// Nobody writes below the container's directory any more when this returns.
void DestinationSession::stop_channels() {
  std::unique_lock lock(mutex_);
  closing_ = true;
  for (TlsConnection* channel : file_channels_) channel->shutdown();
  changed_.wait(lock, [this] { return file_channels_.empty(); });
}

// Repeated until it works: the source may be waiting to hear that nothing is left. If the agent
// stops first, the journal makes the next one do it.
void DestinationSession::remove_everything() {
  stop_channels();
  restored_.reset();
  bool gone = !container_;
  const auto remove = [&]() -> Result<void> {
    if (!gone) TRY(container_->destroy());
    gone = true;
    if (keeper_) keeper_->discard();
    keeper_.reset();
    return environment_.journal.erase(migration_);
  };
  for (;;) {
    auto removed = remove();
    if (removed || !wait_after("remove what came of it", removed.error())) return;
  }
}

Result<std::unique_ptr<image::ByteReader>> DestinationSession::await_state(uint32_t streams) {
  auto connections = TRY(state_channels_.take(streams, kChannelTimeout));
  if (connections.size() == 1) return std::move(connections.front());
  const WaitLimits limits = connections.front()->limits();
  return std::make_unique<StripedReader>(std::move(connections), limits);
}

Result<void> DestinationSession::serve_channel(const protocol::Channel& request,
                                               std::unique_ptr<TlsConnection> channel) {
  channel->set_limits({.timeout = kStageTimeout, .cancellation = &cancellation_});
  switch (request.kind()) {
    case protocol::Channel::STATE: return state_channels_.add(request.stripe(), std::move(channel));
    case protocol::Channel::FILES:
    case protocol::Channel::CHANGES: return receive_on(request.kind(), std::move(channel));
    case protocol::Channel::PACKETS: return receive_packets(std::move(channel));
    default:
      return fail(Code::kUnsupported,
                  "unknown connection of kind " + std::to_string(request.kind()));
  }
}

// Until the source closes, which it does when its own copy is gone.
Result<void> DestinationSession::receive_packets(std::unique_ptr<TlsConnection> channel) {
  channel->set_limits({.timeout = kIdleTimeout, .cancellation = &cancellation_});
  MessageChannel messages(std::move(channel));
  for (;;) {
    auto message = messages.receive();
    if (!message && message.error().code() == Code::kPeerLost) return {};
    if (!message) return std::unexpected(std::move(message.error()));
    std::vector<sys::Frame> frames;
    for (const std::string& frame : message->held_frames().frames()) {
      auto bytes = std::as_bytes(std::span(frame));
      frames.emplace_back(bytes.begin(), bytes.end());
    }
    packets_.add(std::move(frames), message->held_frames().last());
  }
}

Result<void> DestinationSession::receive_on(protocol::Channel::Kind kind,
                                            std::unique_ptr<TlsConnection> channel) {
  TlsConnection& connection = *channel;
  MessageChannel messages(std::move(channel));
  std::unique_lock lock(mutex_);
  if (closing_) return fail(Code::kCancelled, "the migration ended");
  file_channels_.insert(&connection);
  auto trees = trees_;
  lock.unlock();
  Result<void> received;
  if (kind == protocol::Channel::CHANGES) {
    connection.set_limits({.timeout = kIdleTimeout, .cancellation = &cancellation_});
    received = receive_changes(messages, trees, [this] { return container_->files_changed(); });
  } else {
    received = receive_files(connection, trees);
  }
  lock.lock();
  file_channels_.erase(&connection);
  changed_.notify_all();
  return received;
}

Result<void> serve_forget(const Journal& journal, const std::string& migration,
                          MessageChannel& channel) {
  auto entry = journal.find(migration);
  if (entry && entry->state != JournalState::kArrived)
    return fail(Code::kBadImage, "the source wants a migration forgotten that has not arrived");
  TRY(journal.erase(migration));
  protocol::Message answer;
  answer.mutable_forgotten();
  return channel.send(answer);
}

}  // namespace martlet::migrate
