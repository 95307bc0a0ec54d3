// How the results of a stand look.
#pragma once

#include <string>
#include <vector>

#include "cli/output.h"
#include "stand/run.h"

namespace martlet::cli {

// "precopy, 64.0 MB, files 0 B, link 25.0 MB/s, writes 5.0 MB/s, 200 reads/s".
std::string describe(const models::StandCell& cell);
// What one move took, on one line.
std::string describe(const models::MovedCell& cell);

std::string to_text(const models::StandGrid& grid, const stand::Outcome& outcome);
Json to_json(const models::StandGrid& grid, const stand::Outcome& outcome);

// The tables of the text, for pages; the first row is the heading.
using Rows = std::vector<std::vector<std::string>>;
Rows move_rows(const std::vector<models::MovedCell>& moves);
Rows error_rows(const std::vector<models::ModelError>& errors);
Rows effect_rows(const std::vector<models::WriteEffect>& effects);
// One sentence each: what writing faster than the link did to pre-copy, and to post-copy.
std::vector<std::string> findings(const std::vector<models::WriteEffect>& effects);

}  // namespace martlet::cli
