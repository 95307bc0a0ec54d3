#include "agent/pki.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <memory>
#include <span>

#include "agent/declaration_check.h"

namespace martlet::agent {
namespace {

constexpr long kTenYears = 10L * 365 * 24 * 3600;
constexpr long kClockSkew = 3600;  // a certificate must be valid on a host whose clock is behind

template <auto Release>
struct Releaser {
  template <typename T>
  void operator()(T* object) const {
    Release(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Releaser<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Releaser<X509_free>>;
using Request = std::unique_ptr<X509_REQ, Releaser<X509_REQ_free>>;
using Bio = std::unique_ptr<BIO, Releaser<BIO_free_all>>;
using Context = std::unique_ptr<SSL_CTX, Releaser<SSL_CTX_free>>;

std::unexpected<Error> refused(Code code, std::string_view what) {
  char reason[256] = "";
  if (const unsigned long error = ERR_get_error()) ERR_error_string_n(error, reason, sizeof reason);
  ERR_clear_error();
  return fail(code, *reason ? fmt::format("{}: {}", what, reason) : std::string(what));
}

Bio reader(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// What `write` puts into a memory BIO.
template <typename Write>
Result<std::string> to_pem(Write write) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!write(bio.get())) return refused(Code::kSystem, "encoding");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

Result<std::string> to_pem(X509* certificate) {
  return to_pem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });
}

Result<std::string> to_pem(EVP_PKEY* key) {
  return to_pem([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

Result<Certificate> parse_certificate(const std::string& pem) {
  Certificate certificate(PEM_read_bio_X509(reader(pem).get(), nullptr, nullptr, nullptr));
  if (!certificate) return refused(Code::kInvalidArgument, "not a certificate");
  return certificate;
}

Result<Request> parse_request(const std::string& pem) {
  Request request(PEM_read_bio_X509_REQ(reader(pem).get(), nullptr, nullptr, nullptr));
  if (!request) return refused(Code::kInvalidArgument, "not a signing request");
  return request;
}

Result<Key> make_key() {
  Key key(EVP_EC_gen("P-256"));
  if (!key) return refused(Code::kSystem, "making a key");
  return key;
}

void set_common_name(X509_NAME* name, const std::string& value) {
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(value.data()),
                             static_cast<int>(value.size()), -1, 0);
}

Result<std::string> common_name(const X509_NAME* name) {
  char value[128] = "";
  if (X509_NAME_get_text_by_NID(const_cast<X509_NAME*>(name), NID_commonName, value, sizeof value) <
      0)
    return fail(Code::kInvalidArgument, "no common name");
  TRY(check_name(value));
  return std::string(value);
}

bool add_extension(X509* certificate, int kind, const std::string& value) {
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str());
  const bool added = extension && X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

// A certificate with serial number, validity and key; name, issuer and signature are the caller's.
Result<Certificate> blank_certificate(EVP_PKEY* key) {
  Certificate certificate(X509_new());
  unsigned char serial[16];
  if (!certificate || RAND_bytes(serial, sizeof serial) != 1)
    return refused(Code::kSystem, "making a certificate");
  serial[0] &= 0x7f;  // a serial number is positive
  BIGNUM* const number = BN_bin2bn(serial, sizeof serial, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate.get()));
  BN_free(number);
  X509_set_version(certificate.get(), X509_VERSION_3);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -kClockSkew);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), kTenYears);
  X509_set_pubkey(certificate.get(), key);
  return certificate;
}

std::string hex(std::span<const unsigned char> bytes) {
  return fmt::format("{:02x}", fmt::join(bytes, ""));
}

}  // namespace

Result<Authority> make_authority() {
  const Key key = TRY(make_key());
  const Certificate certificate = TRY(blank_certificate(key.get()));
  set_common_name(X509_get_subject_name(certificate.get()), "Martlet cluster");
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get()));
  if (!add_extension(certificate.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !add_extension(certificate.get(), NID_key_usage, "critical,keyCertSign") ||
      X509_sign(certificate.get(), key.get(), EVP_sha256()) == 0)
    return refused(Code::kSystem, "signing the authority's certificate");
  return Authority{TRY(to_pem(certificate.get())), TRY(to_pem(key.get()))};
}

