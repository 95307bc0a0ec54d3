// A quantity that is known between two bounds, and the arithmetic of such intervals.
//
// Invariant: 0 <= lower <= upper; upper may be infinite. A sum of bounds supposes that all of its
// terms are at their bound together, so it is never too narrow.
#pragma once

#include <algorithm>
#include <cmath>

namespace martlet::models {

struct Bounds {
  double lower = 0;
  double upper = 0;

  static constexpr Bounds exactly(double value) { return {value, value}; }
  bool contains(double value) const { return lower <= value && value <= upper; }
  // The value in the middle on a logarithmic scale; the arithmetic one where the lower bound is 0.
  double middle() const { return lower > 0 ? std::sqrt(lower) * std::sqrt(upper) : upper / 2; }

  Bounds& operator+=(const Bounds& other) {
    lower += other.lower;
    upper += other.upper;
    return *this;
  }
};

inline Bounds operator+(Bounds a, const Bounds& b) {
  return a += b;
}

inline Bounds operator*(Bounds a, double factor) {
  return {a.lower * factor, a.upper * factor};
}

// The divisor must not be zero.
inline Bounds operator/(Bounds a, const Bounds& divisor) {
  return {a.lower / divisor.upper, a.upper / divisor.lower};
}

// The larger (smaller) of the two, whichever that is.
inline Bounds larger(const Bounds& a, const Bounds& b) {
  return {std::max(a.lower, b.lower), std::max(a.upper, b.upper)};
}
inline Bounds smaller(const Bounds& a, const Bounds& b) {
  return {std::min(a.lower, b.lower), std::min(a.upper, b.upper)};
}

}  // namespace martlet::models
