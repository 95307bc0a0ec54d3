#include "demo/resp.h"

#include <fmt/format.h>

#include <charconv>

namespace martlet::demo {
namespace {

constexpr size_t kCompactAbove = 1 << 16;

std::optional<int64_t> parse_integer(std::string_view text) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::string Reply::to_string() const {
  switch (kind) {
    case Kind::kStatus: return "+" + text;
    case Kind::kError: return "-" + text;
    case Kind::kInteger: return fmt::format(":{}", integer);
    case Kind::kBulk: return text.size() > 40 ? text.substr(0, 40) + "..." : text;
    case Kind::kNil: return "(nil)";
  }
  return "?";
}

void append_request(std::string& out, std::initializer_list<std::string_view> words) {
  fmt::format_to(std::back_inserter(out), "*{}\r\n", words.size());
  for (std::string_view word : words) {
    fmt::format_to(std::back_inserter(out), "${}\r\n{}\r\n", word.size(), word);
  }
}

Result<std::optional<Reply>> ReplyParser::next() {
  size_t end = buffer_.find("\r\n", start_);
  if (end == std::string::npos) return std::optional<Reply>();
  std::string_view line(buffer_.data() + start_, end - start_);
  if (line.empty()) return fail(Code::kInvalidArgument, "empty line in the reply stream");
  std::string rest(line.substr(1));
  auto number = parse_integer(rest);
  switch (line[0]) {
    case '+': consume(line.size() + 2); return Reply{Reply::Kind::kStatus, rest, 0};
    case '-': consume(line.size() + 2); return Reply{Reply::Kind::kError, rest, 0};
    case ':':
      if (!number) break;
      consume(line.size() + 2);
      return Reply{Reply::Kind::kInteger, "", *number};
    case '$':
      if (!number) break;
      return next_bulk(*number, end + 2);
    default: break;
  }
  return fail(Code::kInvalidArgument, fmt::format("not a reply: '{}'", line.substr(0, 40)));
}

Result<std::optional<Reply>> ReplyParser::next_bulk(int64_t length, size_t body) {
  if (length < 0) {
    consume(body - start_);
    return Reply{};
  }
  auto size = static_cast<size_t>(length);
  if (buffer_.size() - body < size + 2) return std::optional<Reply>();
  Reply reply{Reply::Kind::kBulk, buffer_.substr(body, size), 0};
  consume(body + size + 2 - start_);
  return reply;
}

void ReplyParser::consume(size_t bytes) {
  start_ += bytes;
  if (start_ == buffer_.size() || start_ > kCompactAbove) {
    buffer_.erase(0, start_);
    start_ = 0;
  }
}

}  // namespace martlet::demo
