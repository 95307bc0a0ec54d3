// The matrix of transition probabilities over a time, for dense chains whose rates are far apart:
// a series over a very short time, squared until the time is reached.
#pragma once

#include <Eigen/Dense>

#include "models/markov/chain.h"

namespace martlet::models {

struct TransitionMatrix {
  Eigen::MatrixXd probability;  // P(t) = e^{Qt}
  Eigen::MatrixXd cumulated;    // ∫_0^t P(s) ds: hours spent in a state
};

// All numbers are non-negative, and after each squaring a row is made to sum to one again through
// its diagonal where that is the larger part, so that errors add up and do not double: the relative
// error of an entry is about (number of squarings)·n·2^-52. `hours` >= 0.
TransitionMatrix transition_matrix(const Chain& chain, double hours);
// The same without `cumulated`, which then is empty, for half of the work.
TransitionMatrix transition_probability(const Chain& chain, double hours);
// How many squarings that takes.
int squarings(const Chain& chain, double hours);

}  // namespace martlet::models
