// Errors as values.
//
// Every operation that can be refused by the kernel, a peer or an input returns Result<T>. An Error
// carries a code (something a caller can react to), the errno if there was one, one sentence of
// cause, a remedy for the operator, and the chain of context added on the way up: container, stage,
// object. `Error::to_string` prints all of it on one line.
#pragma once

#include <expected>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace martlet {

// A code exists only if some caller treats it differently from the others.
enum class Code {
  kInvalidArgument,  // the request makes no sense as written
  kNotFound,         // the named thing does not exist
  kAlreadyExists,    // the name, PID or address is taken
  kUnsupported,      // the engine or this host cannot handle the object
  kPermission,       // the kernel or a peer refused for lack of rights
  kNoSpace,          // memory or disk is exhausted
  kTimeout,          // a deadline passed
  kCancelled,        // the operator cancelled
  kPeerLost,         // the other host went away
  kBadImage,         // an image or stream is damaged, truncated or too new
  kGone,             // a task, container or file vanished while it was handled
  kSystem,           // any other refusal by the kernel
};

std::string_view code_name(Code code);

class Error {
 public:
  explicit Error(Code code, std::string cause,
                 std::source_location where = std::source_location::current());

  // An error from a failed system call; `what` names the call and its object. The code is derived
  // from the errno (ENOENT becomes kNotFound, ENOSPC kNoSpace, ...).
  static Error from_errno(int error_number, std::string what,
                          std::source_location where = std::source_location::current());

  Code code() const { return code_; }
  int error_number() const { return error_number_; }
  const std::string& cause() const { return cause_; }
  const std::string& remedy() const { return remedy_; }
  const std::source_location& where() const { return where_; }

  // Prepends a link of context such as "container redis" or "fd 7".
  Error with_context(std::string link) &&;
  Error with_remedy(std::string remedy) &&;

  // "container redis: stage capture: fd 7: cause (ENOENT); remedy".
  std::string to_string() const;

 private:
  Code code_;
  int error_number_ = 0;
  std::string cause_;
  std::string remedy_;
  std::vector<std::string> context_;  // innermost first
  std::source_location where_;
};

template <typename T>
using Result = std::expected<T, Error>;

// return fail(Code::kNotFound, "no container of this name");
inline std::unexpected<Error> fail(Code code, std::string cause,
                                   std::source_location where = std::source_location::current()) {
  return std::unexpected(Error(code, std::move(cause), where));
}

// The current errno as a failure; `what` names the call and its object.
std::unexpected<Error> fail_errno(std::string what,
                                  std::source_location where = std::source_location::current());

// Adds a link of context to a failed result; a success passes through untouched.
template <typename T>
Result<T> in_context(Result<T> result, std::string link) {
  if (!result) return std::unexpected(std::move(result).error().with_context(std::move(link)));
  return result;
}

// Evaluates to the value of a Result, or returns its error from the enclosing function.
//   auto fd = TRY(open_file(path));
//   TRY(freeze(group));
#define TRY(expression) \
  MARTLET_TRY_IMPL(expression, MARTLET_CONCAT(try_result_, __COUNTER__), error())

// The same with a link of context for the error; the link is evaluated only on failure.
#define TRY_IN(expression, link) \
  MARTLET_TRY_IMPL(expression, MARTLET_CONCAT(try_result_, __COUNTER__), error().with_context(link))

// A name of its own for each use, so that uses nest.
#define MARTLET_CONCAT(a, b) MARTLET_CONCAT_IMPL(a, b)
#define MARTLET_CONCAT_IMPL(a, b) a##b
#define MARTLET_TRY_IMPL(expression, name, failure)               \
  ({                                                              \
    auto name = (expression);                                     \
    if (!(name)) return std::unexpected(std::move(name).failure); \
    ::martlet::internal::take(name);                              \
  })

namespace internal {
template <typename T>
T take(Result<T>& result) {
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}
}  // namespace internal

}  // namespace martlet
