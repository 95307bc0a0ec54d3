// Checks a declaration before anything is made from it, and fills in what the operator left open.
#pragma once

#include "agent/container.h"
#include "base/result.h"

namespace martlet::agent {

// Letters, digits, '_', '.', '-'; begins with a letter or digit; at most 63 characters, because it
// is also the container's host name and the name of its directories and cgroup.
Result<void> check_name(const std::string& name);

// Completes the declaration: a MAC address if it has none, the bundle's config.json. Errors are
// kInvalidArgument or kNotFound and name the field.
Result<void> complete(Declaration& declaration);

// "512", "64K", "256M", "1G", "2T" (powers of 1024) as bytes.
Result<uint64_t> parse_size(std::string_view text);

// "SRC:DST" or "SRC:DST:ro"; both absolute.
Result<Volume> parse_volume(std::string_view text);

}  // namespace martlet::agent
