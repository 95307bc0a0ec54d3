// Mutually authenticated TLS 1.3 between agents.
//
// Both sides present a certificate of the cluster's authority; the identity of a host is its name
// as a DNS name in the certificate's subjectAltName. A TlsConnection blocks with the deadline and
// the cancellation of its SocketChannel; one thread at a time uses it, shutdown() apart.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "image/byte_stream.h"
#include "migrate/drainable_writer.h"
#include "migrate/rate_limiter.h"
#include "migrate/socket_channel.h"

typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;

namespace martlet::migrate {

// PEM files.
struct TlsConfig {
  std::string authority;    // certificate of the cluster's authority
  std::string certificate;  // of this host
  std::string key;
};

// Certificates and settings shared by all connections of an agent. Thread-safe.
class TlsContext {
 public:
  static Result<TlsContext> load(const TlsConfig& config);

  TlsContext(TlsContext&&) noexcept;
  TlsContext& operator=(TlsContext&&) noexcept;
  ~TlsContext();

  SSL_CTX* get() const { return context_; }

 private:
  explicit TlsContext(SSL_CTX* context) : context_(context) {}
  SSL_CTX* context_;
};

class TlsConnection final : public DrainableWriter, public image::ByteReader {
 public:
  // Connects and requires the peer's certificate to carry `peer_name`.
  static Result<std::unique_ptr<TlsConnection>> connect(const TlsContext& context,
                                                        const Endpoint& endpoint,
                                                        const std::string& peer_name,
                                                        WaitLimits limits);
  // The other side of it, on an accepted socket.
  static Result<std::unique_ptr<TlsConnection>> accept(const TlsContext& context, Fd socket,
                                                       WaitLimits limits);
  ~TlsConnection() override;
  TlsConnection(const TlsConnection&) = delete;
  TlsConnection& operator=(const TlsConnection&) = delete;

  // All pieces are on their way when this returns.
  Result<void> write(std::span<const std::span<const std::byte>> pieces) override;
  Result<void> write(std::span<const std::byte> bytes);
  // Never 0: a connection that ends is kPeerLost.
  Result<size_t> read(std::span<std::byte> buffer) override;
  // Fills the buffer.
  Result<void> read_exactly(std::span<std::byte> buffer);
  // Bytes that the next read() returns without waiting for the socket.
  bool has_buffered_input() const;

  // See SocketChannel::drain().
  Result<void> drain() override { return channel_.drain(); }

  // Ends the connection; may be called from another thread to stop one that waits.
  void shutdown() { channel_.shutdown(); }

  void set_limits(WaitLimits limits) { channel_.set_limits(limits); }
  const WaitLimits& limits() const { return channel_.limits(); }
  // From now on what is written keeps to this limit, which is borrowed; null: to none.
  void set_rate_limiter(RateLimiter* limiter) { limiter_ = limiter; }
  int fd() const { return channel_.fd(); }
  // The DNS names of the peer's certificate.
  std::vector<std::string> peer_names() const;
  const char* cipher() const;
  uint64_t bytes_sent() const { return bytes_sent_; }
  uint64_t bytes_received() const { return bytes_received_; }

 private:
  friend struct TlsTransport;
  explicit TlsConnection(SocketChannel channel) : channel_(std::move(channel)) {}
  Result<void> attach(const TlsContext& context);
  Result<void> handshake(int (*step)(SSL*));
  Result<void> expect_peer(const std::string& name);
  std::unexpected<Error> failure(int result, const char* what);

  Result<void> send(std::span<const std::byte> bytes);
  Result<void> send_limited(std::span<const std::byte> bytes);
  // Hands the encrypted bytes to the socket.
  Result<void> hand_over(SocketChannel::Then then);
  // False for an error, which failure() returns.
  bool keep_error(Result<void> result);
  Result<size_t> receive(std::span<std::byte> buffer);

  SocketChannel channel_;
  RateLimiter* limiter_ = nullptr;
  SSL* ssl_ = nullptr;
  // Encrypted bytes between OpenSSL and the socket: many records for each system call.
  std::vector<std::byte> outgoing_;
  std::vector<std::byte> incoming_;
  size_t incoming_next_ = 0;
  size_t incoming_end_ = 0;
  std::unique_ptr<Error> transport_error_;  // why the last call into the channel failed
  uint64_t bytes_sent_ = 0;                 // of payload
  uint64_t bytes_received_ = 0;
};

}  // namespace martlet::migrate
