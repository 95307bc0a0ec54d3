#include "migrate/migration_source.h"

#include <algorithm>
#include <future>
#include <optional>

#include "base/check.h"
#include "base/log.h"
#include "base/random_id.h"
#include "migrate/clock_sync.h"
#include "migrate/file_sync.h"
#include "migrate/late_memory_server.h"
#include "migrate/memory_sender.h"
#include "migrate/message_channel.h"
#include "migrate/packet_hold.h"
#include "migrate/peer.h"
#include "migrate/preflight.h"
#include "migrate/quiet_freeze.h"
#include "migrate/stage_log.h"
#include "sys/procfs.h"

namespace martlet::migrate {

namespace {

// The tree that holds what the container changed of its root.
constexpr const char* kUpperTree = "upper";
// For the destination to say why it gave up.
constexpr std::chrono::milliseconds kLastWordsTimeout{2000};

class SourceRun {
 public:
  SourceRun(const Environment& environment, const std::string& container,
            const std::string& destination, const Options& options, Tuning& tuning,
            const Cancellation& cancellation, Observer& observer)
      : environment_(environment),
        options_(options),
        tuning_(tuning),
        limiter_(environment.clock, tuning.bandwidth),
        cancellation_(cancellation),
        peer_(environment.tls, environment.host, destination, random_id()),
        log_(environment.clock, observer, container, environment.host.name(), destination),
        scope_(leaves_memory(options.mode) ? checkpoint::MemoryScope::kUrgent
                                           : checkpoint::MemoryScope::kComplete) {
    peer_.set_rate_limiter(limiter_);
  }

  Result<MigrationReport> run() {
    log_.begin(peer_.migration());
    container_ = TRY(environment_.host.open_container(log_.container()));
    if (container_->init().value == 0) return fail(Code::kInvalidArgument, "it does not run");
    if (auto moved = move(); !moved) {
      if (in_doubt_) return leave_to_the_next_agent(std::move(moved.error()));
      Error error = explain(std::move(moved.error()));
      roll_back(error);
      return std::unexpected(std::move(error));
    }
    if (late_bytes_ > 0)
      if (auto served = serve_memory(); !served)
        return leave_to_the_next_agent(std::move(served.error()));
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
    if (options_.mode == Mode::kStop) TRY(stage(Stage::kRounds, &SourceRun::prepare_memory));
    if (options_.mode == Mode::kPrecopy || options_.mode == Mode::kHybrid)
      TRY(stage(Stage::kRounds, &SourceRun::send_rounds));
    TRY(stage(Stage::kFreeze, &SourceRun::freeze));
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
    auto offer = TRY(make_offer(environment_, *container_, log_.container(), peer_.migration()));
    TRY(write_journal(JournalState::kPreparing));
    TRY(fault("begun"));
    control_.emplace(TRY(peer_.open_control(limits())));
    protocol::Message hello = make_hello();
    *hello.mutable_hello()->mutable_offer() = std::move(offer);
    TRY(control_->send(hello));
    auto answer = TRY(control_->expect(protocol::Message::kVerdict));
    TRY(accept_verdict(answer.verdict()));
    return fault("preflight");
  }

  Result<void> accept_verdict(const protocol::Verdict& verdict) {
    TRY(check_verdict(verdict, peer_.name()));
    sender_.emplace(
        container_->files(), std::vector(verdict.trees().begin(), verdict.trees().end()),
        [this](protocol::Channel::Kind kind) { return peer_.open_channel(kind, limits()); });
    return {};
  }

  Result<void> first_copy() {
    TRY(fault("first-copy"));
    auto on_sent = [this](uint64_t bytes) { log_.progress(Stage::kFirstCopy, bytes); };
    sender_->track(kUpperTree, track_changes());
    log_.add_bytes(Stage::kFirstCopy, TRY(sender_->first_copy(on_sent)));
    TRY(prepare_sandbox());
    TRY(catch_up_files());
    return fault("sandbox");
  }

  Result<void> catch_up_files() {
    auto processes = TRY(sys::list_namespace_processes(container_->init()));
    log_.add_bytes(Stage::kFirstCopy, TRY(sender_->catch_up(processes)));
    return {};
  }

  Result<std::unique_ptr<ChangeTracker>> track_changes() {
    if (container_->upper_layer().empty())
      return fail(Code::kUnsupported, "its root shares its file system with others");
    return ChangeTracker::start(container_->init(), "/");
  }

