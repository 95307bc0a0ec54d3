// The cluster's certificate authority: makes the PEM files that TlsConfig names.
//
// Keys are ECDSA P-256, files are mode 0600. Nothing is overwritten.
#pragma once

#include <string>

#include "base/result.h"
#include "migrate/tls.h"

namespace martlet::migrate {

// Where the authority of a cluster keeps its own certificate and key.
struct AuthorityFiles {
  std::string certificate;
  std::string key;
};

Result<void> create_authority(const AuthorityFiles& files);

// Issues a certificate for the host `name` (a DNS name) into the files of `out`; `out.authority` is
// not written.
Result<void> issue_certificate(const AuthorityFiles& authority, const std::string& name,
                               const TlsConfig& out);

}  // namespace martlet::migrate
