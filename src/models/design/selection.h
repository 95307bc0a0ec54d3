// Chooses a cluster: every design with every piece of equipment and repair regime of a plan, what
// each costs, how available it is, which requirements it misses and by how much.
//
// Pure: the same plan gives the same result. docs/designer.md has the rules of the enumeration.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/bounds.h"
#include "models/design/plan.h"
#include "models/design/planned_move.h"
#include "models/markov/stationary.h"

namespace martlet::models {

enum class Requirement { kMemory, kNetwork, kBudget, kMove, kPause, kDowntime, kNoInterruption };
inline constexpr size_t kRequirements = 7;
std::string_view requirement_name(Requirement requirement);

// A requirement that a candidate misses.
struct Miss {
  Requirement requirement = Requirement::kMemory;
  double needed = 0;
  double found = 0;
  // By how much, as a share of what is needed; infinite where it is impossible.
  double by() const;
};

struct Candidate {
  DesignOptions options;
  size_t server = 0;  // indices into the plan
  size_t switch_kind = 0;
  std::optional<size_t> storage{};  // a shared array
  size_t repair = 0;
  int servers = 1;
  double cost = 0;  // over the years of the plan
  ParameterValues values{};
  PlannedMove slowest_move{};  // of the services; of no use for a single server
  PlannedMove longest_pause{};
  double unavailability = 0;                // of a service, on average over all
  std::optional<Bounds> no_interruption{};  // computed if nothing else is missed
  std::vector<Miss> misses{};

  double downtime_minutes_per_year() const { return unavailability * 8766 * 60; }
};

// The misses of one requirement over all candidates that are discarded for it.
struct MissSummary {
  Requirement requirement = Requirement::kMemory;
  size_t count = 0;
  size_t nearest = 0;  // candidate
  Miss smallest{};
};

struct Selection {
  std::vector<Candidate> candidates;
  std::vector<size_t> satisfying;  // cheapest first, then the most available
  std::vector<size_t> pareto;      // of all: no other is both cheaper and more available; by cost
  std::vector<MissSummary> discarded;
  std::vector<Sensitivity> sensitivities;  // of the cheapest that satisfies, strongest first
};

Result<Selection> select(const Plan& plan);

// "ha, prompt repair, own disks, 1 switch: 2 x server A, switch B, regime C".
std::string describe(const Plan& plan, const Candidate& candidate);

}  // namespace martlet::models
