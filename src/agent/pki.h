// Keys and certificates of a cluster: one authority, one certificate for each host.
//
// Everything is text in PEM. A host's identity is its name, as the only DNS name of its
// certificate; the same certificate serves as server's and as client's. Keys are on the curve
// P-256.
#pragma once

#include <string>

#include "base/result.h"

namespace martlet::agent {

struct Authority {
  std::string certificate;
  std::string key;
};

// What a host proves who it is with, and checks others against.
struct TlsIdentity {
  std::string authority;    // the cluster's certificate
  std::string certificate;  // the host's own
  std::string key;
};

struct SigningRequest {
  std::string key;      // stays with the host
  std::string request;  // goes to the authority
};

Result<Authority> make_authority();
Result<SigningRequest> make_signing_request(const std::string& host_name);

// The name a request is for; kInvalidArgument unless the request is signed with its own key and
// names a host that could exist.
Result<std::string> name_in_request(const std::string& request);
Result<std::string> sign_request(const Authority& authority, const std::string& request);

// The host name in a certificate.
Result<std::string> name_in_certificate(const std::string& certificate);

// SHA-256 of a certificate, in hexadecimal.
Result<std::string> fingerprint(const std::string& certificate);

// Who answers at HOST:PORT, and the authority that vouches for it, if that is the one with this
// fingerprint; kPermission if it is not. Nothing secret is sent.
struct RemoteIdentity {
  std::string host_name;
  std::string authority;
};
Result<RemoteIdentity> fetch_identity(const std::string& address,
                                      const std::string& authority_fingerprint);

// `count` bytes of randomness, in hexadecimal.
Result<std::string> random_hex(size_t count);
std::string sha256_hex(std::string_view text);

}  // namespace martlet::agent
