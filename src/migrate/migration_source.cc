#include "migrate/migration_source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "base/log.h"
#include "image/byte_stream.h"
#include "migrate/clock_sync.h"
#include "migrate/file_sync.h"
#include "migrate/message_channel.h"
#include "migrate/metered_sink.h"
#include "migrate/packet_hold.h"
#include "migrate/peer.h"
#include "migrate/requirements.h"
#include "migrate/stage_log.h"
#include "sys/procfs.h"

namespace martlet::migrate {

namespace {

// How often a frozen container is let go again because a connection is just being opened.
constexpr int kFreezeAttempts = 20;
constexpr Nanoseconds kSetupPause = std::chrono::milliseconds(5);
// For the destination to say why it gave up.
constexpr std::chrono::milliseconds kLastWordsTimeout{2000};

class SourceRun {
 public:
  SourceRun(const Environment& environment, const std::string& container,
            const std::string& destination, const Cancellation& cancellation, Observer& observer)
      : environment_(environment),
        cancellation_(cancellation),
        peer_(environment.tls, environment.host, destination, make_migration_id()),
        log_(environment.clock, observer, container, environment.host.name(), destination) {}

  Result<MigrationReport> run() {
    container_ = TRY(environment_.host.open_container(log_.container()));
    if (container_->init().value == 0) return fail(Code::kInvalidArgument, "it does not run");
    if (auto moved = move(); !moved) {
      Error error = explain(std::move(moved.error()));
      roll_back(error);
      return std::unexpected(std::move(error));
    }
    leave();
    return log_.finish();
  }

 private:
  using Step = Result<void> (SourceRun::*)();

  Result<void> stage(Stage stage, Step step) {
    TRY(cancellation_.check());
    return log_.measure(stage, [&] { return (this->*step)(); });
  }

  // Up to the answer that makes the destination the owner.
  Result<void> move() {
    TRY(stage(Stage::kPreflight, &SourceRun::preflight));
    TRY(stage(Stage::kFirstCopy, &SourceRun::first_copy));
    TRY(stage(Stage::kFreeze, &SourceRun::freeze));
    TRY(stage(Stage::kSecondCopy, &SourceRun::second_copy));
    TRY(stage(Stage::kCapture, &SourceRun::capture));
    TRY(stage(Stage::kRestore, &SourceRun::await_restore));
    TRY(fault("restored"));
    TRY(cancellation_.check());
    return log_.measure(Stage::kResume, [&] { return commit(); });
  }

  Result<void> fault(const char* step) {
    return environment_.faults.reached(std::string("source.") + step, cancellation_);
  }

  WaitLimits limits() const { return {.timeout = kStageTimeout, .cancellation = &cancellation_}; }

  Result<void> preflight() {
    protocol::Offer offer;
    offer.set_migration(peer_.migration());
    offer.set_container(log_.container());
    offer.set_source(environment_.host.name());
    offer.set_record(container_->record());
    *offer.mutable_requirements() = TRY(gather_requirements(*container_));
    TRY(write_journal(JournalState::kPreparing));
    control_.emplace(TRY(peer_.open_control(limits())));
    protocol::Message hello = make_hello();
    *hello.mutable_hello()->mutable_offer() = std::move(offer);
    TRY(control_->send(hello));
    auto answer = TRY(control_->expect(protocol::Message::kVerdict));
    TRY(accept_verdict(answer.verdict()));
    return fault("preflight");
  }

  Result<void> accept_verdict(const protocol::Verdict& verdict) {
    if (verdict.problems_size() > 0)
      return fail(Code::kUnsupported, fmt::format("host {} cannot take it: {}", peer_.name(),
                                                  fmt::join(verdict.problems(), "; ")));
    sender_.emplace(container_->files(),
                    std::vector(verdict.trees().begin(), verdict.trees().end()),
                    [this] { return peer_.open_channel(protocol::Channel::FILES, limits()); });
    return {};
  }

  Result<void> first_copy() {
    TRY(fault("first-copy"));
    auto on_sent = [this](uint64_t bytes) { log_.progress(Stage::kFirstCopy, bytes, 0); };
    log_.add_bytes(Stage::kFirstCopy, TRY(sender_->copy(CopyPass::kRunning, {}, on_sent)));
    TRY(prepare_sandbox());
    return fault("sandbox");
  }

