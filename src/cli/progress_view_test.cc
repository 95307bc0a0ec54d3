#include "cli/progress_view.h"

#include <gtest/gtest.h>

namespace martlet::cli {
namespace {

agent::MigrationProgress third_round() {
  agent::MigrationProgress progress;
  progress.mutable_stage()->set_number(5);
  progress.mutable_stage()->set_name("transfer");
  progress.mutable_stage()->set_bytes(750'000'000);
  progress.set_round(3);
  progress.set_remaining(250'000'000);
  progress.set_link_rate(500e6);
  progress.set_dirty_rate(12e6);
  progress.set_expected_pause_ns(14'000'000);
  progress.set_time_left_ns(500'000'000);
  return progress;
}

// Everything that a view writes while `use` uses it.
template <typename Use>
std::string written(ProgressView::Style style, Use use) {
  char* text = nullptr;
  size_t size = 0;
  std::FILE* stream = open_memstream(&text, &size);
  {
    ProgressView view(stream, style);
    use(view);
  }
  std::fclose(stream);
  std::string result(text, size);
  std::free(text);
  return result;
}

TEST(ProgressView, SaysWhereTheMigrationIsAndWhatIsExpected) {
  const auto lines = progress_lines(third_round(), 200);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0],
            "stage 5 transfer, round 3  [###############-----]  750.0 MB, 250.0 MB left  "
            "500.0 MB/s");
  EXPECT_EQ(lines[1], "  changing 12.0 MB/s, expected pause 14.00 ms, 500.00 ms to go");
}

TEST(ProgressView, LeavesOutWhatIsNotKnown) {
  agent::MigrationProgress progress;
  progress.mutable_stage()->set_number(2);
  progress.mutable_stage()->set_name("freeze");
  EXPECT_EQ(progress_lines(progress, 200), std::vector<std::string>{"stage 2 freeze"});
}

TEST(ProgressView, NeverWraps) {
  for (const std::string& line : progress_lines(third_round(), 30)) EXPECT_EQ(line.size(), 30u);
}

TEST(ProgressView, RedrawsInPlaceAndLeavesNothing) {
  agent::MigrationStage done;
  done.set_number(5);
  done.set_name("transfer");
  done.set_seconds(2);
  const std::string text = written(ProgressView::Style::kLive, [&](ProgressView& view) {
    view.show(third_round());
    view.show(third_round());
    view.show_done(done);
  });
  const auto lines = progress_lines(third_round(), 79);
  const std::string drawn = lines[0] + "\n" + lines[1];
  EXPECT_EQ(text, drawn + "\033[1A\r\033[J" + drawn + "\033[1A\r\033[Jstage 5 transfer: 2.00 s\n");
}

TEST(ProgressView, ElsewhereOneLineForEachRoundAndStage) {
  agent::MigrationStage done;
  done.set_number(2);
  done.set_name("freeze");
  done.set_seconds(0.004);
  const std::string text = written(ProgressView::Style::kPlain, [&](ProgressView& view) {
    view.show(third_round());
    view.show(third_round());
    view.show_done(done);
  });
  EXPECT_EQ(text.find('\033'), std::string::npos);
  EXPECT_EQ(std::ranges::count(text, '\n'), 3);
  EXPECT_TRUE(text.ends_with("stage 2 freeze: 4.00 ms\n"));
}

TEST(ProgressView, QuietSaysNothing) {
  EXPECT_EQ(written(ProgressView::Style::kQuiet,
                    [&](ProgressView& view) {
                      view.show(third_round());
                      view.show_done({});
                    }),
            "");
}

}  // namespace
}  // namespace martlet::cli
