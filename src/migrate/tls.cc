#include "migrate/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace martlet::migrate {

namespace {

// Encrypted bytes that go to the socket, and come from it, in one system call. OpenSSL makes one
// call for each record of 16 KiB, or two; its own read-ahead moves the whole rest of its buffer for
// every record that it takes from it, which costs more than it saves.
constexpr size_t kSendBytes = 256u << 10;
constexpr size_t kReceiveBytes = 256u << 10;

std::string openssl_reason() {
  unsigned long code = ::ERR_get_error();
  ::ERR_clear_error();
  if (code == 0) return "unknown TLS error";
  const char* reason = ::ERR_reason_error_string(code);
  return reason ? reason : "TLS error " + std::to_string(code);
}

std::unexpected<Error> bad_file(const std::string& path) {
  return std::unexpected(Error(Code::kInvalidArgument, path + ": " + openssl_reason())
                             .with_remedy("check the TLS files in the agent's configuration"));
}

// AES-GCM is the faster cipher where the processor has instructions for it, ChaCha20 elsewhere.
const char* preferred_ciphers() {
  return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul")
             ? "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"
             : "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";
}

void configure(SSL_CTX* context) {
  ::SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  ::SSL_CTX_set_ciphersuites(context, preferred_ciphers());
  ::SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  ::SSL_CTX_set_num_tickets(context, 0);  // connections are not resumed
  ::SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  ::SSL_CTX_clear_mode(context, SSL_MODE_RELEASE_BUFFERS);
}

}  // namespace

// The BIO through which OpenSSL reads and writes: the SocketChannel with its deadlines. It never
// asks for a retry, so every SSL call below either completes or fails for good.
struct TlsTransport {
  static TlsConnection& connection(BIO* bio) {
    return *static_cast<TlsConnection*>(::BIO_get_data(bio));
  }

  static int read(BIO* bio, char* data, size_t size, size_t* done) {
    TlsConnection& self = connection(bio);
    auto got = self.receive(std::as_writable_bytes(std::span(data, size)));
    if (!got) self.transport_error_ = std::make_unique<Error>(std::move(got.error()));
    *done = got.value_or(0);
    return *done > 0 ? 1 : 0;
  }

  static int write(BIO* bio, const char* data, size_t size, size_t* done) {
    TlsConnection& self = connection(bio);
    *done = size;
    const auto bytes = std::as_bytes(std::span(data, size));
    self.outgoing_.insert(self.outgoing_.end(), bytes.begin(), bytes.end());
    if (self.outgoing_.size() < kSendBytes) return 1;
    return self.keep_error(self.hand_over(SocketChannel::Then::kMore)) ? 1 : 0;
  }

  static long control(BIO* bio, int command, long, void*) {
    if (command != BIO_CTRL_FLUSH) return 0;
    TlsConnection& self = connection(bio);
    return self.keep_error(self.hand_over(SocketChannel::Then::kNothing)) ? 1 : 0;
  }

  // OpenSSL wants the table of functions to live as long as any BIO of its kind.
  static const BIO_METHOD* method() {
    static BIO_METHOD* const table = [] {
      BIO_METHOD* made = ::BIO_meth_new(::BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "martlet");
      CHECK(made != nullptr);
      ::BIO_meth_set_read_ex(made, &read);
      ::BIO_meth_set_write_ex(made, &write);
      ::BIO_meth_set_ctrl(made, &control);
      return made;
    }();
    return table;
  }
};

