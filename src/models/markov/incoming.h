// A chain's arcs by where they lead: the form in which a distribution is multiplied by Q.
#pragma once

#include <cstdint>
#include <vector>

#include "models/markov/chain.h"

namespace martlet::models {

struct IncomingArcs {
  std::vector<size_t> begin;     // of each state's arcs, and the end
  std::vector<uint32_t> source;  // of each arc
  std::vector<double> rate;
  std::vector<double> exit;  // of each state: the sum of the rates that leave it

  size_t size() const { return exit.size(); }
  // Σ_i v_i·q_ij over the states i != j that lead to j.
  double flow_into(size_t j, const std::vector<double>& v) const {
    double sum = 0;
    for (size_t arc = begin[j]; arc < begin[j + 1]; ++arc) sum += v[source[arc]] * rate[arc];
    return sum;
  }
};

// `members` of a chain; arcs to and from other states are left out. All: see the second.
IncomingArcs incoming_arcs(const Chain& chain, const std::vector<size_t>& members);
IncomingArcs incoming_arcs(const Chain& chain);

}  // namespace martlet::models
