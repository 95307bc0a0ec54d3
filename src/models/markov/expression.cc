#include "models/markov/expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/check.h"

namespace martlet::models {
namespace {

constexpr size_t kMaxLength = 4096;
constexpr int kMaxDepth = 100;

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

}  // namespace

bool is_parameter_name(std::string_view text) {
  return !text.empty() && is_letter(text.front()) &&
         std::ranges::all_of(text, [](char c) { return is_letter(c) || is_digit(c); });
}

// Recursive descent; writes postfix code.
class ExpressionParser {
 public:
  explicit ExpressionParser(std::string_view text) { result_.text_ = text; }

  Result<Expression> run() {
    result_.code_.clear();
    if (result_.text_.size() > kMaxLength)
      return fail(Code::kInvalidArgument,
                  fmt::format("an expression has more than {} characters", kMaxLength));
    TRY(sum());
    if (here() != '\0' || at_ < result_.text_.size()) return wrong("an operator is expected");
    return std::move(result_);
  }

 private:
  using Operation = Expression::Operation;

  // The next character that is no blank; '\0' at the end.
  char here() {
    const std::string& text = result_.text_;
    while (at_ < text.size() && (text[at_] == ' ' || text[at_] == '\t')) at_++;
    return at_ < text.size() ? text[at_] : '\0';
  }
  bool take(char c) {
    if (here() != c) return false;
    at_++;
    return true;
  }
  void emit(Operation operation) { result_.code_.push_back({operation}); }
  std::unexpected<Error> wrong(std::string_view cause) const {
    return fail(Code::kInvalidArgument,
                fmt::format("expression '{}', character {}: {}", result_.text_, at_ + 1, cause));
  }

  Result<void> sum() {
    if (++depth_ > kMaxDepth) return wrong("nested too deeply");
    TRY(product());
    for (;;) {
      const bool plus = take('+');
      if (!plus && !take('-')) break;
      TRY(product());
      emit(plus ? Operation::kAdd : Operation::kSubtract);
    }
    depth_--;
    return {};
  }

  Result<void> product() {
    TRY(sign());
    for (;;) {
      const bool times = take('*');
      if (!times && !take('/')) return {};
      TRY(sign());
      emit(times ? Operation::kMultiply : Operation::kDivide);
    }
  }

  Result<void> sign() {
    if (++depth_ > kMaxDepth) return wrong("nested too deeply");
    bool negative = false;
    for (;;) {
      if (take('-'))
        negative = !negative;
      else if (!take('+'))
        break;
    }
    TRY(power());
    if (negative) emit(Operation::kNegate);
    depth_--;
    return {};
  }

  Result<void> power() {
    TRY(atom());
    if (!take('^')) return {};
    TRY(sign());
    emit(Operation::kPower);
    return {};
  }

  Result<void> atom() {
    const char c = here();
    if (take('(')) {
      TRY(sum());
      return close();
    }
    if (is_digit(c) || c == '.') return number();
    if (is_letter(c)) return name_or_function();
    return wrong(c == '\0' ? "a value is missing" : "a number, a name or '(' is expected");
  }

  Result<void> close() {
    if (!take(')')) return wrong("')' is missing");
    return {};
  }

  Result<void> number() {
    const char* begin = result_.text_.data() + at_;
    const char* end = result_.text_.data() + result_.text_.size();
    double value = 0;
    const auto [stop, error] = std::from_chars(begin, end, value);
    if (error != std::errc()) return wrong("this is not a number that a double can hold");
    at_ += static_cast<size_t>(stop - begin);
    result_.code_.push_back({.operation = Operation::kNumber, .number = value});
    return {};
  }

  Result<void> name_or_function() {
    const size_t begin = at_;
    const std::string& text = result_.text_;
    while (at_ < text.size() && (is_letter(text[at_]) || is_digit(text[at_]))) at_++;
    const std::string name = text.substr(begin, at_ - begin);
    if (take('(')) return function(name);
    auto& names = result_.names_;
    const auto known = std::ranges::find(names, name);
    const auto index = static_cast<size_t>(known - names.begin());
    if (known == names.end()) names.push_back(name);
    result_.code_.push_back({.operation = Operation::kName, .name = index});
    return {};
  }

  Result<void> function(const std::string& name) {
    if (name == "exp" || name == "sqrt") {
      TRY(sum());
      emit(name == "exp" ? Operation::kExp : Operation::kSqrt);
      return close();
    }
    if (name != "min" && name != "max")
      return wrong(
          fmt::format("there is no function '{}'; there are min, max, exp and sqrt", name));
    TRY(sum());
    while (take(',')) {
      TRY(sum());
      emit(name == "min" ? Operation::kMin : Operation::kMax);
    }
    return close();
  }

  Expression result_;
  size_t at_ = 0;
  int depth_ = 0;
};

Expression::Expression(double constant) : text_(fmt::format("{}", constant)) {
  code_.push_back({.operation = Operation::kNumber, .number = constant});
}

Result<Expression> Expression::parse(std::string_view text) {
  return ExpressionParser(text).run();
}

Dual Expression::evaluate(const std::vector<Dual>& values) const {
  CHECK(values.size() == names_.size());
  std::vector<Dual> stack;
  stack.reserve(8);
  const auto unary = [&](auto function) { stack.back() = function(stack.back()); };
  const auto binary = [&](auto function) {
    const Dual second = stack.back();
    stack.pop_back();
    stack.back() = function(stack.back(), second);
  };
  for (const Instruction& step : code_) {
    switch (step.operation) {
      case Operation::kNumber: stack.push_back({.value = step.number}); break;
      case Operation::kName: stack.push_back(values[step.name]); break;
      case Operation::kAdd: binary([](auto a, auto b) { return a + b; }); break;
      case Operation::kSubtract: binary([](auto a, auto b) { return a - b; }); break;
      case Operation::kMultiply: binary([](auto a, auto b) { return a * b; }); break;
      case Operation::kDivide: binary([](auto a, auto b) { return a / b; }); break;
      case Operation::kPower: binary([](auto a, auto b) { return pow(a, b); }); break;
      case Operation::kNegate: unary([](auto a) { return -a; }); break;
      case Operation::kMin: binary([](auto a, auto b) { return min(a, b); }); break;
      case Operation::kMax: binary([](auto a, auto b) { return max(a, b); }); break;
      case Operation::kExp: unary([](auto a) { return exp(a); }); break;
      case Operation::kSqrt: unary([](auto a) { return sqrt(a); }); break;
    }
  }
  CHECK(stack.size() == 1);
  return stack.back();
}

}  // namespace martlet::models
