// The axes of a page's chart: x is linear from 0, y logarithmic in whole powers of ten.
#pragma once

#include <string>

namespace martlet::cli {

class Chart {
 public:
  // x_end and y_low > 0.
  Chart(double x_end, double y_low, double y_high);
  // Where a value stands in the drawing.
  double x(double value) const;
  double y(double value) const;

  // The drawing's beginning: <svg> with axes; the caller closes it.
  std::string open(const std::string& label, const std::string& x_title) const;

 private:
  double x_end_;
  double low_;  // powers of ten
  double high_;
};

}  // namespace martlet::cli