  // Everything on the destination that can exist before the freeze.
  Result<void> prepare_sandbox() {
    ClockBridge clocks = TRY(measure_clocks(*control_, container_->init()));
    destination_ahead_ = clocks.destination_ahead;
    protocol::Message request;
    request.mutable_build_sandbox()->set_monotonic_offset_ns(clocks.container.monotonic.count());
    request.mutable_build_sandbox()->set_boottime_offset_ns(clocks.container.boottime.count());
    request.mutable_build_sandbox()->set_late_memory(may_leave_memory(options_));
    TRY(control_->send(request));
    TRY(control_->expect(protocol::Message::kSandboxReady));
    state_ = TRY(peer_.open_state(options_.streams, limits()));
    protocol::Message restore;
    restore.mutable_restore()->set_streams(options_.streams);
    restore.mutable_restore()->set_prepares(options_.mode == Mode::kStop);
    TRY(control_->send(restore));
    memory_.emplace(SendingContext{environment_, options_, tuning_, cancellation_, log_},
                    *container_, *state_);
    return open_hold();
  }

  // Without it the container moves all the same; its peers send again what they lose.
  Result<void> open_hold() {
    auto port = container_->network();
    if (!port) return {};
    auto packets = TRY(peer_.open_channel(protocol::Channel::PACKETS, limits()));
    auto hold = PacketHold::open(std::move(*port), std::move(packets));
    if (hold)
      hold_ = std::move(*hold);
    else
      spdlog::warn("container {}: packets that arrive during the pause are lost: {}",
                   log_.container(), hold.error().to_string());
    return {};
  }

  Result<void> freeze() {
    auto frozen = TRY(
        freeze_between_connections(*container_, hold_.get(), environment_.clock, cancellation_));
    frozen_at_ = frozen.since;
    frozen_ = std::move(frozen.container);
    network_held_ = true;
    if (hold_) hold_->forward();
    return fault("frozen");
  }

  // Pages are made before the freeze: a page that is there is written several times as fast.
  Result<void> prepare_memory() {
    if (!TRY(memory_->prepare())) return {};
    TRY(control_->expect(protocol::Message::kPrepared));
    TRY(catch_up_files());
    return fault("prepared");
  }

  Result<void> send_rounds() {
    if (TRY(memory_->send_rounds()) == NextStep::kPostcopy)
      scope_ = checkpoint::MemoryScope::kUrgent;
    TRY(catch_up_files());  // they took their time, as does this
    TRY(memory_->send_what_grew());
    return fault("rounds");
  }

  // The files are copied once more while the capture looks at the container. The destination opens
  // them when it reads the stream, so nothing is sent before they are there.
  Result<void> capture() {
    auto copy = std::async(std::launch::async, [this, processes = frozen_->processes()] {
      return sender_->last_copy(processes);
    });
    auto await_copy = [&]() -> Result<void> {
      log_.add_bytes(Stage::kSecondCopy, TRY(copy.get()));
      log_.note(Stage::kSecondCopy, sender_->note());
      return fault("second-copy");
    };
    late_bytes_ = TRY(memory_->capture(
        *frozen_, scope_, [&] { return log_.measure(Stage::kSecondCopy, await_copy); }));
    return fault("captured");
  }

  // While the destination builds the last of it, this side gets ready for the commit: writing the
  // journal early is safe, because a destination that was never asked to commit says so.
  Result<void> await_restore() {
    TRY(frozen_->hold());
    TRY(write_journal(JournalState::kCommitting));
    TRY(fault("held"));
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
      in_doubt_ = true;
      auto outcome = TRY(peer_.resolve(environment_.stopping));
      in_doubt_ = false;
      if (outcome == protocol::Resolution::ABORTED)
        return std::unexpected(std::move(answer.error()));
    }
    owned_by_destination_ = true;
    if (hold_) hold_->moved();
    note_thaw(answer);
    return {};
  }

  Result<protocol::Message> ask(const protocol::Message& request) {
    TRY(control_->send(request));
    TRY(fault("asked"));
    return control_->expect(protocol::Message::kCommitted);
  }

  void note_thaw(const Result<protocol::Message>& answer) {
    Nanoseconds thawed = environment_.clock.now();
    if (answer)
      thawed = std::min(
          thawed, Nanoseconds(answer->committed().thawed_monotonic_ns()) - destination_ahead_);
    log_.set_pause(thawed - frozen_at_);
  }

  // The agent stops while nobody knows whose the container is: it stays frozen, and the journal
  // makes the next agent ask. Destroying what holds it would thaw it, and let others change it.
  std::unexpected<Error> leave_to_the_next_agent(Error error) {
    (void)frozen_.release();
    (void)container_.release();
    return std::unexpected(
        std::move(error).with_context("it stays frozen until the next "
                                      "agent has asked host " +
                                      peer_.name()));
  }

  // The container runs on the destination and needs what is still here, so nothing but the end of
  // the agent stops this: the journal makes the next one go on with it.
  Result<void> serve_memory() {
    if (auto noted = write_journal(JournalState::kServing); !noted)
      spdlog::warn("container {}: {}", log_.container(), noted.error().to_string());
    return log_.measure(Stage::kLateMemory, [&]() -> Result<void> {
      (void)fault("serving");
      auto sent = TRY(serve_late_memory(environment_, container_->init(),
                                        {.destination = peer_.name(),
                                         .migration = peer_.migration(),
                                         .push_after = options_.push_after,
                                         .compression = options_.compression,
                                         .limiter = &limiter_,
                                         .on_progress = [&](const LateMemoryProgress& now) {
                                           log_.progress(Stage::kLateMemory, now.sent,
                                                         {.remaining = now.left});
                                         }}));
      log_.add_bytes(Stage::kLateMemory, sent.sent);
      log_.set_late_memory(sent.sent, sent.wanted);
      (void)fault("served");
      return {};
    });
  }

