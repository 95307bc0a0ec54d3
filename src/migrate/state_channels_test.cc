#include "migrate/state_channels.h"

#include <gmock/gmock.h>

#include "migrate/options.h"
#include "migrate/test_util.h"

namespace martlet::migrate {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr auto kLong = 60s;

class Channels : public ::testing::Test {
 protected:
  std::unique_ptr<TlsConnection> connection() {
    auto pair = connect_pair(a_, b_, "host-b");
    peers_.push_back(std::move(pair.client));
    return std::move(pair.server);
  }
  void add(uint32_t stripe) { must(channels_.add(stripe, connection())); }

  TestAuthority authority_;
  TlsContext a_ = authority_.context_of("host-a");
  TlsContext b_ = authority_.context_of("host-b");
  std::vector<std::unique_ptr<TlsConnection>> peers_;
  StateChannels channels_;
};

TEST_F(Channels, AreGivenInTheirOrder) {
  std::vector<TlsConnection*> connections(3);
  std::jthread adding([&] {
    for (uint32_t stripe : {2u, 0u, 1u}) {
      auto made = connection();
      connections[stripe] = made.get();
      must(channels_.add(stripe, std::move(made)));
    }
  });
  auto taken = must(channels_.take(3, kLong));
  adding.join();
  ASSERT_EQ(taken.size(), 3u);
  for (size_t stripe = 0; stripe < taken.size(); ++stripe)
    EXPECT_EQ(taken[stripe].get(), connections[stripe]);
}

TEST_F(Channels, NamesTheFirstThatDoesNotCome) {
  add(0);
  add(2);
  auto taken = channels_.take(4, 50ms);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code(), Code::kTimeout);
  EXPECT_THAT(taken.error().to_string(), HasSubstr("connection 2 of 4 for the state did not come"));
}

TEST_F(Channels, NamesOneWithAnotherNumber) {
  add(0);
  add(5);
  auto taken = channels_.take(2, kLong);
  ASSERT_FALSE(taken);
  EXPECT_THAT(taken.error().to_string(), HasSubstr("connection 2 of 2"));
}

TEST_F(Channels, RefuseWhatCannotBe) {
  EXPECT_EQ(channels_.add(kMaxStreams, connection()).error().code(), Code::kBadImage);
  add(0);
  EXPECT_EQ(channels_.add(0, connection()).error().code(), Code::kAlreadyExists);
  EXPECT_EQ(channels_.take(0, kLong).error().code(), Code::kBadImage);
  EXPECT_EQ(channels_.take(kMaxStreams + 1, kLong).error().code(), Code::kBadImage);
  must(channels_.take(1, kLong));
  EXPECT_EQ(channels_.add(1, connection()).error().code(), Code::kCancelled);
}

}  // namespace
}  // namespace martlet::migrate
