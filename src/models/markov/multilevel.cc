#include "models/markov/multilevel.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "models/markov/elimination.h"

namespace martlet::models {
namespace {

constexpr size_t kDense = 200;          // states of the coarsest chain
constexpr int kCycles = 500;            // at most
constexpr double kBalance = 1e-12;      // of a state's flow, at the end
constexpr double kChange = 1e-11;       // of a state's probability in the last cycle
constexpr double kNegligible = 1e-280;  // flows below it are not compared: they have no digits left
constexpr uint32_t kInside = UINT32_MAX;

struct Level {
  IncomingArcs arcs;
  std::vector<uint32_t> merged;      // the state of the next level that each state is part of
  std::vector<uint32_t> coarse_arc;  // where each arc is added to on the next level, or kInside
};

// Pairs each state with the one that leads to it at the highest rate, if that is still alone.
std::vector<uint32_t> pair_states(const IncomingArcs& arcs) {
  std::vector<uint32_t> merged(arcs.size(), kInside);
  uint32_t count = 0;
  for (size_t j = 0; j < arcs.size(); ++j) {
    if (merged[j] != kInside) continue;
    double strongest = 0;
    size_t partner = j;
    for (size_t arc = arcs.begin[j]; arc < arcs.begin[j + 1]; ++arc) {
      if (merged[arcs.source[arc]] != kInside || arcs.rate[arc] <= strongest) continue;
      strongest = arcs.rate[arc];
      partner = arcs.source[arc];
    }
    merged[j] = merged[partner] = count++;
  }
  return merged;
}

// The arcs between merged states, without their rates; fills level.coarse_arc.
IncomingArcs merge_arcs(Level& level) {
  struct Pair {
    uint32_t to;
    uint32_t from;
    size_t arc;
  };
  const IncomingArcs& fine = level.arcs;
  std::vector<Pair> pairs;
  level.coarse_arc.assign(fine.rate.size(), kInside);
  for (size_t j = 0; j < fine.size(); ++j)
    for (size_t arc = fine.begin[j]; arc < fine.begin[j + 1]; ++arc) {
      const uint32_t from = level.merged[fine.source[arc]];
      if (from != level.merged[j]) pairs.push_back({level.merged[j], from, arc});
    }
  std::ranges::sort(pairs, [](const Pair& a, const Pair& b) {
    return std::tie(a.to, a.from) < std::tie(b.to, b.from);
  });
  IncomingArcs coarse;
  const size_t size = *std::ranges::max_element(level.merged) + size_t{1};
  coarse.begin.assign(size + 1, 0);
  coarse.exit.assign(size, 0);
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (i == 0 || pairs[i].to != pairs[i - 1].to || pairs[i].from != pairs[i - 1].from) {
      coarse.source.push_back(pairs[i].from);
      coarse.begin[pairs[i].to + 1]++;
    }
    level.coarse_arc[pairs[i].arc] = static_cast<uint32_t>(coarse.source.size() - 1);
  }
  std::partial_sum(coarse.begin.begin(), coarse.begin.end(), coarse.begin.begin());
  coarse.rate.assign(coarse.source.size(), 0);
  return coarse;
}

std::vector<Level> make_levels(IncomingArcs arcs) {
  std::vector<Level> levels;
  levels.push_back({std::move(arcs), {}, {}});
  while (levels.back().arcs.size() > kDense) {
    Level& level = levels.back();
    level.merged = pair_states(level.arcs);
    IncomingArcs coarse = merge_arcs(level);
    // The rates of the first distribution, so that the next level has something to pair by.
    for (size_t arc = 0; arc < level.coarse_arc.size(); ++arc)
      if (level.coarse_arc[arc] != kInside)
        coarse.rate[level.coarse_arc[arc]] += level.arcs.rate[arc];
    levels.push_back({std::move(coarse), {}, {}});
  }
  return levels;
}

// One sweep forward and one back.
void sweep(const IncomingArcs& arcs, std::vector<double>& x) {
  for (size_t j = 0; j < arcs.size(); ++j) x[j] = arcs.flow_into(j, x) / arcs.exit[j];
  for (size_t j = arcs.size(); j-- > 0;) x[j] = arcs.flow_into(j, x) / arcs.exit[j];
}

void normalise(std::vector<double>& x) {
  const double sum = std::accumulate(x.begin(), x.end(), 0.0);
  for (double& value : x) value /= sum;
}

std::vector<double> solve_dense(const IncomingArcs& arcs) {
  RateMatrix rates(arcs.size());
  for (size_t j = 0; j < arcs.size(); ++j)
    for (size_t arc = arcs.begin[j]; arc < arcs.begin[j + 1]; ++arc)
      rates.at(arcs.source[arc], j) += arcs.rate[arc];
  return stationary_by_elimination(std::move(rates));
}

// The rates between merged states, given how probability is spread within each.
std::vector<double> restrict_to_next(const Level& level, const std::vector<double>& x,
                                     IncomingArcs& coarse) {
  std::vector<double> sums(coarse.size(), 0.0);
  for (size_t i = 0; i < x.size(); ++i) sums[level.merged[i]] += x[i];
  std::ranges::fill(coarse.rate, 0.0);
  std::ranges::fill(coarse.exit, 0.0);
  const IncomingArcs& fine = level.arcs;
  for (size_t arc = 0; arc < fine.rate.size(); ++arc) {
    const uint32_t target = level.coarse_arc[arc];
    if (target == kInside) continue;
    const uint32_t source = fine.source[arc];
    const double sum = sums[level.merged[source]];
    const double share = sum > 0 ? x[source] / sum : 0.5;
    coarse.rate[target] += share * fine.rate[arc];
    coarse.exit[level.merged[source]] += share * fine.rate[arc];
  }
  return sums;
}

void cycle(std::vector<Level>& levels, size_t depth, std::vector<double>& x) {
  const IncomingArcs& arcs = levels[depth].arcs;
  if (depth + 1 == levels.size()) {
    x = solve_dense(arcs);
    return;
  }
  const Level& level = levels[depth];
  sweep(arcs, x);
  const std::vector<double> sums = restrict_to_next(level, x, levels[depth + 1].arcs);
  std::vector<double> coarse = sums;
  cycle(levels, depth + 1, coarse);
  for (size_t i = 0; i < x.size(); ++i) {
    const double sum = sums[level.merged[i]];
    if (sum > 0) x[i] *= coarse[level.merged[i]] / sum;
  }
  sweep(arcs, x);
  normalise(x);
}

// The largest |in - out| of a state, as a share of its flow.
double imbalance(const IncomingArcs& arcs, const std::vector<double>& x) {
  double worst = 0;
  for (size_t j = 0; j < arcs.size(); ++j) {
    const double out = x[j] * arcs.exit[j];
    if (out > kNegligible) worst = std::max(worst, std::abs(arcs.flow_into(j, x) - out) / out);
  }
  return worst;
}

double change(const std::vector<double>& before, const std::vector<double>& after) {
  double worst = 0;
  for (size_t i = 0; i < after.size(); ++i)
    if (after[i] > kNegligible) worst = std::max(worst, std::abs(after[i] - before[i]) / after[i]);
  return worst;
}

}  // namespace

Result<std::vector<double>> stationary_by_levels(IncomingArcs arcs) {
  std::vector<Level> levels = make_levels(std::move(arcs));
  const IncomingArcs& finest = levels.front().arcs;
  std::vector<double> x(finest.size(), 1.0 / static_cast<double>(finest.size()));
  for (int i = 0; i < kCycles; ++i) {
    const std::vector<double> before = x;
    cycle(levels, 0, x);
    if (change(before, x) <= kChange && imbalance(finest, x) <= kBalance) return x;
  }
  return std::unexpected(
      Error(
          Code::kTimeout,
          fmt::format("the stationary distribution of {} states has not converged after {} cycles",
                      x.size(), kCycles))
          .with_remedy("merge states that are alike, or bring the rates closer together"));
}

}  // namespace martlet::models
