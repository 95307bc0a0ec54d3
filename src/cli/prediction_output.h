// How predictions and remembered moves look.
#pragma once

#include <string>

#include "agent/api.pb.h"
#include "cli/output.h"

namespace martlet::cli {

Json to_json(const agent::Prediction& prediction);
Json to_json(const agent::HostPrediction& host);
Json to_json(const agent::MoveRecord& move);

// "1.2 - 3.4 ms".
std::string human_seconds(const agent::Bounds& seconds);

// All of what is foretold for one host, as text.
std::string describe(const std::string& container, const agent::HostPrediction& host);
std::string history_table(const agent::HistoryReply& history);

// "12 % too long" and the like: how far the measured value is outside of the bounds, relative to
// the bound it passed; empty if it is within.
std::string outside(const agent::Bounds& foretold, double measured);

}  // namespace martlet::cli
