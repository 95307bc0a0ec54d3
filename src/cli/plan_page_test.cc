#include "cli/plan_page.h"

#include <gmock/gmock.h>

#include "base/test_util.h"
#include "cli/plan_output.h"
#include "cli/state_diagram.h"

namespace martlet::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

models::Plan example_plan(const std::string& requirements) {
  return must(models::parse_plan("title = 'shop <1>'\ncurrency = 'EUR'\n" + requirements + R"(
servers = [ { name = "s&1", price = 1000, mtbf_hours = 5e4, disk_mtbf_hours = 2e5, memory = "64GB" } ]
switches = [ { name = "w", price = 100, mtbf_hours = 4e5, rate = "10Gbit/s" } ]
repairs = [ { name = "r", price_per_year = 500 } ]
services = [ { name = "db", memory = "8GB", write_rate = "20MB/s", file_bytes = "10GB" } ]
)",
                                 nullptr));
}

TEST(PlanPage, IsOneFileThatNeedsNothingElse) {
  const models::Plan plan = example_plan("requirements = { downtime_minutes_per_year = 30 }");
  const std::string page = must(plan_page(plan, must(models::select(plan))));
  for (const char* part : {"<svg", "shop &lt;1&gt;", "s&amp;1", "Ranking", "What to improve first",
                           "Assumptions", "Discarded", "prefers-color-scheme: dark"})
    EXPECT_THAT(page, HasSubstr(part));
  for (const char* elsewhere : {"https:", "<script", "<link", "@import", "url(h", "nan", "inf\""})
    EXPECT_THAT(page, Not(HasSubstr(elsewhere)));
}

TEST(PlanPage, SaysThatNothingSatisfiesAndWhy) {
  const models::Plan plan = example_plan("requirements = { budget = 10 }");
  const models::Selection selection = must(models::select(plan));
  EXPECT_THAT(must(plan_page(plan, selection)), HasSubstr("No design satisfies"));
  const std::string text = to_text(plan, selection, 5);
  EXPECT_THAT(text, HasSubstr("0 satisfy every requirement"));
  EXPECT_THAT(text, HasSubstr("miss budget: needed 10 EUR, found"));
  const Json json = to_json(plan, selection, 5);
  EXPECT_EQ(json["satisfying_count"], 0);
  EXPECT_EQ(json["discarded"][0]["requirement"], "budget");
}

TEST(PlanOutput, GroupsTheDigitsOfPrices) {
  const models::Plan plan = example_plan("");
  EXPECT_EQ(price(plan, 999), "999 EUR");
  EXPECT_EQ(price(plan, 1234567.4), "1 234 567 EUR");
}

TEST(StateDiagram, DrawsEachStateAndTransition) {
  models::ChainDescription chain;
  chain.title = "a <b>";
  chain.states = {{.name = "works; \"all\""}, {.name = "down", .service = models::Service::kDown}};
  chain.transitions = {{"works; \"all\"", "down", must(models::Expression::parse("2*a")), ""},
                       {"down", "works; \"all\"", must(models::Expression::parse("b")), ""}};
  const std::string svg = state_diagram(chain);
  for (const char* part : {"a &lt;b&gt;", "&quot;all&quot;", "class=\"down\"", "2*a", "</svg>"})
    EXPECT_THAT(svg, HasSubstr(part));
}

// Every design can be drawn.
TEST(StateDiagram, DrawsEveryDesign) {
  for (const models::DesignInfo& info : models::designs())
    for (const auto repair : {models::Repair::kPrompt, models::Repair::kVisit}) {
      const auto chain = must(models::design_chain({.design = info.design, .repair = repair}));
      EXPECT_THAT(state_diagram(chain), Not(HasSubstr("nan")));
    }
}

}  // namespace
}  // namespace martlet::cli
