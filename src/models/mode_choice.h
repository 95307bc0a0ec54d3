// Which mode a move takes when its caller leaves it open: a pure function of the predictions.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "models/migration.h"

namespace martlet::models {

struct MoveLimits {
  double max_pause = 0;  // seconds
  double max_time = 0;   // seconds of the whole move; 0: no limit
  bool binding = true;   // demanded, rather than aimed at
};

struct ModeChoice {
  Prediction prediction;  // of the chosen mode
  std::string reason;     // one sentence
};

// The first of stop, pre-copy, hybrid, post-copy whose upper bounds of pause and total time are
// within the limits. In the first two the container is complete on one host at every moment; in the
// last two the loss of either host until the last page has arrived loses it, and hybrid keeps that
// time shorter. kUnsupported if none fits; the remedy says what would.
// Limits that are not binding are no reason to refuse, nor to risk the container: of the first two
// modes the one that fits, else pre-copy.
Result<ModeChoice> choose_mode(const std::vector<Prediction>& predictions,
                               const MoveLimits& limits);

}  // namespace martlet::models
