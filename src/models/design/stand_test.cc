#include <gmock/gmock.h>

#include "base/test_util.h"
#include "models/design/stand_comparison.h"

namespace martlet::models {
namespace {

using testing::HasSubstr;

constexpr const char* kSmallest = "memory = ['64MB']\nlink = ['200Mbit/s']\n";

std::string refusal(const std::string& text) {
  const auto grid = parse_stand(text);
  return grid ? "accepted" : grid.error().to_string();
}

TEST(StandGrid, HasDefaultsForAllButMemoryAndLink) {
  const StandGrid grid = must(parse_stand(kSmallest));
  const std::vector<StandCell> cells = cells_of(grid);
  ASSERT_EQ(cells.size(), kMoveModes.size());
  EXPECT_EQ(cells[1].mode, MoveMode::kPrecopy);
  EXPECT_EQ(cells[1].memory, 64e6);
  EXPECT_EQ(cells[1].link, 25e6);
  EXPECT_EQ(cells[1].reads, 200);
  EXPECT_EQ(cells[1].files, 0);
}

TEST(StandGrid, IsTheProductOfItsLists) {
  const StandGrid grid = must(parse_stand(R"(
modes = ["precopy", "postcopy"]
memory = ["16MB", "32MB"]
files = ["0B", "8MB"]
link = ["100Mbit/s", "1Gbit/s"]
writes = ["0B/s", "5MB/s", "50MB/s"]
reads = [0, 100.5]
repeats = 2
)"));
  const std::vector<StandCell> cells = cells_of(grid);
  ASSERT_EQ(cells.size(), 2u * 2 * 2 * 2 * 3 * 2 * 2);
  EXPECT_EQ(cells[0].mode, MoveMode::kPrecopy);
  EXPECT_EQ(cells[1].mode, MoveMode::kPostcopy);
  EXPECT_DOUBLE_EQ(cells.back().write_share(), 0.4);
  EXPECT_EQ(cells.back().reads, 100.5);
}

TEST(StandGrid, AnErrorIsOneLineThatNamesTheKey) {
  const std::string smallest = kSmallest;
  const std::pair<std::string, const char*> cases[] = {
      {"memory = [", "line 1"},
      {"link = ['1Gbit/s']", "memory: is missing"},
      {"memory = ['64MB']", "link: is missing"},
      {smallest + "modes = ['warp']", "modes: 'warp' is none of stop"},
      {smallest + "modes = []", "modes: the list is empty"},
      {smallest + "writes = ['-1MB']", "writes: "},
      {smallest + "writes = []", "writes: the list is empty"},
      {smallest + "writes = 5", "writes: a list of texts"},
      {smallest + "reads = ['many']", "reads: a list of numbers"},
      {smallest + "reads = [1e9]", "reads: the most is 10000"},
      {smallest + "repeats = 0", "repeats: 1 to 100"},
      {smallest + "most_rounds = -1", "most_rounds: 1 to 1000"},
      {smallest + "file_size = '0'", "file_size: the least is 1B"},
      {smallest + "speed = 1", "speed: unknown key"},
      {"memory = ['1kB']\nlink = ['1Gbit/s']", "memory: the least is 1MiB"},
      {"memory = ['64MB']\nlink = ['0']", "link: the least is 1Mbit/s"},
      {"memory = ['64MB']\nlink = ['17Gbit/s']", "link: the most is 16Gbit/s"},
      {smallest + "repeats = 100\nreads = [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,"
                  "21,22,23,24,25,26]",
       "a grid of 10400 cells"}};
  for (const auto& [text, expected] : cases) {
    const std::string error = refusal(text);
    EXPECT_THAT(error, HasSubstr(expected)) << text;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
  }
}

// Pre-copy runs away when writes pass the link; post-copy does not depend on them.
TEST(StandGrid, WhatIsDeclaredForetellsTheRunaway) {
  const StandGrid grid = must(parse_stand(kSmallest));
  const auto pause = [&](MoveMode mode, double writes) {
    const StandCell cell{.mode = mode, .memory = 64e6, .link = 25e6, .writes = writes};
    return declared_prediction(grid, cell).pause;
  };
  EXPECT_LT(pause(MoveMode::kPrecopy, 1e6).upper, 0.2);
  EXPECT_GT(pause(MoveMode::kPrecopy, 50e6).lower, 64.0 / 25 * 0.9);
  EXPECT_EQ(pause(MoveMode::kPostcopy, 0).upper, pause(MoveMode::kPostcopy, 50e6).upper);
  EXPECT_EQ(pause(MoveMode::kStop, 0).upper, pause(MoveMode::kStop, 50e6).upper);
}

MovedCell moved(MoveMode mode, double writes, double pause, double total) {
  return {.cell = {.mode = mode, .memory = 100, .link = 10, .writes = writes},
          .pause = pause,
          .total = total,
          .sent = 200,
          .rounds = 3,
          .client = {},
          .declared = {.pause = {1, 4}, .total = {10, 40}},
          .calibrated = Foretold{.pause = {2, 2}, .total = {20, 20}}};
}

TEST(StandComparison, TellsHowFarEachModelIsOff) {
  std::vector<MovedCell> moves = {moved(MoveMode::kStop, 0, 4, 20), moved(MoveMode::kStop, 0, 8, 5),
                                  moved(MoveMode::kStop, 0, 2, 20)};
  moves.back().calibrated.reset();
  const std::vector<ModelError> errors = model_errors(moves);
  ASSERT_EQ(errors.size(), 2u);
  EXPECT_EQ(errors[0].forecast, Forecast::kDeclared);
  EXPECT_EQ(errors[0].moves, 3u);
  EXPECT_EQ(errors[0].pause.within, 2u);
  EXPECT_DOUBLE_EQ(errors[0].pause.ratio, 2);
  EXPECT_DOUBLE_EQ(errors[0].pause.worst, 4);
  EXPECT_EQ(errors[0].total.within, 2u);
  EXPECT_DOUBLE_EQ(errors[0].total.worst, 4);  // too short is as wrong as too long
  EXPECT_EQ(errors[1].forecast, Forecast::kCalibrated);
  EXPECT_EQ(errors[1].moves, 2u);
  EXPECT_EQ(errors[1].pause.within, 0u);
  EXPECT_DOUBLE_EQ(errors[1].pause.ratio, 3);
}

TEST(StandComparison, GroupsMovesByWhatIsWritten) {
  const std::vector<WriteEffect> effects =
      write_effects({moved(MoveMode::kPrecopy, 0, 1, 10), moved(MoveMode::kPrecopy, 9, 2, 20),
                     moved(MoveMode::kPrecopy, 10, 10, 50), moved(MoveMode::kPostcopy, 10, 1, 11)});
  ASSERT_EQ(effects.size(), 4u);
  EXPECT_EQ(effects[0].load, WriteLoad::kNone);
  EXPECT_EQ(effects[1].load, WriteLoad::kSlower);
  EXPECT_EQ(effects[2].load, WriteLoad::kFaster);
  EXPECT_DOUBLE_EQ(effects[2].pause_share, 1);
  EXPECT_DOUBLE_EQ(effects[2].total_share, 5);
  EXPECT_DOUBLE_EQ(effects[2].sent_share, 2);
  EXPECT_EQ(effects[3].mode, MoveMode::kPostcopy);
}

TEST(StandComparison, SaysNothingOfNoMoves) {
  EXPECT_TRUE(model_errors({}).empty());
  EXPECT_TRUE(write_effects({}).empty());
}

}  // namespace
}  // namespace martlet::models
