#include "models/design/chain_file.h"

#include <gmock/gmock.h>

#include <random>

#include "models/markov/stationary.h"
#include "models/markov/testing.h"

namespace martlet::models {
namespace {

using testing::HasSubstr;

constexpr std::string_view kOwn = R"(
title = "one machine"
initial = "works"
parameters = { lambda = 1e-4, mu = "25*lambda" }
states = [ { name = "works" }, { name = "broken", up = false, reward = "lambda" } ]
transitions = [
  { from = "works", to = "broken", rate = "lambda", label = "fails" },
  { from = "broken", to = "works", rate = "mu" },
]
)";

TEST(ChainFile, ReadsAnOwnChain) {
  const ChainDescription chain = must(parse_chain_file(kOwn));
  EXPECT_EQ(chain.title, "one machine");
  const Availability found = must(availability(must(must(ChainModel::make(chain)).at())));
  EXPECT_NEAR(found.unavailability, 1.0 / 26, 1e-15);
  EXPECT_NEAR(found.reward, 25.0 / 26 + 1e-4 / 26, 1e-15);
}

TEST(ChainFile, ReadsATemplateWithOptionsAndRates) {
  const ChainDescription chain = must(parse_chain_file(
      "template = 'ft'\n[options]\nrepair = 'visit'\nswitches = 2\n[parameters]\nlambda_s = 1e-4"));
  EXPECT_THAT(chain.title, HasSubstr("ft, repair by visit"));
  const ChainModel model = must(ChainModel::make(chain));
  EXPECT_GT(must(availability(must(model.at()))).unavailability, 0);
}

TEST(ChainFile, NamesWhatIsWrongAndWhere) {
  for (const auto& [text, cause] : std::initializer_list<std::pair<const char*, const char*>>{
           {"states = 3", "states: a list of tables"},
           {"states = [ {} ]", "states[1].name: is missing"},
           {"states = [ {name = 'a', colour = 1} ]", "states[1].colour: unknown key"},
           {"transitions = [ {from='a', to='b'} ]", "transitions[1].rate: is missing"},
           {"transitions = [ {from='a', to='b', rate='2*'} ]", "a value is missing"},
           {"parameters = { a = true }", "parameters.a: a number is expected"},
           {"parameters = { a = inf }", "parameters.a: a number is expected"},
           {"template = 'raid'", "no template 'raid'"},
           {"template = 'ha'\noptions = { repair = 'never' }", "'prompt' or 'visit'"},
           {"template = 'ha'\nparameters = { lambda = 1 }", "no such parameter"},
           {"a = [", "line 1"}}) {
    const auto parsed = parse_chain_file(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_THAT(parsed.error().to_string(), HasSubstr(cause));
  }
}

// Files with bytes changed at random are refused or read, and then refused or solved.
TEST(ChainFile, SurvivesRandomChanges) {
  std::mt19937 random(51);
  for (int i = 0; i < 3000; ++i) {
    std::string text(kOwn);
    for (size_t k = 0; k < 1 + random() % 4; ++k)
      text[random() % text.size()] = static_cast<char>(random() % 96 + 32);
    auto chain = parse_chain_file(text);
    if (!chain) continue;
    const auto model = ChainModel::make(std::move(*chain));
    if (!model) continue;
    if (const auto numbers = model->at()) (void)availability(*numbers);
  }
}

}  // namespace
}  // namespace martlet::models