  // Everything on the destination that can exist before the freeze.
  Result<void> prepare_sandbox() {
    ClockBridge clocks = TRY(measure_clocks(*control_, container_->init()));
    destination_ahead_ = clocks.destination_ahead;
    protocol::Message request;
    request.mutable_build_sandbox()->set_monotonic_offset_ns(clocks.container.monotonic.count());
    request.mutable_build_sandbox()->set_boottime_offset_ns(clocks.container.boottime.count());
    TRY(control_->send(request));
    TRY(control_->expect(protocol::Message::kSandboxReady));
    state_ = TRY(peer_.open_channel(protocol::Channel::STATE, limits()));
    auto port = container_->network();
    if (!port) return {};
    auto packets = TRY(peer_.open_channel(protocol::Channel::PACKETS, limits()));
    hold_ = TRY(PacketHold::open(*port, std::move(packets)));
    return {};
  }

  Result<void> freeze() {
    for (int attempt = 1;; ++attempt) {
      frozen_at_ = environment_.clock.now();
      frozen_ = TRY(container_->freeze());
      network_held_ = true;
      TRY(container_->hold_network());
      if (container_->connections_in_setup() == 0) break;
      if (attempt == kFreezeAttempts)
        return fail(Code::kUnsupported, "connections keep waiting to be accepted");
      TRY(go_on());
      environment_.clock.sleep_for(kSetupPause);
    }
    if (hold_) TRY(hold_->begin());
    return fault("frozen");
  }

  Result<void> second_copy() {
    auto processes = TRY(sys::list_namespace_processes(container_->init()));
    log_.add_bytes(Stage::kSecondCopy, TRY(sender_->copy(CopyPass::kFrozen, processes)));
    return fault("second-copy");
  }

  Result<void> capture() {
    protocol::Message request;
    request.mutable_restore();
    TRY(control_->send(request));
    auto records = image::make_sink(*state_);
    MeteredSink sink(*records, environment_.clock, cancellation_, [this](uint64_t bytes) {
      log_.progress(Stage::kTransfer, bytes, container_memory_);
    });
    TRY(frozen_->capture(sink));
    TRY(sink.flush());
    log_.move_seconds(Stage::kCapture, Stage::kTransfer, sink.seconds_below());
    log_.add_bytes(Stage::kTransfer, sink.bytes());
    return fault("captured");
  }

  // While the destination builds the last of it, this side gets ready for the commit: writing the
  // journal early is safe, because a destination that was never asked to commit says so.
  Result<void> await_restore() {
    TRY(frozen_->hold());
    TRY(write_journal(JournalState::kCommitting));
    TRY(control_->expect(protocol::Message::kRestored));
    return {};
  }

  // The one step after which the container is not ours any more; see docs/migration.md.
  Result<void> commit() {
    TRY(fault("committing"));
    control_->connection().set_limits({.timeout = kStageTimeout, .cancellation = nullptr});
    protocol::Message request;
    request.mutable_commit();
    auto answer = ask(request);
    if (!answer) {
      spdlog::warn(
          "container {}: the answer to the commit is missing ({}); it stays frozen until "
          "host {} tells",
          log_.container(), answer.error().to_string(), peer_.name());
      if (peer_.resolve(environment_.clock) == protocol::Resolution::ABORTED)
        return std::unexpected(std::move(answer.error()));
    }
    owned_by_destination_ = true;
    note_thaw(answer);
    return {};
  }

  Result<protocol::Message> ask(const protocol::Message& request) {
    TRY(control_->send(request));
    return control_->expect(protocol::Message::kCommitted);
  }

  void note_thaw(const Result<protocol::Message>& answer) {
    Nanoseconds thawed = environment_.clock.now();
    if (answer)
      thawed = std::min(
          thawed, Nanoseconds(answer->committed().thawed_monotonic_ns()) - destination_ahead_);
    log_.set_pause(thawed - frozen_at_);
  }

