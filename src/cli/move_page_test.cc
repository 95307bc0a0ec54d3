#include "cli/move_page.h"

#include <gmock/gmock.h>

namespace martlet::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

agent::MoveRecord example_move() {
  agent::MoveRecord move;
  move.set_mode("stop");
  agent::MigrationSummary& measured = *move.mutable_measured();
  measured.set_container("redis<1>");
  measured.set_source("host-a");
  measured.set_destination("host-b");
  measured.set_pause_seconds(0.02);
  measured.set_total_seconds(0.5);
  for (const char* name : {"pre-flight check", "freeze", "capture", "remove source"}) {
    agent::MigrationStage& stage = *measured.add_stages();
    stage.set_name(name);
    stage.set_seconds(0.01);
    agent::StageEstimate& estimate = *measured.mutable_predicted()->add_stages();
    estimate.set_name(name);
    estimate.mutable_seconds()->set_lower(0.005);
    estimate.mutable_seconds()->set_upper(0.015);
  }
  measured.mutable_predicted()->mutable_pause()->set_lower(0.03);
  measured.mutable_predicted()->mutable_pause()->set_upper(0.04);
  return move;
}

TEST(MovePage, IsOneFileThatNeedsNothingElse) {
  const std::string page = move_page(example_move());
  EXPECT_THAT(page, HasSubstr("<svg"));
  EXPECT_THAT(page, HasSubstr("prefers-color-scheme: dark"));
  for (const char* elsewhere : {"http:", "https:", "<script", "<link", "@import", "url("})
    EXPECT_THAT(page, Not(HasSubstr(elsewhere)));
}

TEST(MovePage, EscapesNames) {
  const std::string page = move_page(example_move());
  EXPECT_THAT(page, HasSubstr("redis&lt;1&gt;"));
  EXPECT_THAT(page, Not(HasSubstr("redis<1>")));
}

TEST(MovePage, ShowsWhatWasForetoldBesideWhatWasMeasured) {
  const std::string page = move_page(example_move());
  EXPECT_THAT(page, HasSubstr("<td>pause<td>30.00 ms - 40.00 ms<td>20.00 ms<td class=miss>-33 %"));
  EXPECT_THAT(page, HasSubstr("<td>freeze<td>5.00 ms - 15.00 ms<td>10.00 ms<td class=miss></tr>"));
}

TEST(MovePage, DrawsRoundsWhereThereAreAny) {
  agent::MoveRecord move = example_move();
  EXPECT_THAT(move_page(move), Not(HasSubstr("<h2>Rounds")));
  agent::MigrationRound& round = *move.add_rounds();
  round.set_number(1);
  round.set_seconds(0.2);
  round.set_link_rate(1e9);
  EXPECT_THAT(move_page(move), HasSubstr("<h2>Rounds"));
}

TEST(MovePage, BearsAnEmptyRecord) {
  EXPECT_THAT(move_page(agent::MoveRecord()), HasSubstr("</html>"));
}

}  // namespace
}  // namespace martlet::cli
