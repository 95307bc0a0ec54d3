// How many different pages a container writes within a time: its working-set curve.
//
// D(t) is the expected number of pages written at least once within any t seconds. Two things hold
// whatever the program does, as long as it does it evenly: D never falls, and D(t)/t never rises (a
// page that was written already does not count again). So each observation bounds the curve
// everywhere, and the bounds of all observations together are an envelope:
//
//   s <= t:  D(s) <= D(t) <= D(s)·t/s        T >= t:  D(T)·t/T <= D(t) <= D(T)
//
// Valid for a container in a steady state; a change of load after the sampling is not foreseen.
#pragma once

#include <cstdint>
#include <vector>

#include "models/bounds.h"

namespace martlet::models {

// Of pages that were looked at twice, `seconds` apart, how many had changed.
struct DirtyObservation {
  double seconds = 0;
  uint64_t looked_at = 0;
  uint64_t changed = 0;
};

// The share that k successes in n trials speak for: Wilson's score interval at 95 % (E. B. Wilson,
// 1927); for n = 0 everything is possible.
Bounds wilson_interval(uint64_t successes, uint64_t trials);

class WorkingSetCurve {
 public:
  // A container of `pages` pages of which nothing is known.
  explicit WorkingSetCurve(double pages) : pages_(pages) {}
  // Observations of pages drawn at random from all of them, in any order.
  WorkingSetCurve(double pages, const std::vector<DirtyObservation>& observations);
  // Exactly `pages_per_second` different pages until all are written: the curve of the closed
  // forms.
  static WorkingSetCurve linear(double pages, double pages_per_second);
  // The same until `working_set` of the pages are written, and no more: min(W, w·t).
  static WorkingSetCurve linear(double pages, double pages_per_second, double working_set);

  double pages() const { return pages_; }
  // Pages written within `seconds` >= 0.
  Bounds within(double seconds) const;
  // Pages per second, as seen over the interval.
  Bounds rate(double seconds) const;

 private:
  struct Point {
    double seconds;
    Bounds pages;
  };
  double pages_ = 0;
  std::vector<Point> points_;
};

}  // namespace martlet::models
