#include "migrate/peer.h"

#include <algorithm>

#include "base/log.h"
#include "migrate/stripe_format.h"
#include "migrate/striped_writer.h"

namespace martlet::migrate {

namespace {

constexpr std::chrono::milliseconds kConnectTimeout{5000};
// A destination that gave up needs a moment to clean up; one that crashed, until it is started
// again.
constexpr std::chrono::milliseconds kFirstQueryInterval{5};
constexpr std::chrono::milliseconds kLastQueryInterval{500};

}  // namespace

protocol::Message make_hello() {
  protocol::Message message;
  message.mutable_hello()->set_version(kProtocolVersion);
  message.mutable_hello()->set_product("martlet");
  return message;
}

Result<MessageChannel> Peer::open_control(const WaitLimits& limits) {
  const auto open = [&]() -> Result<MessageChannel> {
    if (!endpoint_) endpoint_ = TRY(host_.locate(name_));
    const WaitLimits connecting{.timeout = kConnectTimeout, .cancellation = limits.cancellation};
    auto connection = TRY(TlsConnection::connect(tls_, *endpoint_, name_, connecting));
    connection->set_limits(limits);
    return MessageChannel(std::move(connection));
  };
  return in_context(open(), "host " + name_);
}

// It keeps to no limit yet.
Result<std::unique_ptr<TlsConnection>> Peer::open(protocol::Channel request,
                                                  const WaitLimits& limits) {
  MessageChannel channel = TRY(open_control(limits));
  protocol::Message hello = make_hello();
  request.set_migration(migration_);
  *hello.mutable_hello()->mutable_channel() = std::move(request);
  TRY(channel.send(hello));
  return channel.release();
}

Result<std::unique_ptr<TlsConnection>> Peer::open_channel(protocol::Channel::Kind kind,
                                                          const WaitLimits& limits) {
  protocol::Channel request;
  request.set_kind(kind);
  auto connection = TRY(open(std::move(request), limits));
  if (kind != protocol::Channel::PACKETS) connection->set_rate_limiter(limiter_);
  return connection;
}

Result<std::unique_ptr<DrainableWriter>> Peer::open_state(uint32_t streams,
                                                          const WaitLimits& limits) {
  if (streams == 1) return open_channel(protocol::Channel::STATE, limits);
  std::vector<std::unique_ptr<TlsConnection>> stripes;
  for (uint32_t stripe = 0; stripe < streams; ++stripe) {
    protocol::Channel request;
    request.set_kind(protocol::Channel::STATE);
    request.set_stripe(stripe);
    stripes.push_back(TRY_IN(open(std::move(request), limits), stripe_name(stripe, streams)));
  }
  return std::make_unique<StripedWriter>(std::move(stripes), limiter_);
}

Result<MessageChannel> Peer::ask_outcome(const WaitLimits& limits) {
  MessageChannel channel = TRY(open_control(limits));
  protocol::Message hello = make_hello();
  hello.mutable_hello()->mutable_query()->set_migration(migration_);
  TRY(channel.send(hello));
  return channel;
}

Result<protocol::Resolution::Outcome> Peer::query(const WaitLimits& limits) {
  MessageChannel channel = TRY(ask_outcome(limits));
  auto answer = TRY(channel.expect(protocol::Message::kResolution));
  return answer.resolution().outcome();
}

Result<protocol::Resolution::Outcome> Peer::resolve(const Cancellation& stopping) {
  const WaitLimits limits{.timeout = kConnectTimeout, .cancellation = &stopping};
  for (auto interval = kFirstQueryInterval;;
       interval = std::min(2 * interval, kLastQueryInterval)) {
    auto outcome = query(limits);
    if (!outcome) {
      spdlog::debug("migration {}: {}", migration_, outcome.error().to_string());
      endpoint_.reset();
    } else if (*outcome == protocol::Resolution::ABORTED ||
               *outcome == protocol::Resolution::COMMITTED) {
      return *outcome;
    }
    TRY(stopping.sleep(interval));
  }
}

Result<void> Peer::forget(const WaitLimits& limits) {
  MessageChannel channel = TRY(ask_outcome(limits));
  TRY(channel.expect(protocol::Message::kResolution));
  protocol::Message message;
  message.mutable_forget()->set_migration(migration_);
  TRY(channel.send(message));
  TRY(channel.expect(protocol::Message::kForgotten));
  return {};
}

}  // namespace martlet::migrate
