// Elimination without subtraction for dense systems of rates (Grassmann, Taksar and Heyman 1985).
//
// A diagonal entry of a generator is minus the sum of its row, and taking it from that sum rather
// than updating it leaves only additions, products and quotients of non-negative numbers. So every
// component of a result has a small relative error, however far apart the rates are.
#pragma once

#include <span>
#include <vector>

#include "models/markov/chain.h"

namespace martlet::models {

// A square matrix of rates, row by row; its diagonal is not used.
class RateMatrix {
 public:
  explicit RateMatrix(size_t size) : size_(size), entries_(size * size) {}
  // The rates between `members`; those to other states are left out.
  RateMatrix(const Chain& chain, std::span<const size_t> members);

  size_t size() const { return size_; }
  double& at(size_t row, size_t column) { return entries_[row * size_ + column]; }
  double at(size_t row, size_t column) const { return entries_[row * size_ + column]; }
  std::span<double> row(size_t index) { return {entries_.data() + index * size_, size_}; }

 private:
  size_t size_;
  std::vector<double> entries_;
};

// The stationary distribution of an irreducible chain of these rates; O(n³).
std::vector<double> stationary_by_elimination(RateMatrix rates);

// Solves -T·x = b for the rates T between some states of a chain that all lead out of them in the
// end: x is then the mean of what is earned at the rates b before the chain leaves.
class AbsorbingSystem {
 public:
  // A member from which the chain cannot leave the members is an error that names it.
  static Result<AbsorbingSystem> make(const Chain& chain, std::vector<size_t> members);

  const std::vector<size_t>& members() const { return members_; }
  // b has one value of either sign for each member; so has the result.
  std::vector<double> solve(const std::vector<double>& b) const;

 private:
  AbsorbingSystem(std::vector<size_t> members, RateMatrix factors)
      : members_(std::move(members)), factors_(std::move(factors)), pivots_(members_.size()) {}
  void factorise(std::vector<double> exits);
  std::vector<double> solve_non_negative(std::vector<double> b) const;

  std::vector<size_t> members_;
  RateMatrix factors_;  // above the diagonal multipliers, below it the rates that are left
  std::vector<double> pivots_;
};

}  // namespace martlet::models
