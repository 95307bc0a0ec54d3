#include "cli/stand_page.h"

#include <gmock/gmock.h>

#include "base/test_util.h"
#include "cli/stand_output.h"

namespace martlet::cli {
namespace {

using models::MovedCell;
using models::MoveMode;
using testing::HasSubstr;
using testing::Not;

MovedCell moved(MoveMode mode, double writes, double pause) {
  return {.cell = {.mode = mode, .memory = 100e6, .link = 25e6, .writes = writes, .reads = 5},
          .pause = pause,
          .total = 6,
          .sent = 130e6,
          .rounds = 3,
          .client = models::ClientView{.replies = 9, .usual = 1, .moving = 1, .longest = pause},
          .declared = {.pause = {1, 4}, .total = {7, 8}},
          .calibrated = models::Foretold{.pause = {0.1, 0.2}, .total = {2, 20}}};
}

struct Example {
  models::StandGrid grid =
      must(models::parse_stand("title = 'a <grid>'\nmemory = ['4MB']\nlink = ['1Gbit/s']"));
  stand::Outcome outcome{
      .moved = {moved(MoveMode::kPrecopy, 1e6, 0.15), moved(MoveMode::kPrecopy, 50e6, 4),
                moved(MoveMode::kPostcopy, 1e6, 0.15), moved(MoveMode::kPostcopy, 50e6, 0.15)},
      .failed = {}};
};

TEST(StandPage, IsOneFileThatNeedsNothingElse) {
  Example example;
  example.outcome.failed.push_back(
      {{.mode = MoveMode::kStop, .link = 1}, Error(Code::kTimeout, "too <late>")});
  const std::string page = stand_page(example.grid, example.outcome);
  for (const char* part : {"<svg", "a &lt;grid&gt;", "too &lt;late&gt;", "What writing does",
                           "How far the models are off", "The moves", "precopy: writing"})
    EXPECT_THAT(page, HasSubstr(part));
  for (const char* elsewhere : {"https:", "<script", "<link", "@import", "url(h", "nan", "inf\""})
    EXPECT_THAT(page, Not(HasSubstr(elsewhere)));
}

TEST(StandPage, CanBeDrawnWithoutMovesAndForecasts) {
  Example example;
  example.outcome.moved.resize(1);
  example.outcome.moved[0].calibrated.reset();
  example.outcome.moved[0].client.reset();
  EXPECT_THAT(stand_page(example.grid, example.outcome), Not(HasSubstr("nan")));
  example.outcome.moved.clear();
  EXPECT_THAT(stand_page(example.grid, example.outcome), HasSubstr("0 moves"));
}

TEST(StandOutput, SaysOnWhichSideAForecastMissed) {
  const Example example;
  const Rows rows = move_rows(example.outcome.moved);
  EXPECT_EQ(rows[1][8], "1.00 s - 4.00 s >");        // pause, declared
  EXPECT_EQ(rows[2][9], "100.00 ms - 200.00 ms <");  // pause, calibrated
  EXPECT_EQ(rows[1][13], "2.00 s - 20.00 s");        // total, calibrated
}

TEST(StandOutput, TextAndJsonHoldEveryTable) {
  Example example;
  example.outcome.failed.push_back(
      {{.mode = MoveMode::kStop, .link = 1}, Error(Code::kTimeout, "too late")});
  const std::string text = to_text(example.grid, example.outcome);
  EXPECT_THAT(text, HasSubstr("failed: stop"));
  EXPECT_THAT(text, HasSubstr("writing faster than the link for 4.00 s, 100%"));
  const Json json = to_json(example.grid, example.outcome);
  EXPECT_EQ(json["moves"].size(), 4u);
  EXPECT_EQ(json["moves"][0]["client"]["replies"], 9);
  EXPECT_EQ(json["errors"].size(), 4u);
  EXPECT_EQ(json["effects"].size(), 4u);
  EXPECT_EQ(json["findings"].size(), 2u);
  EXPECT_EQ(json["failed"][0]["error"]["code"], "timeout");
}

}  // namespace
}  // namespace martlet::cli
