#include "agent/move_history.h"

#include "base/test_util.h"
#include "migrate/stages.h"

namespace martlet::agent {
namespace {

class MoveHistoryTest : public testing::Test {
 protected:
  void SetUp() override { reopen(); }
  void reopen() {
    history_.reset();
    auto opened = MoveHistory::open(directory_ / "moves.db");
    ASSERT_TRUE(opened) << opened.error().to_string();
    history_ = std::move(*opened);
  }

  TemporaryDirectory directory_;
  std::unique_ptr<MoveHistory> history_;
};

MoveRecord move_of(const std::string& container, int64_t at, const std::string& mode = "stop") {
  MoveRecord move;
  move.set_started_at_ms(at);
  move.set_mode(mode);
  move.mutable_measured()->set_container(container);
  move.mutable_measured()->set_destination("host-b");
  move.mutable_measured()->set_pause_seconds(0.02);
  move.mutable_measured()->set_total_seconds(0.5);
  MigrationStage& stage = *move.mutable_measured()->add_stages();
  stage.set_name("freeze");
  stage.set_seconds(0.003);
  MigrationStage& rounds = *move.mutable_measured()->add_stages();
  rounds.set_name(std::string(migrate::stage_name(migrate::Stage::kRounds)));
  rounds.set_seconds(0.2);
  for (size_t i = 0; i < models::kMoveStages; ++i) move.add_modelled_seconds(0.001);
  return move;
}

TEST_F(MoveHistoryTest, ListsTheNewestFirstAlsoAfterARestart) {
  ASSERT_TRUE(history_->add(move_of("redis", 999)));
  ASSERT_TRUE(history_->add(move_of("web", 10'000)));
  ASSERT_TRUE(history_->add(move_of("redis", 20'000)));
  reopen();
  const auto all = history_->list("", 0);
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 3u);
  EXPECT_EQ(all->at(0).started_at_ms(), 20'000);
  EXPECT_EQ(all->at(2).started_at_ms(), 999);
  EXPECT_EQ(history_->list("redis", 0)->size(), 2u);
  EXPECT_EQ(history_->list("redis", 1)->at(0).started_at_ms(), 20'000);
}

TEST_F(MoveHistoryTest, TeachesWhatStagesTook) {
  ASSERT_TRUE(history_->add(move_of("web", 1, "precopy")));
  ASSERT_TRUE(history_->add(move_of("redis", 2)));
  const auto past = history_->past_moves("redis", "host-b", models::MoveMode::kStop);
  ASSERT_TRUE(past);
  ASSERT_EQ(past->size(), 2u);
  const auto freeze = static_cast<size_t>(models::MoveStage::kFreeze);
  EXPECT_DOUBLE_EQ(past->at(0).measured[freeze], 0.003);
  EXPECT_DOUBLE_EQ(past->at(0).modelled[freeze], 0.001);
  EXPECT_DOUBLE_EQ(past->at(0).measured[static_cast<size_t>(models::MoveStage::kRounds)], 0.2);
  EXPECT_TRUE(past->at(0).likeness.same_mode);
  EXPECT_FALSE(past->at(1).likeness.same_mode);
  EXPECT_FALSE(past->at(1).likeness.same_container);
  EXPECT_EQ(past->at(1).age, 1u);
}

}  // namespace
}  // namespace martlet::agent
