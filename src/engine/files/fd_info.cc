#include "engine/files/fd_info.h"

#include <sys/sysmacros.h>

#include <charconv>
#include <string>

namespace martlet::engine {
namespace {

constexpr std::string_view kBlanks = " \t";

std::string_view trim_left(std::string_view text) {
  size_t start = text.find_first_not_of(kBlanks);
  return start == std::string_view::npos ? std::string_view() : text.substr(start);
}

}  // namespace

std::optional<std::string_view> info_field(std::string_view info, std::string_view key) {
  while (!info.empty()) {
    size_t end = info.find('\n');
    std::string_view line = info.substr(0, end);
    if (line.starts_with(key) && line.substr(key.size()).starts_with(':'))
      return trim_left(line.substr(key.size() + 1));
    if (end == std::string_view::npos) break;
    info.remove_prefix(end + 1);
  }
  return std::nullopt;
}

std::optional<uint64_t> take_number(std::string_view& text, int base) {
  text = trim_left(text);
  uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

Result<uint64_t> info_number(std::string_view info, std::string_view key, int base) {
  auto field = info_field(info, key);
  auto number = field ? take_number(*field, base) : std::nullopt;
  if (!number) return fail(Code::kUnsupported, "fdinfo has no " + std::string(key));
  return *number;
}

Result<uint64_t> take_labelled(std::string_view& text, std::string_view label, int base) {
  size_t at = text.find(label);
  if (at != std::string_view::npos) {
    text.remove_prefix(at + label.size());
    if (auto number = take_number(text, base)) return *number;
  }
  return fail(Code::kUnsupported, "fdinfo has no " + std::string(label));
}

dev_t unpack_device(uint64_t packed) {
  return makedev(static_cast<unsigned>(packed >> 20), static_cast<unsigned>(packed & 0xfffff));
}

}  // namespace martlet::engine