  // Stages 8 and 9. The container runs elsewhere by now, so a failure is only reported here; the
  // journal makes the next start of the agent finish it.
  void leave() {
    auto left = try_to_leave();
    if (left) return;
    spdlog::error(
        "container {} moved to {}, but its remains stay here until the agent restarts: {}",
        log_.container(), peer_.name(), left.error().to_string());
    (void)frozen_.release();  // destroying it would thaw a second copy
  }

  Result<void> try_to_leave() {
    TRY(write_journal(JournalState::kLeaving));
    TRY(log_.measure(Stage::kStopSource, [&] { return frozen_->kill(); }));
    TRY(log_.measure(Stage::kRemoveSource, [&] { return container_->destroy(); }));
    protocol::Message forget;
    forget.mutable_forget()->set_migration(peer_.migration());
    (void)control_->send(forget);  // otherwise the destination only keeps a small file
    return environment_.journal.erase(peer_.migration());
  }

  // A destination that gave up says why before it closes; that is a better cause than "peer lost".
  Error explain(Error error) {
    if (error.code() != Code::kPeerLost || !control_) return error;
    control_->connection().set_limits({.timeout = kLastWordsTimeout, .cancellation = nullptr});
    for (;;) {
      auto message = control_->receive();
      if (message) continue;
      Code code = message.error().code();
      if (code == Code::kPeerLost || code == Code::kTimeout) return error;
      return std::move(message.error()).with_context("host " + peer_.name());
    }
  }

  void roll_back(const Error& error) {
    CHECK(!owned_by_destination_);
    state_.reset();  // a destination that is still reading stops
    if (control_) tell_abort(error);
    if (auto going_on = go_on(); !going_on)
      spdlog::error("container {}: {}", log_.container(), going_on.error().to_string());
    deliver_held_packets();
    if (auto erased = environment_.journal.erase(peer_.migration()); !erased)
      spdlog::error("{}", erased.error().to_string());
    if (control_) await_end();
  }

  void tell_abort(const Error& error) {
    protocol::Message abort;
    abort.mutable_abort()->set_reason(error.to_string());
    control_->connection().set_limits({.timeout = kLastWordsTimeout, .cancellation = nullptr});
    (void)control_->send(abort);  // a closed connection says the same
  }

  // The destination closes once it has removed everything; a new attempt may follow at once then.
  void await_end() {
    for (;;) {
      auto message = control_->receive();
      if (message) continue;
      Code code = message.error().code();
      if (code == Code::kPeerLost || code == Code::kTimeout) return;
    }
  }

  // The container serves here again.
  Result<void> go_on() {
    if (network_held_) TRY(container_->release_network());
    network_held_ = false;
    if (frozen_) TRY(frozen_->thaw());
    frozen_.reset();
    return {};
  }

  void deliver_held_packets() {
    if (!hold_) return;
    if (auto delivered = hold_->deliver_here(); !delivered)
      spdlog::warn("held packets: {}", delivered.error().to_string());
  }

  Result<void> write_journal(JournalState state) {
    return environment_.journal.write({.migration = peer_.migration(),
                                       .container = log_.container(),
                                       .state = state,
                                       .peer = peer_.name()});
  }

  const Environment& environment_;
  const Cancellation& cancellation_;
  Peer peer_;
  StageLog log_;
  std::unique_ptr<SourceContainer> container_;
  std::optional<MessageChannel> control_;
  std::unique_ptr<TlsConnection> state_;
  std::optional<FileSender> sender_;
  std::unique_ptr<PacketHold> hold_;
  std::unique_ptr<FrozenContainer> frozen_;
  bool network_held_ = false;
  bool owned_by_destination_ = false;
  uint64_t container_memory_ = 0;
  Nanoseconds frozen_at_{};
  Nanoseconds destination_ahead_{};
};

}  // namespace

Result<MigrationReport> migrate_container(const Environment& environment,
                                          const std::string& container,
                                          const std::string& destination,
                                          const Cancellation& cancellation, Observer& observer) {
  SourceRun run(environment, container, destination, cancellation, observer);
  return in_context(run.run(), "container " + container + ": migration to " + destination);
}

}  // namespace martlet::migrate
