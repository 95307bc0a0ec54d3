// Messages of protocol.proto over a connection: each is preceded by its length.
#pragma once

#include <memory>

#include "migrate/protocol.pb.h"
#include "migrate/tls.h"

namespace martlet::migrate {

inline constexpr uint32_t kProtocolVersion = 4;
inline constexpr size_t kMaxMessageBytes = 16u << 20;

class MessageChannel {
 public:
  explicit MessageChannel(std::unique_ptr<TlsConnection> connection)
      : connection_(std::move(connection)) {}

  Result<void> send(const protocol::Message& message);
  // The next message, whatever it is.
  Result<protocol::Message> next();
  // The next message. A Failure of the peer becomes an error that carries the peer's code and
  // words.
  Result<protocol::Message> receive();
  // The next message, which must be of this kind.
  Result<protocol::Message> expect(protocol::Message::KindCase kind);

  TlsConnection& connection() { return *connection_; }
  std::unique_ptr<TlsConnection> release() { return std::move(connection_); }

 private:
  std::unique_ptr<TlsConnection> connection_;
};

protocol::Message make_failure(const Error& error);

}  // namespace martlet::migrate
