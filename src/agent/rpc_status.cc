#include "agent/rpc_status.h"

#include <fmt/format.h>

#include <array>

#include "agent/api.pb.h"

namespace martlet::agent {
namespace {

struct Pair {
  Code code;
  grpc::StatusCode status;
};

constexpr std::array kPairs{Pair{Code::kInvalidArgument, grpc::StatusCode::INVALID_ARGUMENT},
                            Pair{Code::kNotFound, grpc::StatusCode::NOT_FOUND},
                            Pair{Code::kAlreadyExists, grpc::StatusCode::ALREADY_EXISTS},
                            Pair{Code::kUnsupported, grpc::StatusCode::UNIMPLEMENTED},
                            Pair{Code::kPermission, grpc::StatusCode::PERMISSION_DENIED},
                            Pair{Code::kNoSpace, grpc::StatusCode::RESOURCE_EXHAUSTED},
                            Pair{Code::kTimeout, grpc::StatusCode::DEADLINE_EXCEEDED},
                            Pair{Code::kCancelled, grpc::StatusCode::CANCELLED},
                            Pair{Code::kPeerLost, grpc::StatusCode::UNAVAILABLE},
                            Pair{Code::kBadImage, grpc::StatusCode::DATA_LOSS},
                            Pair{Code::kGone, grpc::StatusCode::ABORTED},
                            Pair{Code::kSystem, grpc::StatusCode::INTERNAL}};

grpc::StatusCode status_code(Code code) {
  for (const Pair& pair : kPairs)
    if (pair.code == code) return pair.status;
  return grpc::StatusCode::INTERNAL;
}

Code code_of(grpc::StatusCode status) {
  for (const Pair& pair : kPairs)
    if (pair.status == status) return pair.code;
  return Code::kSystem;
}

}  // namespace

grpc::Status to_status(const Error& error) {
  ErrorDetail detail;
  detail.set_code(std::string(code_name(error.code())));
  // to_string() ends with the remedy; here the two travel apart.
  std::string message = error.to_string();
  if (!error.remedy().empty() && message.ends_with("; " + error.remedy()))
    message.resize(message.size() - error.remedy().size() - 2);
  detail.set_message(message);
  detail.set_remedy(error.remedy());
  return grpc::Status(status_code(error.code()), message, detail.SerializeAsString());
}

Error from_status(const grpc::Status& status, const std::string& peer) {
  ErrorDetail detail;
  if (!status.error_details().empty() && detail.ParseFromString(status.error_details()))
    return Error(code_of(status.error_code()), detail.message()).with_remedy(detail.remedy());
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE)
    return Error(Code::kPeerLost,
                 fmt::format("{} cannot be reached: {}", peer, status.error_message()));
  return Error(code_of(status.error_code()), fmt::format("{}: {}", peer, status.error_message()));
}

}  // namespace martlet::agent
