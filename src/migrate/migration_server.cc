#include "migrate/migration_server.h"

#include <algorithm>

#include "base/log.h"
#include "base/random_id.h"
#include "migrate/link_probe.h"
#include "migrate/peer.h"

namespace martlet::migrate {

namespace {

constexpr std::chrono::milliseconds kHelloTimeout{10'000};
constexpr std::chrono::milliseconds kAcceptTimeout{60'000};  // only how often the loop turns
constexpr size_t kMaxConnections = 256;

Result<void> check_version(const protocol::Hello& hello) {
  if (hello.version() == kProtocolVersion) return {};
  return fail(Code::kUnsupported, "the peer speaks migration protocol " +
                                      std::to_string(hello.version()) + ", this host " +
                                      std::to_string(kProtocolVersion));
}

}  // namespace

Result<std::unique_ptr<MigrationServer>> MigrationServer::start(const Environment& environment,
                                                                const Endpoint& listen) {
  Fd listener = TRY(listen_on(listen));
  uint16_t port = TRY(local_port(listener.get()));
  auto cancellation = TRY(Cancellation::create());
  std::unique_ptr<MigrationServer> server(
      new MigrationServer(environment, std::move(listener), port, std::move(cancellation)));
  server->listening_ = std::thread([self = server.get()] { self->accept_loop(); });
  return server;
}

MigrationServer::MigrationServer(const Environment& environment, Fd listener, uint16_t port,
                                 Cancellation cancellation)
    : environment_(environment),
      listener_(std::move(listener)),
      port_(port),
      cancellation_(std::move(cancellation)) {}

MigrationServer::~MigrationServer() {
  cancellation_.cancel();
  listening_.join();
  for (Connection& connection : connections_) connection.thread.join();
}

void MigrationServer::accept_loop() {
  const WaitLimits limits{.timeout = kAcceptTimeout, .cancellation = &cancellation_};
  while (!cancellation_.cancelled()) {
    auto socket = accept_on(listener_.get(), limits);
    join_finished();
    if (socket) {
      start_connection(std::move(*socket));
    } else if (socket.error().code() != Code::kTimeout &&
               socket.error().code() != Code::kCancelled) {
      spdlog::error("accept migrations: {}", socket.error().to_string());
      environment_.clock.sleep_for(std::chrono::seconds(1));  // for want of descriptors, mostly
    }
  }
}

void MigrationServer::start_connection(Fd socket) {
  std::lock_guard lock(mutex_);
  if (connections_.size() >= kMaxConnections) return;  // closes it
  Connection& connection = connections_.emplace_back();
  connection.thread = std::thread([this, &connection, socket = std::move(socket)]() mutable {
    if (auto served = serve(std::move(socket)); !served)
      spdlog::warn("migration connection: {}", served.error().to_string());
    std::lock_guard finishing(mutex_);
    connection.finished = true;
  });
}

void MigrationServer::join_finished() {
  std::lock_guard lock(mutex_);
  std::erase_if(connections_, [](Connection& connection) {
    if (connection.finished) connection.thread.join();
    return connection.finished;
  });
}

Result<void> MigrationServer::serve(Fd socket) {
  const WaitLimits limits{.timeout = kHelloTimeout, .cancellation = &cancellation_};
  auto connection = TRY(TlsConnection::accept(environment_.tls, std::move(socket), limits));
  auto names = connection->peer_names();
  if (names.empty()) return fail(Code::kPermission, "the peer's certificate names no host");
  MessageChannel channel(std::move(connection));
  auto message = TRY(channel.expect(protocol::Message::kHello));
  if (auto usable = check_version(message.hello()); !usable) {
    (void)channel.send(make_failure(usable.error()));
    return usable;
  }
  const protocol::Hello& hello = message.hello();
  switch (hello.purpose_case()) {
    case protocol::Hello::kOffer:
      return serve_migration(std::move(channel), hello.offer(), names.front());
    case protocol::Hello::kChannel:
      return serve_channel(std::move(channel), hello.channel(), names.front());
    case protocol::Hello::kQuery:
      return serve_query(std::move(channel), hello.query().migration(), names.front());
    case protocol::Hello::kProbe: return serve_probe(channel, environment_.clock);
    default: return fail(Code::kBadImage, "the peer says no purpose");
  }
}

Result<void> MigrationServer::serve_migration(MessageChannel control, const protocol::Offer& offer,
                                              const std::string& peer) {
  if (!is_random_id(offer.migration()) || offer.source() != peer)
    return fail(Code::kPermission, "host " + peer + " makes an offer for " + offer.source());
  auto session =
      std::make_shared<DestinationSession>(environment_, std::move(control), peer, cancellation_);
  {
    std::lock_guard lock(mutex_);
    if (!sessions_.emplace(offer.migration(), session).second)
      return fail(Code::kAlreadyExists, "migration " + offer.migration() + " is under way");
  }
  auto result = session->run(offer);
  std::lock_guard lock(mutex_);
  sessions_.erase(offer.migration());
  return result;
}

Result<void> MigrationServer::serve_channel(MessageChannel channel,
                                            const protocol::Channel& request,
                                            const std::string& peer) {
  if (request.kind() == protocol::Channel::MEMORY || request.kind() == protocol::Channel::PUSH)
    return serve_late_memory(std::move(channel), request, peer);
  std::shared_ptr<DestinationSession> session;
  {
    std::lock_guard lock(mutex_);
    auto found = sessions_.find(request.migration());
    if (found != sessions_.end()) session = found->second;
  }
  if (!session || session->source() != peer)
    return fail(Code::kNotFound, "host " + peer + " has no such migration to this host");
  return session->serve_channel(request, channel.release());
}

// A session may have ended, and an earlier agent may have begun it.
Result<void> MigrationServer::serve_late_memory(MessageChannel channel,
                                                const protocol::Channel& request,
                                                const std::string& peer) {
  auto arrival = environment_.memory ? environment_.memory->find(request.migration()) : nullptr;
  if (arrival && arrival->source() == peer)
    return request.kind() == protocol::Channel::MEMORY ? arrival->serve_memory(channel.release())
                                                       : arrival->serve_push(channel.release());
  auto entry = environment_.journal.find(request.migration());
  protocol::Message answer;
  if (entry && entry->peer == peer && entry->state == JournalState::kArrived)
    answer.mutable_memory_complete();
  else if (!entry && entry.error().code() == Code::kNotFound)
    answer = make_failure(Error(Code::kGone, "nothing is known of this migration any more"));
  else
    answer = make_failure(Error(Code::kNotFound, "memory is not awaited yet"));
  return channel.send(answer);
}

// A migration that is neither under way nor in the journal never will be: its id was drawn for one
// attempt, and the source asks only after it has stopped trying. "Committed" is not told yet: a
// host that goes down before the container has run gives it back.
protocol::Resolution::Outcome MigrationServer::outcome_of(const std::string& migration) {
  std::lock_guard lock(mutex_);
  auto entry = environment_.journal.find(migration);
  if (entry && (entry->state == JournalState::kArrived || entry->state == JournalState::kArriving))
    return protocol::Resolution::COMMITTED;
  bool unknown = !entry && entry.error().code() == Code::kNotFound;
  return unknown && !sessions_.contains(migration) ? protocol::Resolution::ABORTED
                                                   : protocol::Resolution::PENDING;
}

Result<void> MigrationServer::serve_query(MessageChannel channel, const std::string& migration,
                                          const std::string& peer) {
  if (!is_random_id(migration)) return fail(Code::kInvalidArgument, "not a migration's id");
  auto entry = environment_.journal.find(migration);
  if (entry && entry->peer != peer)
    return fail(Code::kPermission, "host " + peer + " asks about another host's migration");
  protocol::Message answer;
  answer.mutable_resolution()->set_outcome(outcome_of(migration));
  TRY(channel.send(answer));
  auto reply = channel.receive();
  if (!reply || !reply->has_forget()) return {};  // the peer wanted only to know
  return serve_forget(environment_.journal, migration, channel);
}

}  // namespace martlet::migrate
