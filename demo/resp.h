// The part of the Redis protocol (RESP2) that the demo's client needs: requests of bulk strings,
// and replies that are not nested. Pure functions on bytes.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace martlet::demo {

struct Reply {
  enum class Kind { kStatus, kError, kInteger, kBulk, kNil };
  Kind kind = Kind::kNil;
  std::string text;     // of a status, an error or a bulk string
  int64_t integer = 0;  // of an integer

  bool operator==(const Reply&) const = default;
  std::string to_string() const;
};

// Appends a request to `out`.
void append_request(std::string& out, std::initializer_list<std::string_view> words);

// Splits a stream of bytes into replies. Bytes come in pieces of any size.
class ReplyParser {
 public:
  void feed(std::string_view bytes) { buffer_.append(bytes); }
  // The next complete reply, nothing if more bytes are needed, or an error if the stream is not
  // RESP.
  Result<std::optional<Reply>> next();

 private:
  Result<std::optional<Reply>> next_bulk(int64_t length, size_t body);
  void consume(size_t bytes);

  std::string buffer_;
  size_t start_ = 0;  // of the first byte not yet consumed
};

}  // namespace martlet::demo
