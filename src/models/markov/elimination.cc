#include "models/markov/elimination.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace martlet::models {
namespace {

constexpr size_t kNone = static_cast<size_t>(-1);

// The position of each state among the members.
std::vector<size_t> positions(const Chain& chain, std::span<const size_t> members) {
  std::vector<size_t> position(chain.size(), kNone);
  for (size_t i = 0; i < members.size(); ++i) position[members[i]] = i;
  return position;
}

// Takes state `k` out: what leads to it is led on to where it leads, among states below k. Its
// column then holds the multipliers. Returns the pivot; `exit` is its rate to the outside.
double eliminate(RateMatrix& rates, size_t k, double exit) {
  const std::span<const double> row_k = rates.row(k).first(k);
  std::vector<size_t> targets;  // few, until elimination has filled the matrix
  double pivot = exit;
  for (size_t j = 0; j < k; ++j) {
    if (row_k[j] == 0) continue;
    targets.push_back(j);
    pivot += row_k[j];
  }
  for (size_t i = 0; i < k; ++i) {
    const std::span<double> row = rates.row(i);
    if (row[k] == 0) continue;
    const double multiplier = row[k] / pivot;
    row[k] = multiplier;
    for (const size_t j : targets) row[j] += multiplier * row_k[j];
  }
  return pivot;
}

// Members from which there is no way out.
std::vector<bool> trapped(const Chain& chain, std::span<const size_t> members) {
  const std::vector<size_t> position = positions(chain, members);
  std::vector<std::vector<size_t>> sources(members.size());
  std::vector<bool> stays(members.size(), true);
  std::vector<size_t> todo;
  for (size_t i = 0; i < members.size(); ++i)
    for (const Arc& arc : chain.from(members[i])) {
      if (position[arc.to] != kNone) {
        sources[position[arc.to]].push_back(i);
      } else if (stays[i]) {
        stays[i] = false;
        todo.push_back(i);
      }
    }
  while (!todo.empty()) {
    const size_t state = todo.back();
    todo.pop_back();
    for (const size_t source : sources[state]) {
      if (!stays[source]) continue;
      stays[source] = false;
      todo.push_back(source);
    }
  }
  return stays;
}

}  // namespace

RateMatrix::RateMatrix(const Chain& chain, std::span<const size_t> members)
    : RateMatrix(members.size()) {
  const std::vector<size_t> position = positions(chain, members);
  for (size_t i = 0; i < members.size(); ++i)
    for (const Arc& arc : chain.from(members[i]))
      if (position[arc.to] != kNone) at(i, position[arc.to]) = arc.rate;
}

std::vector<double> stationary_by_elimination(RateMatrix rates) {
  const size_t n = rates.size();
  for (size_t k = n; k-- > 1;) eliminate(rates, k, 0);
  std::vector<double> result(n, 0.0);
  result[0] = 1;
  for (size_t k = 1; k < n; ++k)
    for (size_t i = 0; i < k; ++i) result[k] += result[i] * rates.at(i, k);
  const double sum = std::accumulate(result.begin(), result.end(), 0.0);
  for (double& probability : result) probability /= sum;
  return result;
}

Result<AbsorbingSystem> AbsorbingSystem::make(const Chain& chain, std::vector<size_t> members) {
  const std::vector<bool> stays = trapped(chain, members);
  for (size_t i = 0; i < members.size(); ++i)
    if (stays[i])
      return std::unexpected(
          Error(Code::kInvalidArgument,
                fmt::format("there is no way from state '{}' to what is waited for",
                            chain.state(members[i]).name))
              .with_remedy("add a transition out, or give a rate on the way a value above 0"));
  RateMatrix rates(chain, members);
  std::vector<double> exits(members.size(), 0.0);
  const std::vector<size_t> position = positions(chain, members);
  for (size_t i = 0; i < members.size(); ++i)
    for (const Arc& arc : chain.from(members[i]))
      if (position[arc.to] == kNone) exits[i] += arc.rate;
  AbsorbingSystem system(std::move(members), std::move(rates));
  system.factorise(std::move(exits));
  return system;
}

void AbsorbingSystem::factorise(std::vector<double> exits) {
  for (size_t k = members_.size(); k-- > 0;) {
    pivots_[k] = eliminate(factors_, k, exits[k]);
    for (size_t i = 0; i < k; ++i) exits[i] += factors_.at(i, k) * exits[k];
  }
}

std::vector<double> AbsorbingSystem::solve_non_negative(std::vector<double> b) const {
  const size_t n = members_.size();
  for (size_t k = n; k-- > 1;)
    for (size_t i = 0; i < k; ++i) b[i] += factors_.at(i, k) * b[k];
  for (size_t k = 0; k < n; ++k) {
    for (size_t j = 0; j < k; ++j) b[k] += factors_.at(k, j) * b[j];
    b[k] /= pivots_[k];
  }
  return b;
}

std::vector<double> AbsorbingSystem::solve(const std::vector<double>& b) const {
  CHECK(b.size() == members_.size());
  std::vector<double> gains(b.size());
  std::vector<double> losses(b.size());
  for (size_t i = 0; i < b.size(); ++i) (b[i] > 0 ? gains : losses)[i] = std::abs(b[i]);
  std::vector<double> result = solve_non_negative(std::move(gains));
  if (std::ranges::any_of(losses, [](double loss) { return loss > 0; })) {
    const std::vector<double> lost = solve_non_negative(std::move(losses));
    for (size_t i = 0; i < result.size(); ++i) result[i] -= lost[i];
  }
  return result;
}

}  // namespace martlet::models