Result<TlsContext> TlsContext::load(const TlsConfig& config) {
  TlsContext made(::SSL_CTX_new(::TLS_method()));
  CHECK(made.get() != nullptr);
  configure(made.get());
  ::ERR_clear_error();
  if (::SSL_CTX_load_verify_file(made.get(), config.authority.c_str()) != 1)
    return bad_file(config.authority);
  if (::SSL_CTX_use_certificate_chain_file(made.get(), config.certificate.c_str()) != 1)
    return bad_file(config.certificate);
  if (::SSL_CTX_use_PrivateKey_file(made.get(), config.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      ::SSL_CTX_check_private_key(made.get()) != 1)
    return bad_file(config.key);
  return made;
}

TlsContext::TlsContext(TlsContext&& other) noexcept
    : context_(std::exchange(other.context_, nullptr)) {}

TlsContext& TlsContext::operator=(TlsContext&& other) noexcept {
  std::swap(context_, other.context_);
  return *this;
}

TlsContext::~TlsContext() {
  ::SSL_CTX_free(context_);
}

Result<std::unique_ptr<TlsConnection>> TlsConnection::connect(const TlsContext& context,
                                                              const Endpoint& endpoint,
                                                              const std::string& peer_name,
                                                              WaitLimits limits) {
  SocketChannel channel = TRY(SocketChannel::connect(endpoint, limits));
  std::unique_ptr<TlsConnection> made(new TlsConnection(std::move(channel)));
  TRY(made->attach(context));
  TRY(made->expect_peer(peer_name));
  TRY_IN(made->handshake(&::SSL_connect), "TLS with " + endpoint.to_string());
  return made;
}

Result<std::unique_ptr<TlsConnection>> TlsConnection::accept(const TlsContext& context, Fd socket,
                                                             WaitLimits limits) {
  SocketChannel channel = TRY(SocketChannel::adopt(std::move(socket), limits));
  std::unique_ptr<TlsConnection> made(new TlsConnection(std::move(channel)));
  TRY(made->attach(context));
  TRY_IN(made->handshake(&::SSL_accept), "TLS with a connecting host");
  return made;
}

TlsConnection::~TlsConnection() {
  ::SSL_free(ssl_);
}

Result<void> TlsConnection::attach(const TlsContext& context) {
  ssl_ = ::SSL_new(context.get());
  CHECK(ssl_ != nullptr);
  BIO* bio = ::BIO_new(TlsTransport::method());
  CHECK(bio != nullptr);
  ::BIO_set_data(bio, this);
  ::BIO_set_init(bio, 1);
  ::SSL_set_bio(ssl_, bio, bio);
  outgoing_.reserve(kSendBytes + (32u << 10));  // and what one record adds
  incoming_.resize(kReceiveBytes);
  return {};
}

Result<void> TlsConnection::expect_peer(const std::string& name) {
  ::SSL_set_hostflags(ssl_,
                      X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  if (::SSL_set1_host(ssl_, name.c_str()) != 1)
    return fail(Code::kInvalidArgument, "impossible host name " + name);
  return {};
}

Result<void> TlsConnection::handshake(int (*step)(SSL*)) {
  ::ERR_clear_error();
  int result = step(ssl_);
  if (result == 1) return {};
  long verified = ::SSL_get_verify_result(ssl_);
  if (verified != X509_V_OK)
    return fail(Code::kPermission, std::string("the peer's certificate is refused: ") +
                                       ::X509_verify_cert_error_string(verified));
  return failure(result, "TLS handshake");
}

std::unexpected<Error> TlsConnection::failure(int result, const char* what) {
  if (transport_error_)
    return std::unexpected(std::move(*std::exchange(transport_error_, nullptr)));
  int kind = ::SSL_get_error(ssl_, result);
  if (kind == SSL_ERROR_SSL && ::SSL_is_init_finished(ssl_) == 0)
    return fail(Code::kPermission, std::string(what) + ": " + openssl_reason());
  ::ERR_clear_error();
  return fail(Code::kPeerLost, std::string(what) + ": the peer closed the connection");
}

Result<void> TlsConnection::write(std::span<const std::span<const std::byte>> pieces) {
  for (auto piece : pieces) TRY(limiter_ ? send_limited(piece) : send(piece));
  return hand_over(SocketChannel::Then::kNothing);
}

Result<void> TlsConnection::hand_over(SocketChannel::Then then) {
  auto written = channel_.write(outgoing_, then);
  outgoing_.clear();
  return written;
}

// From the bytes that were received ahead, which are refilled once all of them are gone.
Result<size_t> TlsConnection::receive(std::span<std::byte> buffer) {
  if (incoming_next_ == incoming_end_) {
    incoming_next_ = incoming_end_ = 0;
    incoming_end_ = TRY(channel_.read(incoming_));
  }
  const size_t count = std::min(buffer.size(), incoming_end_ - incoming_next_);
  std::memcpy(buffer.data(), incoming_.data() + incoming_next_, count);
  incoming_next_ += count;
  return count;
}

bool TlsConnection::keep_error(Result<void> result) {
  if (!result) transport_error_ = std::make_unique<Error>(std::move(result.error()));
  return result.has_value();
}

Result<void> TlsConnection::send(std::span<const std::byte> bytes) {
  if (bytes.empty()) return {};
  ::ERR_clear_error();
  size_t done = 0;
  int result = ::SSL_write_ex(ssl_, bytes.data(), bytes.size(), &done);
  if (result != 1) return failure(result, "send");
  bytes_sent_ += bytes.size();
  return {};
}

Result<void> TlsConnection::send_limited(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    auto piece = bytes.first(std::min(bytes.size(), limiter_->piece()));
    TRY(limiter_->take(piece.size(), channel_.limits().cancellation));
    TRY(send(piece));
    TRY(hand_over(SocketChannel::Then::kNothing));
    bytes = bytes.subspan(piece.size());
  }
  return {};
}

Result<void> TlsConnection::write(std::span<const std::byte> bytes) {
  const std::span<const std::byte> pieces[] = {bytes};
  return write(pieces);
}

Result<size_t> TlsConnection::read(std::span<std::byte> buffer) {
  ::ERR_clear_error();
  size_t done = 0;
  int result = ::SSL_read_ex(ssl_, buffer.data(), buffer.size(), &done);
  if (result != 1) return failure(result, "receive");
  bytes_received_ += done;
  return done;
}

Result<void> TlsConnection::read_exactly(std::span<std::byte> buffer) {
  while (!buffer.empty()) buffer = buffer.subspan(TRY(read(buffer)));
  return {};
}

bool TlsConnection::has_buffered_input() const {
  return incoming_next_ < incoming_end_ || ::SSL_has_pending(ssl_) != 0;
}

std::vector<std::string> TlsConnection::peer_names() const {
  std::vector<std::string> names;
  X509* certificate = ::SSL_get0_peer_certificate(ssl_);
  auto* list = certificate ? static_cast<GENERAL_NAMES*>(::X509_get_ext_d2i(
                                 certificate, NID_subject_alt_name, nullptr, nullptr))
                           : nullptr;
  for (int i = 0; list && i < sk_GENERAL_NAME_num(list); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(list, i);
    if (name->type != GEN_DNS) continue;
    const ASN1_IA5STRING* text = name->d.dNSName;
    names.emplace_back(reinterpret_cast<const char*>(::ASN1_STRING_get0_data(text)),
                       static_cast<size_t>(::ASN1_STRING_length(text)));
  }
  ::GENERAL_NAMES_free(list);
  return names;
}

const char* TlsConnection::cipher() const {
  return ::SSL_get_cipher_name(ssl_);
}

}  // namespace martlet::migrate
