#include "migrate/migration_destination.h"

#include "base/log.h"
#include "image/byte_stream.h"
#include "migrate/clock_sync.h"
#include "migrate/file_sync.h"
#include "migrate/peer.h"
#include "migrate/requirements.h"

namespace martlet::migrate {

namespace {

constexpr std::chrono::seconds kChannelTimeout{10};
// The first copy may take hours, and only the source talks then. Its death shows as a lost
// connection.
constexpr std::chrono::milliseconds kIdleTimeout = std::chrono::hours(24);

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
  if (committed_) return moved;
  if (!moved) (void)control_.send(make_failure(moved.error()));  // it may be gone
  remove_everything();
  return moved;
}

Result<void> DestinationSession::fault(const char* step) {
  return environment_.faults.reached(std::string("destination.") + step, cancellation_);
}

Result<void> DestinationSession::move(const protocol::Offer& offer) {
  if (!TRY(consider(offer))) return {};
  TRY(fault("accepted"));
  TRY(answer_until_restore());
  TRY(restore());
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
  if (problems.empty()) {
    TRY(write_journal(JournalState::kPrepared));
    auto reserved = host.reserve(offer.record());
    if (reserved)
      container_ = std::move(*reserved);
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

Result<void> DestinationSession::answer_until_restore() {
  for (;;) {
    auto message = TRY(control_.receive());
    switch (message.kind_case()) {
      case protocol::Message::kClockQuery: TRY(answer_clock_query(control_)); break;
      case protocol::Message::kBuildSandbox: TRY(build_sandbox(message.build_sandbox())); break;
      case protocol::Message::kRestore: return {};
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
  TRY(fault("sandbox"));
  protocol::Message ready;
  ready.mutable_sandbox_ready();
  return control_.send(ready);
}

Result<void> DestinationSession::restore() {
  auto channel = TRY(await_state_channel());
  TRY(fault("restoring"));
  auto source = image::make_source(*channel);
  restored_ = TRY(container_->restore(*source));
  TRY(fault("restored"));
  auto stats = restored_->stats();
  protocol::Message message;
  message.mutable_restored()->set_processes(stats.processes);
  message.mutable_restored()->set_threads(stats.threads);
  message.mutable_restored()->set_memory_bytes(stats.memory_bytes);
  message.mutable_restored()->set_build_seconds(stats.build_seconds);
  return control_.send(message);
}

// Everything up to the journal can be undone, and a crash undoes it: the frozen tasks are not the
// container's yet. With the journal written they are, and run() only has to be repeated.
Result<void> DestinationSession::commit() {
  TRY(container_->announce());
  TRY(restored_->detach_frozen());
  TRY(fault("committing"));
  TRY(write_journal(JournalState::kCommitted));
  committed_ = true;
  TRY(fault("committed"));
  TRY(container_->run());
  if (auto port = container_->network()) packets_.open(port->host_interface);
  protocol::Message answer;
  answer.mutable_committed()->set_thawed_monotonic_ns(read_own_clocks().monotonic.count());
  TRY(control_.send(answer));
  TRY(fault("running"));
  restored_.reset();
  auto forget = TRY(control_.receive());
  if (forget.has_forget()) return environment_.journal.erase(migration_);
  return {};
}

Result<void> DestinationSession::write_journal(JournalState state) {
  return environment_.journal.write(
      {.migration = migration_, .container = container_name_, .state = state, .peer = source_});
}

// Nobody writes below the container's directory any more when this returns.
void DestinationSession::stop_channels() {
  std::unique_lock lock(mutex_);
  closing_ = true;
  for (TlsConnection* channel : file_channels_) channel->shutdown();
  changed_.wait(lock, [this] { return file_channels_.empty(); });
}

void DestinationSession::remove_everything() {
  stop_channels();
  restored_.reset();
  if (container_) {
    if (auto destroyed = container_->destroy(); !destroyed) {
      // The journal stays, so the next start of the agent tries again.
      spdlog::error("remove what came of {}: {}", container_name_, destroyed.error().to_string());
      return;
    }
  }
  if (auto erased = environment_.journal.erase(migration_); !erased)
    spdlog::error("{}", erased.error().to_string());
}

Result<std::unique_ptr<TlsConnection>> DestinationSession::await_state_channel() {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, kChannelTimeout, [this] { return state_channel_ != nullptr; }))
    return fail(Code::kTimeout, "the connection for the state did not come");
  return std::move(state_channel_);
}

Result<void> DestinationSession::serve_channel(protocol::Channel::Kind kind,
                                               std::unique_ptr<TlsConnection> channel) {
  channel->set_limits({.timeout = kStageTimeout, .cancellation = &cancellation_});
  if (kind == protocol::Channel::FILES) return receive_on(std::move(channel));
  if (kind == protocol::Channel::PACKETS) return receive_packets(std::move(channel));
  if (kind != protocol::Channel::STATE)
    return fail(Code::kUnsupported, "unknown connection of kind " + std::to_string(kind));
  std::lock_guard lock(mutex_);
  state_channel_ = std::move(channel);
  changed_.notify_all();
  return {};
}

// Until the source closes, which it does when its own copy is gone.
Result<void> DestinationSession::receive_packets(std::unique_ptr<TlsConnection> channel) {
  MessageChannel messages(std::move(channel));
  for (;;) {
    auto message = messages.receive();
    if (!message && message.error().code() == Code::kPeerLost) return {};
    if (!message) return std::unexpected(std::move(message.error()));
    auto frame = std::as_bytes(std::span(message->held_packet().frame()));
    packets_.add({frame.begin(), frame.end()});
  }
}

Result<void> DestinationSession::receive_on(std::unique_ptr<TlsConnection> channel) {
  std::unique_lock lock(mutex_);
  if (closing_) return fail(Code::kCancelled, "the migration ended");
  file_channels_.insert(channel.get());
  auto trees = trees_;
  lock.unlock();
  auto received = receive_files(*channel, trees);
  lock.lock();
  file_channels_.erase(channel.get());
  changed_.notify_all();
  return received;
}

}  // namespace martlet::migrate
