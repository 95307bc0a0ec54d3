#include "models/design/selection.h"

#include <gmock/gmock.h>

#include <chrono>
#include <fstream>
#include <sstream>

#include "models/markov/testing.h"

namespace martlet::models {
namespace {

using testing::HasSubstr;

std::string text_of(const std::string& name) {
  std::ifstream file(std::string(MARTLET_EXAMPLES) + "/" + name);
  EXPECT_TRUE(file) << name;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Result<std::string> example_catalogue(const std::string& name) {
  return text_of(name);
}

Plan example(const std::string& name) {
  return must(parse_plan(text_of(name), example_catalogue));
}

void expect_consistent(const Plan& plan, const Selection& selection) {
  for (const Candidate& candidate : selection.candidates) {
    EXPECT_GE(candidate.unavailability, 0);
    EXPECT_LE(candidate.unavailability, 1);
    EXPECT_GT(candidate.cost, 0);
  }
  for (size_t i = 1; i < selection.satisfying.size(); ++i)
    EXPECT_LE(selection.candidates[selection.satisfying[i - 1]].cost,
              selection.candidates[selection.satisfying[i]].cost);
  for (size_t i = 1; i < selection.pareto.size(); ++i) {
    const Candidate& before = selection.candidates[selection.pareto[i - 1]];
    const Candidate& after = selection.candidates[selection.pareto[i]];
    EXPECT_GE(after.cost, before.cost);
    EXPECT_LT(after.unavailability, before.unavailability);
  }
  for (const size_t i : selection.satisfying) {
    const Candidate& candidate = selection.candidates[i];
    EXPECT_LE(candidate.cost, plan.requirements.budget.value_or(INFINITY));
    EXPECT_LE(candidate.downtime_minutes_per_year(),
              plan.requirements.downtime_minutes.value_or(INFINITY));
  }
}

const Candidate& cheapest(const Selection& selection) {
  EXPECT_FALSE(selection.satisfying.empty());
  return selection.candidates[selection.satisfying.front()];
}

TEST(Selection, OfTheShopIsTwoServersThatMoveInTime) {
  const Plan plan = example("shop.toml");
  const Selection selection = must(select(plan));
  expect_consistent(plan, selection);
  const Candidate& best = cheapest(selection);
  EXPECT_NE(best.options.design, Design::kSingle);
  EXPECT_LE(best.slowest_move.total_seconds, 600);
  EXPECT_LE(best.longest_pause.pause_seconds, 0.5);
}

// Only a shadow is back within five seconds.
TEST(Selection, OfTheControlSystemIsFaultTolerant) {
  const Plan plan = example("control.toml");
  const Selection selection = must(select(plan));
  expect_consistent(plan, selection);
  EXPECT_EQ(cheapest(selection).options.design, Design::kFt);
  for (const size_t i : selection.satisfying)
    EXPECT_GE(selection.candidates[i].no_interruption->lower, 0.97);
}

TEST(Selection, OfTheRemoteSiteMeetsThreeNines) {
  const Plan plan = example("remote.toml");
  const Selection selection = must(select(plan));
  expect_consistent(plan, selection);
  EXPECT_LE(cheapest(selection).unavailability, 1e-3);
}

TEST(Selection, SaysWhatWasMissedAndByHowMuch) {
  Plan plan = example("shop.toml");
  plan.requirements.budget = 100;
  const Selection selection = must(select(plan));
  EXPECT_TRUE(selection.satisfying.empty());
  EXPECT_TRUE(selection.sensitivities.empty());
  const auto budget =
      std::ranges::find(selection.discarded, Requirement::kBudget, &MissSummary::requirement);
  ASSERT_NE(budget, selection.discarded.end());
  EXPECT_EQ(budget->count, selection.candidates.size());
  EXPECT_NEAR(budget->smallest.by(), (budget->smallest.found - 100) / 100, 1e-12);
}

TEST(Selection, AShadowNeedsANetworkThatCarriesItsWrites) {
  Plan plan = example("control.toml");
  plan.services[0].write_rate = 2e9;
  const Selection selection = must(select(plan));
  for (const Candidate& candidate : selection.candidates) {
    const bool missed = std::ranges::find(candidate.misses, Requirement::kNetwork,
                                          &Miss::requirement) != candidate.misses.end();
    const double rate = plan.switches[candidate.switch_kind].bytes_per_second * 0.9;
    EXPECT_EQ(missed, candidate.options.design == Design::kFt && rate < 4.01e9);
  }
}

TEST(Plan, NamesWhatIsWrong) {
  const auto refusal = [](const std::string& text) {
    const auto plan = parse_plan(text, example_catalogue);
    return plan ? "" : plan.error().to_string();
  };
  EXPECT_THAT(refusal(""), HasSubstr("servers: at least one is needed"));
  EXPECT_THAT(refusal("colour = 1"), HasSubstr("colour: unknown key"));
  EXPECT_THAT(refusal("designs = ['raid']"), HasSubstr("no design 'raid'"));
  EXPECT_THAT(refusal("requirements = { availability = 2 }"),
              HasSubstr("requirements.availability"));
  EXPECT_THAT(refusal("requirements = { longest_move = 5 }"),
              HasSubstr("requirements.longest_move"));
  EXPECT_THAT(refusal("servers = [ { name = 'a', price = -1, mtbf_hours = 1, disk_mtbf_hours = 1, "
                      "memory = '1GB' } ]"),
              HasSubstr("servers[1].price: -1 is negative"));
  EXPECT_THAT(refusal("servers = [ { name = 'a', price = 1, mtbf_hours = 0, disk_mtbf_hours = 1, "
                      "memory = '1GB' } ]"),
              HasSubstr("servers[1].mtbf_hours: must be more than 0"));
  EXPECT_THAT(refusal("catalogue = 'catalogue.toml'"), HasSubstr("services: at least one"));
  EXPECT_THAT(
      refusal("catalogue = 'catalogue.toml'\nservices = [ { name = 'a', memory = '1XB' } ]"),
      HasSubstr("services[1].memory"));
}

// Plans with bytes changed at random are refused, or read and then chosen from or refused.
TEST(Plan, SurvivesRandomChanges) {
  constexpr std::string_view kSmall = R"(
servers = [ { name = "s", price = 1000, mtbf_hours = 5e4, disk_mtbf_hours = 2e5, memory = "64GB" } ]
switches = [ { name = "w", price = 100, mtbf_hours = 4e5, rate = "10Gbit/s" } ]
repairs = [ { name = "r", price_per_year = 500, repair = "visit", visit_hours = 20 } ]
requirements = { no_interruption_probability = 0.1, allowed_interruption = "9s", budget = 90000 }
assumptions = { coverage_ha = 0.9, years = 5, recovery_hours = 0.5, link_share = 0.9 }
services = [ { name = "db", count = 2, memory = "8GB", write_rate = "20MB/s", restart = "45s" } ]
designs = [ "single", "ha", "ft" ]
)";
  std::mt19937 random(52);
  constexpr std::string_view kBytes = "0123456789.eE-+\"' ,mshkMGB";
  size_t chosen = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string text(kSmall);
    for (size_t k = 0; k < 1 + random() % 2; ++k)
      text[random() % text.size()] = kBytes[random() % kBytes.size()];
    const auto plan = parse_plan(text, example_catalogue);
    if (!plan || chosen >= 30) continue;
    chosen++;
    if (const auto selection = select(*plan)) expect_consistent(*plan, *selection);
  }
  EXPECT_EQ(chosen, 30u);
}

TEST(PlannedMove, OfAnEmptyServiceTakesLittle) {
  const ServiceClass service{.name = "empty", .write_rate = 1e6};
  const PlannedMove move = plan_move(planned_inputs(service, 1e9, Storage::kShared, {}, 0.5), 0.5);
  EXPECT_GT(move.total_seconds, 0);
  EXPECT_LT(move.total_seconds, 5);
}

TEST(PlannedMove, OfAServiceThatWritesFasterThanTheLinkDoesNotConverge) {
  const ServiceClass service{.name = "busy", .memory_bytes = 8e9, .write_rate = 400e6};
  const auto move = [&](double rate) {
    return plan_move(planned_inputs(service, rate, Storage::kShared, {}, 0.2), 0.2);
  };
  EXPECT_FALSE(move(125e6).converges);
  EXPECT_TRUE(move(3e9).converges);
  EXPECT_NE(move(125e6).mode, MoveMode::kPrecopy);
  EXPECT_LE(move(3e9).pause_seconds, 0.2);
}

TEST(PlannedMove, SharedStorageSavesTheFiles) {
  const ServiceClass service{.name = "files", .memory_bytes = 1e9, .file_bytes = 100e9};
  const auto seconds = [&](Storage storage) {
    return plan_move(planned_inputs(service, 1.25e9, storage, {}, 0), 0).total_seconds;
  };
  EXPECT_NEAR(seconds(Storage::kReplicated) - seconds(Storage::kShared), 100e9 / 1.125e9, 1);
}

}  // namespace
}  // namespace martlet::models
