// The stationary distribution of a large sparse chain: Gauss-Seidel sweeps, accelerated by chains
// of merged states (multi-level aggregation, Horton and Leutenegger 1994).
//
// A sweep evens out what differs between neighbours; what differs between distant parts evens out
// in a chain in which each state is a pair of strongly coupled states, solved the same way. All
// steps add and multiply non-negative numbers only.
#pragma once

#include "models/markov/incoming.h"

namespace martlet::models {

// Of an irreducible chain. kTimeout if the balance of each state is not within 1e-12 of its flow
// after 500 cycles.
Result<std::vector<double>> stationary_by_levels(IncomingArcs arcs);

}  // namespace martlet::models