  // Stages 8 and 9. The container runs elsewhere by now, so a failure is only reported here; what
  // the journal still holds is finished later (recovery.h).
  void leave() {
    auto left = try_to_leave();
    if (left) return;
    spdlog::error("container {} moved to {}, but this is left to be done here: {}",
                  log_.container(), peer_.name(), left.error().to_string());
    if (!frozen_) return;
    // Not even dead: nobody but the next agent may touch it. Destroying these would thaw it.
    (void)frozen_.release();
    (void)container_.release();
  }

  // Without the journal's "leaving" the destination's answer would say the same.
  Result<void> try_to_leave() {
    if (auto noted = write_journal(JournalState::kLeaving); !noted)
      spdlog::warn("container {}: {}", log_.container(), noted.error().to_string());
    TRY(fault("leaving"));
    TRY(log_.measure(Stage::kStopSource, [&] { return frozen_->kill(); }));
    frozen_.reset();
    sender_.reset();  // it may still be letting go of the files that it watched
    TRY(log_.measure(Stage::kRemoveSource, [&] { return container_->destroy(); }));
    TRY(fault("removed"));
    if (hold_) hold_->finish();
    TRY(forget());
    TRY(fault("forgotten"));
    return environment_.journal.erase(peer_.migration());
  }

  // The journal's entry stays until the destination has confirmed that it needs its own no longer.
  Result<void> forget() {
    control_->connection().set_limits({.timeout = kLastWordsTimeout, .cancellation = nullptr});
    protocol::Message forget;
    forget.mutable_forget()->set_migration(peer_.migration());
    TRY(control_->send(forget));
    auto answer = TRY(control_->receive());
    if (answer.has_committed()) answer = TRY(control_->receive());  // it came another way before
    if (answer.has_forgotten()) return {};
    return fail(Code::kBadImage, "host " + peer_.name() + " does not confirm that it forgets");
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
    memory_.reset();
    state_.reset();  // a destination that is still reading stops
    if (control_) tell_abort(error);
    auto settled = go_on();
    deliver_held_packets();
    // An entry that stays makes the next agent let it go on.
    if (settled) settled = environment_.journal.erase(peer_.migration());
    if (!settled) spdlog::error("container {}: {}", log_.container(), settled.error().to_string());
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
    while (control_->next()) continue;
  }

  // The container serves here again. It runs even if its network could not be attached.
  Result<void> go_on() {
    auto attached = network_held_ ? container_->release_network() : Result<void>{};
    if (attached) network_held_ = false;
    auto thawed = frozen_ ? frozen_->thaw() : Result<void>{};
    frozen_.reset();
    return thawed ? attached : thawed;
  }

  void deliver_held_packets() {
    if (!hold_) return;
    if (auto delivered = hold_->deliver_here(); !delivered)
      spdlog::warn("held packets: {}", delivered.error().to_string());
  }

  Result<void> write_journal(JournalState state) {
    return environment_.journal.write({.migration = peer_.migration(),
                                       .container = log_.container(),
                                       .incarnation = container_->incarnation(),
                                       .state = state,
                                       .peer = peer_.name(),
                                       .late_memory = late_bytes_ > 0});
  }

  const Environment& environment_;
  const Options& options_;
  Tuning& tuning_;
  RateLimiter limiter_;
  const Cancellation& cancellation_;
  Peer peer_;
  StageLog log_;
  checkpoint::MemoryScope scope_;
  uint64_t late_bytes_ = 0;  // memory that follows after the thaw
  std::unique_ptr<SourceContainer> container_;
  std::optional<MessageChannel> control_;
  std::unique_ptr<DrainableWriter> state_;
  std::optional<MemorySender> memory_;
  std::optional<FileSender> sender_;
  std::unique_ptr<PacketHold> hold_;
  std::unique_ptr<FrozenContainer> frozen_;
  bool network_held_ = false;
  bool in_doubt_ = false;  // the destination was asked to commit, and has not answered
  bool owned_by_destination_ = false;
  Nanoseconds frozen_at_{};
  Nanoseconds destination_ahead_{};
};

}  // namespace

Result<MigrationReport> migrate_container(const Environment& environment,
                                          const std::string& container,
                                          const std::string& destination, const Options& options,
                                          Tuning& tuning, const Cancellation& cancellation,
                                          Observer& observer) {
  SourceRun run(environment, container, destination, options, tuning, cancellation, observer);
  return in_context(run.run(), "container " + container + ": migration to " + destination);
}

}  // namespace martlet::migrate
