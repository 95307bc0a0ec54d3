// Errors across gRPC: an Error becomes a Status that carries all of it, and back.
#pragma once

#include <grpcpp/support/status.h>

#include "base/result.h"

namespace martlet::agent {

grpc::Status to_status(const Error& error);

// `peer` names the other side, for calls that did not get through.
Error from_status(const grpc::Status& status, const std::string& peer);

template <typename T>
grpc::Status to_status(const Result<T>& result) {
  return result ? grpc::Status::OK : to_status(result.error());
}

}  // namespace martlet::agent
