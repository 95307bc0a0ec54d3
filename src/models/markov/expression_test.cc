#include "models/markov/expression.h"

#include <gmock/gmock.h>

#include <cmath>
#include <random>

#include "base/test_util.h"

namespace martlet::models {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

double value_of(std::string_view text) {
  return must(Expression::parse(text)).evaluate({}).value;
}

TEST(Expression, FollowsTheUsualPrecedence) {
  EXPECT_EQ(value_of("1+2*3"), 7);
  EXPECT_EQ(value_of("(1+2)*3"), 9);
  EXPECT_EQ(value_of("8/4/2"), 1);
  EXPECT_EQ(value_of("7-4-2"), 1);
  EXPECT_EQ(value_of("2^3^2"), 512);
  EXPECT_EQ(value_of("-2^2"), -4);
  EXPECT_EQ(value_of("2^-1"), 0.5);
  EXPECT_EQ(value_of("--3 + +1"), 4);
  EXPECT_EQ(value_of(" 1.115e-5 * 1e5 "), 1.115e-5 * 1e5);
  EXPECT_EQ(value_of("max(1, min(5, 3), 2)"), 3);
  EXPECT_EQ(value_of("sqrt(16) + exp(0)"), 5);
}

TEST(Expression, NamesEachParameterOnce) {
  EXPECT_THAT(must(Expression::parse("a*b_1 + a/c")).names(), ElementsAre("a", "b_1", "c"));
}

TEST(Expression, DerivesExactly) {
  const Expression rate =
      must(Expression::parse("sqrt(x)*exp(-2*x) + x^3/(1+x) - max(x, 9) + 2^x"));
  const double x = 0.7;
  const double expected = std::exp(-2 * x) * (0.5 / std::sqrt(x) - 2 * std::sqrt(x)) +
                          (3 * x * x * (1 + x) - x * x * x) / ((1 + x) * (1 + x)) +
                          std::log(2) * std::pow(2, x);
  EXPECT_NEAR(rate.evaluate({{.value = x, .slope = 1}}).slope, expected, 1e-14);
}

TEST(Expression, RefusesWhatIsNoExpressionAndSaysWhere) {
  for (const auto& [text, cause] : std::initializer_list<std::pair<const char*, const char*>>{
           {"", "character 1: a value is missing"},
           {"2*", "a value is missing"},
           {"2 3", "character 3: an operator is expected"},
           {"(1+2", "')' is missing"},
           {"1+)", "character 3: a number, a name or '(' is expected"},
           {"sin(1)", "no function 'sin'"},
           {"min()", "a number, a name or '(' is expected"},
           {"exp(1,2)", "')' is missing"},
           {"1e999", "not a number"},
           {"a;b", "an operator is expected"}}) {
    const auto parsed = Expression::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_THAT(parsed.error().to_string(), HasSubstr(cause));
  }
}

TEST(Expression, BoundsItsDepthAndLength) {
  EXPECT_FALSE(Expression::parse(std::string(4000, '(')));
  EXPECT_FALSE(Expression::parse(std::string(5000, '1')));
  std::string tower;
  for (int i = 0; i < 1000; ++i) tower += "2^";
  EXPECT_FALSE(Expression::parse(tower + "1"));
  EXPECT_EQ(value_of(std::string(4000, '-') + "1"), 1);
}

// Whatever the text is, it is refused or evaluated.
TEST(Expression, SurvivesRandomText) {
  std::mt19937 random(5);
  constexpr std::string_view kAlphabet("0123.eE+-*/^(),ab_ minaxsqrtexp\0\xff", 34);
  for (int i = 0; i < 50'000; ++i) {
    std::string text;
    const size_t length = random() % 24;
    for (size_t k = 0; k < length; ++k) text += kAlphabet[random() % kAlphabet.size()];
    if (const auto parsed = Expression::parse(text))
      parsed->evaluate(std::vector<Dual>(parsed->names().size(), {.value = 1, .slope = 1}));
  }
}

}  // namespace
}  // namespace martlet::models