Result<SigningRequest> make_signing_request(const std::string& host_name) {
  TRY(check_name(host_name));
  const Key key = TRY(make_key());
  const Request request(X509_REQ_new());
  set_common_name(X509_REQ_get_subject_name(request.get()), host_name);
  if (X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) == 0)
    return refused(Code::kSystem, "signing a request");
  const std::string pem =
      TRY(to_pem([&](BIO* bio) { return PEM_write_bio_X509_REQ(bio, request.get()); }));
  return SigningRequest{TRY(to_pem(key.get())), pem};
}

Result<std::string> name_in_request(const std::string& pem) {
  const Request request = TRY(parse_request(pem));
  EVP_PKEY* const key = X509_REQ_get0_pubkey(request.get());
  if (!key || X509_REQ_verify(request.get(), key) != 1)
    return refused(Code::kInvalidArgument, "the signing request is not signed with its own key");
  return common_name(X509_REQ_get_subject_name(request.get()));
}

Result<std::string> sign_request(const Authority& authority, const std::string& pem) {
  const std::string name = TRY(name_in_request(pem));
  const Request request = TRY(parse_request(pem));
  const Certificate issuer = TRY(parse_certificate(authority.certificate));
  const Key key(PEM_read_bio_PrivateKey(reader(authority.key).get(), nullptr, nullptr, nullptr));
  if (!key) return refused(Code::kInvalidArgument, "the authority's key cannot be read");
  const Certificate certificate = TRY(blank_certificate(X509_REQ_get0_pubkey(request.get())));
  set_common_name(X509_get_subject_name(certificate.get()), name);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer.get()));
  if (!add_extension(certificate.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !add_extension(certificate.get(), NID_key_usage, "critical,digitalSignature") ||
      !add_extension(certificate.get(), NID_ext_key_usage, "serverAuth,clientAuth") ||
      !add_extension(certificate.get(), NID_subject_alt_name, "DNS:" + name) ||
      X509_sign(certificate.get(), key.get(), EVP_sha256()) == 0)
    return refused(Code::kSystem, "signing the certificate of " + name);
  return to_pem(certificate.get());
}

Result<std::string> name_in_certificate(const std::string& pem) {
  const Certificate certificate = TRY(parse_certificate(pem));
  return common_name(X509_get_subject_name(certificate.get()));
}

Result<std::string> fingerprint(const std::string& pem) {
  const Certificate certificate = TRY(parse_certificate(pem));
  unsigned char digest[SHA256_DIGEST_LENGTH];
  if (X509_digest(certificate.get(), EVP_sha256(), digest, nullptr) != 1)
    return refused(Code::kSystem, "digest of a certificate");
  return hex(digest);
}

Result<RemoteIdentity> fetch_identity(const std::string& address,
                                      const std::string& authority_fingerprint) {
  const Context context(SSL_CTX_new(TLS_client_method()));
  const Bio connection(BIO_new_ssl_connect(context.get()));
  // gRPC answers only a client that speaks HTTP/2.
  const unsigned char http2[] = {2, 'h', '2'};
  SSL* tls = nullptr;
  BIO_get_ssl(connection.get(), &tls);
  SSL_set_alpn_protos(tls, http2, sizeof http2);
  BIO_set_conn_hostname(connection.get(), address.c_str());
  if (BIO_do_connect_retry(connection.get(), /*timeout=*/10, /*nap_milliseconds=*/50) != 1)
    return refused(Code::kPeerLost, fmt::format("connecting to {}", address));
  STACK_OF(X509)* const chain = SSL_get_peer_cert_chain(tls);
  for (int i = 1; chain && i < sk_X509_num(chain); i++) {
    const std::string authority = TRY(to_pem(sk_X509_value(chain, i)));
    if (TRY(fingerprint(authority)) != authority_fingerprint) continue;
    // That this authority signed the first certificate is checked when the connection that matters
    // is made; here only its name is taken.
    const std::string host = TRY(to_pem(sk_X509_value(chain, 0)));
    return RemoteIdentity{TRY(name_in_certificate(host)), authority};
  }
  return std::unexpected(
      Error(Code::kPermission, fmt::format("{} is not of the cluster the token is for", address))
          .with_remedy("check the address, and that the token is complete"));
}

Result<std::string> random_hex(size_t count) {
  std::vector<unsigned char> bytes(count);
  if (RAND_bytes(bytes.data(), static_cast<int>(count)) != 1)
    return refused(Code::kSystem, "randomness");
  return hex(bytes);
}

std::string sha256_hex(std::string_view text) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  return hex(digest);
}

}  // namespace martlet::agent
