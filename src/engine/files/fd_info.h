// Reading the lines of /proc/PID/fdinfo/N, "key: value" each.
#pragma once

#include <sys/types.h>

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

// The number behind "label" anywhere in `text`, which is advanced behind it; kUnsupported if this
// kernel does not print it.
Result<uint64_t> take_labelled(std::string_view& text, std::string_view label, int base);

// The kernel prints its own packing of a device number: 12 bits major, 20 bits minor.
dev_t unpack_device(uint64_t packed);

}  // namespace martlet::engine
