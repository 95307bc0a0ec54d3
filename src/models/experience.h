// What earlier moves teach about the next one.
//
// Of each stage of an earlier move two numbers are kept: what the costs alone predicted, and what
// it took. The logarithm of their ratio is averaged with weights: newer moves count more, moves
// that are more alike, and stages of about the predicted length (E. A. Nadaraya, G. S. Watson,
// 1964), because a stage that waits for a slow link errs otherwise than one that waits for a
// processor. The mean moves the middle of an estimate; the spread is the half width of the bounds,
// never less than that of the model itself. Ratios are taken to be log-normal, because costs are
// positive and errors multiply; the bounds cover 90 % of such a distribution.
#pragma once

#include <vector>

#include "models/migration.h"

namespace martlet::models {

// How a move and the next one are alike.
struct Likeness {
  bool same_mode = false;
  bool same_container = false;
  bool same_destination = false;
};

struct PastMove {
  Likeness likeness;
  uint32_t age = 0;                            // moves since then
  std::array<double, kMoveStages> modelled{};  // seconds, the middle of the bounds
  std::array<double, kMoveStages> measured{};
  double pause = 0;  // measured
  double total = 0;
};

// Weighted observations of log(measured / modelled).
class RatioAverage {
 public:
  void add(double modelled, double measured, double weight);
  // The estimate with the middle moved and the width of the observed spread, or of its own if that
  // is larger. Without observations: as wide as a cost that was never checked can be.
  Bounds apply(const Bounds& estimate) const;

 private:
  struct Observation {
    double log_modelled;
    double log_ratio;
    double weight;
  };
  std::vector<Observation> observations_;
};

class Experience final : public Correction {
 public:
  explicit Experience(const std::vector<PastMove>& moves);

  Bounds stage(MoveMode mode, MoveStage stage, const Bounds& seconds) const override;
  Bounds pause(MoveMode mode, const Bounds& sum) const override;
  Bounds total(MoveMode mode, const Bounds& sum) const override;

 private:
  std::array<RatioAverage, kMoveStages> stages_;
  double pause_share_ = 0;  // of the sum of the stages that the container stands still in
  double total_share_ = 0;
};

}  // namespace martlet::models
