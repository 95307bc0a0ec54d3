// A value with its exact derivative by one parameter (forward differentiation): the arithmetic of
// rates, so that a sensitivity needs no step size.
#pragma once

#include <cmath>

namespace martlet::models {

struct Dual {
  double value = 0;
  double slope = 0;  // d value / d parameter

  bool finite() const { return std::isfinite(value) && std::isfinite(slope); }
};

inline Dual operator+(const Dual& a, const Dual& b) {
  return {a.value + b.value, a.slope + b.slope};
}
inline Dual operator-(const Dual& a, const Dual& b) {
  return {a.value - b.value, a.slope - b.slope};
}
inline Dual operator-(const Dual& a) {
  return {-a.value, -a.slope};
}
inline Dual operator*(const Dual& a, const Dual& b) {
  return {a.value * b.value, a.slope * b.value + a.value * b.slope};
}
inline Dual operator/(const Dual& a, const Dual& b) {
  const double value = a.value / b.value;
  return {value, (a.slope - value * b.slope) / b.value};
}

inline Dual exp(const Dual& a) {
  const double value = std::exp(a.value);
  return {value, value * a.slope};
}
inline Dual sqrt(const Dual& a) {
  const double value = std::sqrt(a.value);
  return {value, a.slope == 0 ? 0 : a.slope / (2 * value)};
}
// Where both are equal there is no derivative; that of the first is taken.
inline Dual min(const Dual& a, const Dual& b) {
  return b.value < a.value ? b : a;
}
inline Dual max(const Dual& a, const Dual& b) {
  return b.value > a.value ? b : a;
}
inline Dual pow(const Dual& a, const Dual& b) {
  const double value = std::pow(a.value, b.value);
  double slope = 0;
  if (a.slope != 0 && b.value != 0) slope += b.value * std::pow(a.value, b.value - 1) * a.slope;
  if (b.slope != 0 && value != 0) slope += value * std::log(a.value) * b.slope;
  return {value, slope};
}

}  // namespace martlet::models
