// Rate expressions: arithmetic over named parameters, as it is written in a chain's file.
//
//   sum     = product { ("+" | "-") product }
//   product = sign { ("*" | "/") sign }
//   sign    = { "-" | "+" } power
//   power   = atom [ "^" sign ]                      right to left: 2^3^2 = 2^9, -2^2 = -4
//   atom    = number | name | function "(" sum { "," sum } ")" | "(" sum ")"
//
// Functions: min and max of one or more arguments, exp, sqrt. A name is a letter or "_", then
// letters, digits and "_". An expression is a value: it owns its text and its parsed form and may
// be copied and read from any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "models/markov/dual.h"

namespace martlet::models {

class Expression {
 public:
  // The constant 0.
  Expression() : Expression(0) {}
  explicit Expression(double constant);

  // Errors (kInvalidArgument) show the text and where in it the fault is. A text of more than 4096
  // characters, or nested deeper than 100, is refused.
  static Result<Expression> parse(std::string_view text);

  const std::string& text() const { return text_; }
  // Each parameter once, in order of appearance.
  const std::vector<std::string>& names() const { return names_; }

  // `values` holds one value for each of names(). The result may be infinite or not a number, as
  // the arithmetic has it; whoever uses it as a rate checks it.
  Dual evaluate(const std::vector<Dual>& values) const;

 private:
  friend class ExpressionParser;
  enum class Operation {
    kNumber,
    kName,
    kAdd,
    kSubtract,
    kMultiply,
    kDivide,
    kPower,
    kNegate,
    kMin,
    kMax,
    kExp,
    kSqrt
  };
  struct Instruction {
    Operation operation;
    double number = 0;  // kNumber
    size_t name = 0;    // kName: index into names_
  };

  std::string text_;
  std::vector<std::string> names_;
  std::vector<Instruction> code_;  // postfix
};

// Whether `text` can be the name of a parameter.
bool is_parameter_name(std::string_view text);

}  // namespace martlet::models
