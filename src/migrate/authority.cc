#include "migrate/authority.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <memory>

namespace martlet::migrate {

namespace {

constexpr long kValidSeconds = 10L * 365 * 24 * 3600;
constexpr long kClockSkewSeconds = 24L * 3600;

template <typename T, void (*Free)(T*)>
struct Freer {
  void operator()(T* object) const { Free(object); }
};
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY, ::EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freer<X509, ::X509_free>>;

struct BioFreer {
  void operator()(BIO* bio) const { ::BIO_free_all(bio); }
};
using Bio = std::unique_ptr<BIO, BioFreer>;

std::unexpected<Error> openssl_failure(const std::string& what) {
  unsigned long code = ::ERR_get_error();
  const char* reason = ::ERR_reason_error_string(code);
  ::ERR_clear_error();
  return fail(Code::kSystem, what + ": " + (reason ? reason : "OpenSSL refused"));
}

Result<Key> make_key() {
  Key key(::EVP_EC_gen("P-256"));
  if (!key) return openssl_failure("make a key");
  return key;
}

Result<void> write_new_file(const std::string& path, BIO* content) {
  char* data = nullptr;
  long size = ::BIO_get_mem_data(content, &data);
  Fd file = TRY(open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0600));
  return write_full(file.get(), std::as_bytes(std::span(data, static_cast<size_t>(size))));
}

Result<void> save(const Certificate& certificate, const std::string& path) {
  Bio bio(::BIO_new(::BIO_s_mem()));
  if (::PEM_write_bio_X509(bio.get(), certificate.get()) != 1) return openssl_failure(path);
  return write_new_file(path, bio.get());
}

Result<void> save(const Key& key, const std::string& path) {
  Bio bio(::BIO_new(::BIO_s_mem()));
  if (::PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return openssl_failure(path);
  return write_new_file(path, bio.get());
}

Result<Bio> open_pem(const std::string& path) {
  Bio bio(::BIO_new_file(path.c_str(), "r"));
  if (!bio) return openssl_failure(path);
  return bio;
}

Result<void> set_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  ::X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = ::X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  if (!extension) return openssl_failure("certificate extension " + value);
  ::X509_add_ext(certificate, extension, -1);
  ::X509_EXTENSION_free(extension);
  return {};
}

Certificate make_certificate(const std::string& name, EVP_PKEY* key) {
  Certificate made(::X509_new());
  ::X509_set_version(made.get(), X509_VERSION_3);
  uint64_t serial = 0;
  ::RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial);
  ::ASN1_INTEGER_set_uint64(::X509_get_serialNumber(made.get()), serial >> 1);
  ::X509_gmtime_adj(::X509_getm_notBefore(made.get()), -kClockSkewSeconds);
  ::X509_gmtime_adj(::X509_getm_notAfter(made.get()), kValidSeconds);
  ::X509_NAME_add_entry_by_txt(::X509_get_subject_name(made.get()), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  ::X509_set_pubkey(made.get(), key);
  return made;
}

bool is_dns_name(const std::string& name) {
  if (name.empty() || name.size() > 253) return false;
  for (char c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '.') return false;
  return true;
}

}  // namespace

Result<void> create_authority(const AuthorityFiles& files) {
  Key key = TRY(make_key());
  Certificate own = make_certificate("Martlet cluster authority", key.get());
  ::X509_set_issuer_name(own.get(), ::X509_get_subject_name(own.get()));
  TRY(set_extension(own.get(), own.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  TRY(set_extension(own.get(), own.get(), NID_key_usage, "critical,keyCertSign,cRLSign"));
  TRY(set_extension(own.get(), own.get(), NID_subject_key_identifier, "hash"));
  if (::X509_sign(own.get(), key.get(), ::EVP_sha256()) == 0) return openssl_failure("sign");
  TRY(save(key, files.key));
  return save(own, files.certificate);
}

Result<void> issue_certificate(const AuthorityFiles& authority, const std::string& name,
                               const TlsConfig& out) {
  if (!is_dns_name(name)) return fail(Code::kInvalidArgument, "'" + name + "' is no host name");
  Bio certificate_file = TRY(open_pem(authority.certificate));
  Bio key_file = TRY(open_pem(authority.key));
  Certificate issuer(::PEM_read_bio_X509(certificate_file.get(), nullptr, nullptr, nullptr));
  Key issuer_key(::PEM_read_bio_PrivateKey(key_file.get(), nullptr, nullptr, nullptr));
  if (!issuer || !issuer_key) return openssl_failure("read the authority's files");
  Key key = TRY(make_key());
  Certificate made = make_certificate(name, key.get());
  ::X509_set_issuer_name(made.get(), ::X509_get_subject_name(issuer.get()));
  TRY(set_extension(made.get(), issuer.get(), NID_basic_constraints, "critical,CA:FALSE"));
  TRY(set_extension(made.get(), issuer.get(), NID_key_usage, "critical,digitalSignature"));
  TRY(set_extension(made.get(), issuer.get(), NID_ext_key_usage, "serverAuth,clientAuth"));
  TRY(set_extension(made.get(), issuer.get(), NID_subject_alt_name, "DNS:" + name));
  if (::X509_sign(made.get(), issuer_key.get(), ::EVP_sha256()) == 0)
    return openssl_failure("sign");
  TRY(save(key, out.key));
  return save(made, out.certificate);
}

}  // namespace martlet::migrate
