#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace martlet {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::kInvalidArgument: return "invalid argument";
    case Code::kNotFound: return "not found";
    case Code::kAlreadyExists: return "already exists";
    case Code::kUnsupported: return "unsupported";
    case Code::kPermission: return "permission denied";
    case Code::kNoSpace: return "no space";
    case Code::kTimeout: return "timeout";
    case Code::kCancelled: return "cancelled";
    case Code::kPeerLost: return "peer lost";
    case Code::kBadImage: return "bad image";
    case Code::kGone: return "gone";
    case Code::kSystem: return "system error";
  }
  return "unknown";
}

namespace {

Code code_of_errno(int error_number) {
  switch (error_number) {
    case ENOENT: return Code::kNotFound;
    case ESRCH: return Code::kGone;
    case EEXIST:
    case EADDRINUSE: return Code::kAlreadyExists;
    case EPERM:
    case EACCES: return Code::kPermission;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM: return Code::kNoSpace;
    case ETIMEDOUT: return Code::kTimeout;
    case ECONNRESET:
    case ECONNREFUSED:
    case EPIPE:
    case EHOSTUNREACH:
    case ENETUNREACH: return Code::kPeerLost;
    case EINVAL: return Code::kInvalidArgument;
    case ENOSYS:
    case EOPNOTSUPP: return Code::kUnsupported;
    default: return Code::kSystem;
  }
}

}  // namespace

Error::Error(Code code, std::string cause, std::source_location where)
    : code_(code), cause_(std::move(cause)), where_(where) {}

Error Error::from_errno(int error_number, std::string what, std::source_location where) {
  Error error(code_of_errno(error_number), std::move(what), where);
  error.error_number_ = error_number;
  return error;
}

Error Error::with_context(std::string link) && {
  context_.push_back(std::move(link));
  return std::move(*this);
}

Error Error::with_remedy(std::string remedy) && {
  remedy_ = std::move(remedy);
  return std::move(*this);
}

std::string Error::to_string() const {
  std::string line;
  for (auto link = context_.rbegin(); link != context_.rend(); ++link) line += *link + ": ";
  line += cause_;
  if (error_number_ != 0) line += std::string(": ") + std::strerror(error_number_);
  if (!remedy_.empty()) line += "; " + remedy_;
  return line;
}

std::unexpected<Error> fail_errno(std::string what, std::source_location where) {
  return std::unexpected(Error::from_errno(errno, std::move(what), where));
}

}  // namespace martlet
