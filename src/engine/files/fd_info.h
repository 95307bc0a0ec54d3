// Reading the lines of /proc/PID/fdinfo/N, "key: value" each.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"

namespace martlet::engine {

// The text behind "key:" on the first line that begins with it, without surrounding blanks.
std::optional<std::string_view> info_field(std::string_view info, std::string_view key);

// The same as a number in the given base; kUnsupported if this kernel does not print the field.
Result<uint64_t> info_number(std::string_view info, std::string_view key, int base);

// A whole number at the start of `text` (after blanks); `text` is advanced behind it.
std::optional<uint64_t> take_number(std::string_view& text, int base);

}  // namespace martlet::engine
