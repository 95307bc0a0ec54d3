#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <future>

#include "base/test_util.h"
#include "stand/place.h"
#include "stand/requests.h"
#include "stand/run.h"

namespace martlet::stand {
namespace {

using testing::HasSubstr;

constexpr auto kDeadline = std::chrono::seconds(20);

// The load's side of a connection: each request is answered by `reply`, as long as it gives one.
class Server {
 public:
  explicit Server(std::function<std::optional<uint64_t>(uint64_t)> reply) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    client_ = Fd(ends[0]);
    thread_ = std::thread([reply = std::move(reply), own = Fd(ends[1])] {
      uint64_t page = 0;
      while (::recv(own.get(), &page, sizeof page, MSG_WAITALL) == sizeof page) {
        const auto number = reply(page);
        if (!number) return;
        (void)::send(own.get(), &*number, sizeof *number, MSG_NOSIGNAL);
      }
    });
  }
  ~Server() { thread_.join(); }
  Fd take_client() { return std::move(client_); }

 private:
  Fd client_;
  std::thread thread_;
};

TEST(Requests, SeeWhatTheLoadAnswers) {
  std::promise<void> enough;
  int answered = 0;
  Server server([&](uint64_t page) -> std::optional<uint64_t> {
    if (++answered == 50) enough.set_value();
    return page;
  });
  Requests requests(server.take_client(), 2000, 1000);
  ASSERT_EQ(enough.get_future().wait_for(kDeadline), std::future_status::ready);
  requests.mark_move();
  const models::ClientView view = must(requests.finish());
  EXPECT_GE(view.replies, 50u);
  EXPECT_GT(view.usual, 0);
}

TEST(Requests, AWrongPageIsAnError) {
  std::promise<void> answered;
  Server server([&](uint64_t page) -> std::optional<uint64_t> {
    if (page == 0) answered.set_value();
    return page + 1;
  });
  Requests requests(server.take_client(), 10, 1000);
  ASSERT_EQ(answered.get_future().wait_for(kDeadline), std::future_status::ready);
  const auto view = requests.finish();
  ASSERT_FALSE(view);
  EXPECT_THAT(view.error().to_string(), HasSubstr("page 0 of the load holds the number 1"));
}

TEST(Requests, AClosedConnectionIsAnError) {
  std::promise<void> asked;
  Server server([&](uint64_t) -> std::optional<uint64_t> {
    asked.set_value();
    return {};
  });
  Requests requests(server.take_client(), 10, 1000);
  ASSERT_EQ(asked.get_future().wait_for(kDeadline), std::future_status::ready);
  const auto view = requests.finish();
  ASSERT_FALSE(view);
  EXPECT_EQ(view.error().code(), Code::kPeerLost);
}

TEST(Requests, TheLongestWaitIsThatOfTheMove) {
  const models::ClientView view = view_of({9, 1, 1}, {2, 5, 3});
  EXPECT_EQ(view.replies, 6u);
  EXPECT_EQ(view.longest, 5);
  EXPECT_EQ(view_of({}, {}).longest, 0);
}

TEST(Place, LeavesNothing) {
  std::string directory;
  {
    const Place place = must(Place::make());
    const Place moved = must(Place::make());
    directory = place.directory();
    EXPECT_TRUE(std::filesystem::is_directory(directory));
    EXPECT_NE(place.cgroup_of("host-a"), place.cgroup_of("host-b"));
    EXPECT_NE(place.cgroup_of("host-a"), moved.cgroup_of("host-a"));
    std::filesystem::create_directories(directory + "/host-a/containers");
    place.end_containers();  // there are none
  }
  EXPECT_FALSE(std::filesystem::exists(directory));
}

TEST(Run, TakesWhatTheAgentRemembers) {
  const models::StandGrid grid = must(models::parse_stand("memory = ['4MB']\nlink = ['1Gbit/s']"));
  const models::StandCell cell = models::cells_of(grid)[1];
  agent::MoveRecord record;
  record.mutable_measured()->set_pause_seconds(0.5);
  record.mutable_measured()->set_total_seconds(2);
  record.mutable_measured()->set_bytes(77);
  record.add_rounds();
  record.mutable_measured()->add_stages()->set_name("freeze");
  EXPECT_FALSE(moved_cell(grid, cell, record).calibrated);
  record.mutable_measured()->mutable_predicted()->mutable_pause()->set_upper(3);
  agent::StageEstimate& freeze = *record.mutable_measured()->mutable_predicted()->add_stages();
  freeze.set_name("freeze");
  freeze.mutable_seconds()->set_upper(7);
  const models::MovedCell moved = moved_cell(grid, cell, record);
  EXPECT_EQ(moved.stages.at(0).foretold->upper, 7);
  EXPECT_EQ(moved.pause, 0.5);
  EXPECT_EQ(moved.sent, 77);
  EXPECT_EQ(moved.rounds, 1u);
  EXPECT_EQ(moved.calibrated->pause.upper, 3);
  EXPECT_GT(moved.declared.total.upper, 4e6 / 125e6);
}

}  // namespace
}  // namespace martlet::stand
