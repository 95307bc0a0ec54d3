// How results look: JSON for programs, aligned text for people.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "agent/api.pb.h"
#include "base/result.h"

namespace martlet::cli {

using Json = nlohmann::ordered_json;

Json to_json(const agent::ContainerInfo& container);
Json to_json(const agent::HostInfo& host);
Json to_json(const agent::MigrationSummary& summary);
Json to_json(const Error& error);

void print_json(const Json& value);

// "running", "exited", ...
std::string state_name(agent::State state);

// "1.5 GB" (powers of 1000, as links and disks are sold), "240 B".
std::string human_bytes(double bytes);
// "12.3 s", "4.56 ms", "780 us".
std::string human_seconds(double seconds);
// "3 min", "2 h", "5 d".
std::string human_age(int64_t seconds);

// Columns as wide as their longest cell; the first row is the heading. Numbers (a cell that begins
// with a digit in a column named in `right`) are aligned to the right.
std::string format_table(const std::vector<std::vector<std::string>>& rows,
                         const std::vector<size_t>& right_aligned = {});

}  // namespace martlet::cli
