// The measures of one chain: what `martlet plan solve` computes and shows.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/output.h"
#include "models/bounds.h"
#include "models/markov/chain_model.h"
#include "models/markov/stationary.h"
#include "models/markov/transient.h"

namespace martlet::cli {

struct ChainQuestions {
  models::ParameterValues values;
  std::vector<double> hours;  // at which K(t) is shown
  double mission = 8766;      // hours
  double allowed = 0;         // hours that an interruption may last
  size_t phases = 0;          // 0: exactly `allowed`; else that many phases of this mean
  bool sensitivities = true;
};

struct ChainReport {
  std::string title;
  std::vector<models::ParameterDescription> parameters;
  std::vector<double> values;  // of the parameters
  std::vector<std::string> states;
  std::vector<double> stationary;  // of the states
  models::Availability availability;
  std::optional<double> mean_time_to_failure;  // none if it is never down
  std::vector<models::TransientPoint> points;
  std::optional<models::Bounds> no_interruption;
  std::vector<models::Sensitivity> sensitivities;  // the strongest first
  std::vector<std::string> left_out;               // what the chain is too large for, and why
};

Result<ChainReport> report_on(const models::ChainModel& model, const ChainQuestions& questions);
Json to_json(const ChainReport& report, const ChainQuestions& questions);
std::string to_text(const ChainReport& report, const ChainQuestions& questions);

// "53 min", "2.1 days" from hours.
std::string human_hours(double hours);

}  // namespace martlet::cli
