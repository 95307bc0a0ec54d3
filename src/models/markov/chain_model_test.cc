#include "models/markov/chain_model.h"

#include <gmock/gmock.h>

#include "base/test_util.h"

namespace martlet::models {
namespace {

using testing::HasSubstr;

Expression rate(const char* text) {
  return must(Expression::parse(text));
}

ChainDescription example() {
  ChainDescription chain{
      .title = "example", .parameters = {}, .states = {}, .transitions = {}, .initial = ""};
  chain.parameters = {{"mu", rate("100*lambda"), ""}, {"lambda", rate("1e-3"), ""}};
  chain.states = {{.name = "up"}, {.name = "down", .service = Service::kDown}};
  chain.transitions = {{"up", "down", rate("lambda"), ""}, {"down", "up", rate("mu"), ""}};
  return chain;
}

std::string refusal(ChainDescription chain) {
  const auto made = ChainModel::make(std::move(chain));
  return made ? "" : made.error().to_string();
}

TEST(ChainModel, EvaluatesParametersInTheirOrderOfUse) {
  const ChainModel model = must(ChainModel::make(example()));
  EXPECT_DOUBLE_EQ(must(model.at()).exit_rate(1), 0.1);
  EXPECT_DOUBLE_EQ(must(model.at({{"lambda", 2e-3}})).exit_rate(1), 0.2);
  EXPECT_DOUBLE_EQ(must(model.at({{"mu", 7}})).exit_rate(1), 7);
}

TEST(ChainModel, NamesWhatIsWrong) {
  ChainDescription chain = example();
  chain.transitions[0].rate = rate("2*lamda");
  EXPECT_THAT(refusal(chain), HasSubstr("unknown parameter 'lamda'"));
  chain = example();
  chain.parameters[1].value = rate("mu/100");
  EXPECT_THAT(refusal(chain), HasSubstr("depends on itself"));
  chain = example();
  chain.transitions[0].to = "dwon";
  EXPECT_THAT(refusal(chain), HasSubstr("there is no state 'dwon'"));
  chain = example();
  chain.states.push_back({.name = "lost"});
  EXPECT_THAT(refusal(chain),
              HasSubstr("state 'lost' cannot be reached from the initial state 'up'"));
  chain = example();
  chain.states.push_back({.name = "up"});
  EXPECT_THAT(refusal(chain), HasSubstr("listed twice"));
  chain = example();
  chain.parameters.push_back({"2x", Expression(1), ""});
  EXPECT_THAT(refusal(chain), HasSubstr("'2x' cannot be the name of a parameter"));
  chain = example();
  chain.states.clear();
  EXPECT_THAT(refusal(chain), HasSubstr("no states"));
}

TEST(ChainModel, NamesValuesThatMakeNoRate) {
  const ChainModel model = must(ChainModel::make(example()));
  EXPECT_THAT(model.at({{"mu", -1}}).error().to_string(), HasSubstr("'down' to 'up' is negative"));
  EXPECT_THAT(model.at({{"nu", 1}}).error().to_string(), HasSubstr("no parameter 'nu'"));
  EXPECT_THAT(model.at({{"lambda", INFINITY}}).error().to_string(), HasSubstr("'lambda'"));
  EXPECT_THAT(model.slopes("nu").error().to_string(), HasSubstr("no parameter 'nu'"));
}

}  // namespace
}  // namespace martlet::models
